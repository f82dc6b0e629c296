//! The kernel's check of where packets come from, switched off while a client of DHCP waits: an interface without an address has no route back
//! to anybody, and an answer would be taken for forged.
//!
//! The kernel goes by the stricter of what an interface says and what is said for `all`. The latter is for all clients together: the first that
//! comes switches it off, and the last that goes sets it again.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    rc::{Rc, Weak},
};

use super::etc;
use kernel::root::Root;

/// What all clients have in common.
pub(super) struct Checks {
    machine: PathBuf,
    all: RefCell<Weak<Off>>,
}

/// One client's wish that nothing be checked on its interface, until this is dropped.
pub(super) struct Unchecked {
    _all: Option<Rc<Off>>,
    _own: Option<Off>,
}

impl Checks {
    /// Of the machine whose `/` is there.
    pub(super) fn of(machine: &Path) -> Self {
        Self { machine: machine.to_owned(), all: RefCell::default() }
    }

    /// Without the right to change it a client still tries: many kernels do not check.
    pub(super) fn without(&self, root: &Root, interface: &str) -> Unchecked {
        let mut all = self.all.borrow_mut();
        let shared = all.upgrade().or_else(|| Off::switch(&self.machine, root, "all").map(Rc::new));
        *all = shared.as_ref().map(Rc::downgrade).unwrap_or_default();
        Unchecked { _all: shared, _own: Off::switch(&self.machine, root, interface) }
    }
}

/// A check that was on, and is again when this is dropped.
struct Off {
    file: PathBuf,
    was: String,
}

impl Off {
    fn switch(machine: &Path, root: &Root, name: &str) -> Option<Self> {
        let check = format!("proc/sys/net/ipv4/conf/{name}/rp_filter");
        let was = root.word(&check).ok().flatten().filter(|was| was != "0")?;
        let file = machine.join(check);
        etc::write(&file, "0").ok().map(|()| Self { file, was })
    }
}

impl Drop for Off {
    fn drop(&mut self) {
        let _ = etc::write(&self.file, &self.was);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "makes the checks and looks at them")]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_for_all_is_off_until_the_last_client_has_its_answer() {
        let machine = std::env::temp_dir().join(format!("rp-filter-{}", std::process::id()));
        let file = |name: &str| machine.join("proc/sys/net/ipv4/conf").join(name).join("rp_filter");
        for (name, is) in [("all", "1"), ("eth0", "2"), ("eth1", "0")] {
            fs::create_dir_all(file(name).parent().unwrap()).unwrap();
            fs::write(file(name), is).unwrap();
        }
        let root = Root::open(&machine).unwrap();
        let are = || ["all", "eth0", "eth1"].map(|name| fs::read_to_string(file(name)).unwrap());
        let checks = Checks::of(&machine);

        let first = checks.without(&root, "eth0");
        let second = checks.without(&root, "eth1");
        assert_eq!(are(), ["0", "0", "0"]);
        drop(first);
        assert_eq!(are(), ["0", "2", "0"], "the second still waits");
        let first = checks.without(&root, "eth0");
        drop(second);
        assert_eq!(are(), ["0", "0", "0"], "the first waits again");
        drop(first);
        assert_eq!(are(), ["1", "2", "0"]);
        // what was changed in the meantime holds
        fs::write(file("all"), "2").unwrap();
        drop(checks.without(&root, "eth1"));
        assert_eq!(are(), ["2", "2", "0"]);
        fs::remove_dir_all(machine).unwrap();
    }
}
