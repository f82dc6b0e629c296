//! Which processes hold a file open.

use schemars::JsonSchema;
use serde::Serialize;

use kernel::{failure::Failure, root::Root};
use search::patience::Patience;
use text::table::Table;

/// Those that are named.
const NAMED: usize = 20;

/// Processes that hold it.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Holders {
    pub count: u64,
    /// The first of them.
    pub processes: Table<Holder>,
    /// Processes that this server may not look into, and those that time did not suffice for.
    pub unknown: u64,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Holder {
    pub pid: u32,
    pub name: String,
    /// open, runs (it is its program), or works in (a directory).
    pub how: &'static str,
}

/// What a process does with a file.
enum Held {
    Not,
    As(&'static str),
    Unknown,
}

/// Those that hold this device and inode.
pub(super) fn read(root: &Root, inode: ((u32, u32), u64), patience: &Patience) -> Result<Option<Holders>, Failure> {
    let proc = root.directory("proc")?;
    if !proc.is_procfs() {
        return Ok(None);
    }
    let mut pids: Vec<u32> = root.names("proc")?.iter().filter_map(|name| name.parse().ok()).collect();
    pids.sort_unstable();
    // it holds it now, to be asked about it
    let own = root.link("proc/self")?.and_then(|own| own.parse().ok());
    let mut holders = Holders::default();
    let mut word = vec![];
    for pid in pids.into_iter().filter(|pid| Some(*pid) != own) {
        if patience.is_over() {
            holders.unknown += 1;
            continue;
        }
        match held(root, &proc, pid, inode) {
            Held::Not => (),
            Held::Unknown => holders.unknown += 1,
            Held::As(how) => {
                holders.count += 1;
                if holders.processes.0.len() < NAMED {
                    let is_there = proc.read_into(&format!("{pid}/comm"), &mut word).is_ok();
                    let name =
                        if is_there { String::from_utf8_lossy(&word).trim_end().to_owned() } else { String::new() };
                    holders.processes.0.push(Holder { pid, name, how });
                }
            }
        }
    }
    Ok(Some(holders))
}

fn held(root: &Root, proc: &kernel::root::Directory<'_>, pid: u32, inode: ((u32, u32), u64)) -> Held {
    let is = |path: String| proc.held_inode(&path).is_ok_and(|other| other == inode);
    let files = match root.directory(&format!("proc/{pid}/fd")) {
        Ok(files) => files,
        // it has ended
        Err(Failure::NotFound(_)) => return Held::Not,
        Err(_) => return Held::Unknown,
    };
    let mut is_open = false;
    let listed = files.each(|name| {
        is_open = is_open || std::str::from_utf8(name).is_ok_and(|name| is(format!("{pid}/fd/{name}")));
    });
    match listed {
        _ if is_open => Held::As("open"),
        _ if is(format!("{pid}/exe")) => Held::As("runs"),
        _ if is(format!("{pid}/cwd")) => Held::As("works in"),
        Err(Failure::Denied(_)) => Held::Unknown,
        _ => Held::Not,
    }
}
