//! A recorded machine: a tree of its kernel files, and in `machine.ron` what no tree can answer. See `tests/machines/README.md`.

use std::{
    collections::HashMap,
    io,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustix::io::Errno;
use serde::Deserialize;

use super::{Host, Kernel, Machine, Sample, Scan, Statfs};
use kernel::{
    failure::Failure,
    proc::{rtnetlink::Address, uptime::Uptime},
    root::{Root, read_own},
};

/// `machine.ron`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recorded {
    /// Where and how it was recorded, or that it was composed.
    #[expect(dead_code, reason = "for whoever reads the file")]
    recorded: String,
    architecture: String,
    page_size: u64,
    ticks_per_second: u64,
    now: String,
    #[expect(dead_code, reason = "the tree tells; here it is for whoever reads the file")]
    cpus_online: u32,
    statfs: HashMap<String, RecordedStatfs>,
    addresses: Vec<RecordedAddress>,
    open_files: HashMap<String, u32>,
    denied: Vec<String>,
    #[serde(default)]
    fails: HashMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedStatfs {
    #[serde(rename = "type")]
    #[expect(dead_code, reason = "the mount table names it")]
    magic: u64,
    block_size: u64,
    blocks: u64,
    blocks_free: u64,
    blocks_available: u64,
    files: u64,
    files_free: u64,
    #[expect(dead_code, reason = "the mount table tells")]
    read_only: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordedAddress {
    index: u32,
    interface: String,
    address: std::net::IpAddr,
    prefix: u8,
    scope: String,
}

impl Recorded {
    /// Reads `machine.ron` in `dir`, if there is one.
    pub(super) fn find(dir: &Path) -> io::Result<Option<Self>> {
        let bytes = match read_own(&dir.join("machine.ron"), 1 << 20) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        ron::de::from_bytes(&bytes).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// The machine recorded in `dir`, with the two samples it comes with.
    pub(super) fn open(self, dir: &Path) -> io::Result<Host> {
        let failing: HashMap<String, Errno> = (self.denied.iter().map(|path| (path.clone(), Errno::ACCESS)))
            .chain(self.fails.iter().map(|(path, name)| (path.clone(), errno(name))))
            .collect();
        let machine = |dir: &Path| -> io::Result<Machine> {
            let root = Root::open(dir)?.failing(failing.clone());
            let kernel = Box::new(self.clone());
            Ok(Machine {
                root,
                kernel,
                remote: Default::default(),
                held: Default::default(),
                steady: Default::default(),
            })
        };
        let (first, main) = (machine(&dir.join("first")), machine(dir)?);
        let host = Host::of(main, true, super::First::Comes);
        if let Ok(first) = first {
            let mut samples = host.past();
            // a machine whose first tree has no time of its own shows no rates, as a live one in its first half second
            for sample in [Sample::take(&first), Sample::take(host.machine())] {
                if !sample.at.is_zero() {
                    samples.keep(Arc::new(sample));
                }
            }
            drop(samples);
            if let (Ok(before), Ok(mut scans)) = (Scan::take(&first), host.inner.scans.try_lock()) {
                scans.before = Some(Arc::new(before));
            }
        }
        Ok(host)
    }
}

impl Kernel for Recorded {
    fn wall(&self) -> SystemTime {
        humantime::parse_rfc3339_weak(&self.now).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    fn since_boot(&self, root: &Root) -> Duration {
        let uptime = root.text("proc/uptime").ok().and_then(|text| Uptime::parse(&text).ok());
        uptime.map(|uptime| Duration::try_from_secs_f64(uptime.up).unwrap_or_default()).unwrap_or_default()
    }

    fn page_size(&self) -> u64 {
        self.page_size
    }

    fn ticks_per_second(&self) -> u64 {
        self.ticks_per_second
    }

    fn architecture(&self) -> String {
        self.architecture.clone()
    }

    fn statfs(&self, _: &Root, mount_point: &[u8]) -> io::Result<Statfs> {
        let found = std::str::from_utf8(mount_point).ok().and_then(|point| self.statfs.get(point));
        let stat = found.ok_or(io::Error::from(io::ErrorKind::TimedOut))?;
        Ok(Statfs {
            bytes: stat.blocks * stat.block_size,
            bytes_free: stat.blocks_free * stat.block_size,
            bytes_available: stat.blocks_available * stat.block_size,
            inodes: stat.files,
            inodes_free: stat.files_free,
            device: None,
            magic: None,
        })
    }

    fn open_files(&self, root: &Root, pid: u32) -> Result<u64, Failure> {
        match self.open_files.get(&pid.to_string()) {
            Some(count) => Ok(u64::from(*count)),
            // a refusal is on record as one
            None => {
                root.directory(&format!("proc/{pid}/fd")).and_then(|_| Err(Failure::NotFound(format!("proc/{pid}/fd"))))
            }
        }
    }

    fn addresses(&self, _: &Root) -> io::Result<Option<Vec<Address>>> {
        Ok(Some(self.addresses.iter().map(RecordedAddress::read).collect()))
    }
}

fn errno(name: &str) -> Errno {
    match name {
        "EINVAL" => Errno::INVAL,
        "ENODEV" => Errno::NODEV,
        "ENODATA" => Errno::NODATA,
        "EOPNOTSUPP" => Errno::OPNOTSUPP,
        "EPERM" => Errno::PERM,
        "EACCES" => Errno::ACCESS,
        "ENOENT" => Errno::NOENT,
        _ => Errno::IO,
    }
}

impl RecordedAddress {
    fn read(&self) -> Address {
        let scope = match self.scope.as_str() {
            "global" => 0,
            "site" => 200,
            "link" => 253,
            _ => 254,
        };
        let label = self.address.is_ipv4().then(|| self.interface.clone().into_bytes());
        Address { index: self.index, address: self.address, peer: None, prefix: self.prefix, scope, flags: 0x80, label }
    }
}
