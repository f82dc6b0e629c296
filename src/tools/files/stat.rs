//! What stat says of a file, in words.

use rustix::fs::{FileType, Stat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use facts::host::Machine;
use kernel::{
    failure::Failure,
    proc::{group::Groups, passwd::Passwd},
};

/// What has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    File,
    Directory,
    Link,
    Fifo,
    Socket,
    Device,
    Unknown,
}

impl From<FileType> for Kind {
    fn from(kind: FileType) -> Self {
        match kind {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Directory,
            FileType::Symlink => Self::Link,
            FileType::Fifo => Self::Fifo,
            FileType::Socket => Self::Socket,
            FileType::CharacterDevice | FileType::BlockDevice => Self::Device,
            FileType::Unknown => Self::Unknown,
        }
    }
}

/// Who owns files: the machine's own users and groups.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    users: Passwd,
    groups: Groups,
}

impl Owners {
    /// Reads them. Files that cannot be read know nobody.
    pub(crate) fn read(machine: &Machine) -> Self {
        let bytes = |path| machine.root.bytes(path).unwrap_or_default();
        Self { users: Passwd::parse(&bytes("etc/passwd")), groups: Groups::parse(&bytes("etc/group")) }
    }

    /// A user's name; the number, where none is known.
    pub(crate) fn user(&self, uid: u32) -> String {
        self.users.name(uid).map_or_else(|| uid.to_string(), |name| String::from_utf8_lossy(name).into_owned())
    }

    /// A group's name; the number, where none is known.
    pub(crate) fn group(&self, gid: u32) -> String {
        self.groups.name(gid).map_or_else(|| gid.to_string(), |name| String::from_utf8_lossy(name).into_owned())
    }

    /// The uid that a caller's word means: a name or a number.
    pub(crate) fn uid(&self, user: &str) -> Result<u32, Failure> {
        let unknown = || Failure::Invalid(format!("user {user:?} is not in etc/passwd; a uid works for every user"));
        self.users.uid(user.as_bytes()).or_else(|| user.parse().ok()).ok_or_else(unknown)
    }
}

/// Permissions as `ls -l` has them, without the letter for the kind: `rwsr-x--t`.
pub(crate) fn permissions(mode: u32) -> String {
    let mut text = String::with_capacity(9);
    for (shift, special, set, only) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => set,
            (false, true) => only,
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// A time of the kernel's, in RFC 3339, UTC, to the second. `None`: it is before 1970 or after 9999.
pub(crate) fn time(seconds: i64) -> Option<String> {
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds < 253_402_300_800)?;
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    Some(humantime::format_rfc3339_seconds(time).to_string())
}

/// What a file takes on its disk, in bytes: less than its size where it has holes.
pub(crate) fn allocated(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or_default() * 512
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_those_of_ls() {
        for (mode, text) in [
            (0o644, "rw-r--r--"),
            (0o755, "rwxr-xr-x"),
            (0o4755, "rwsr-xr-x"),
            (0o4644, "rwSr--r--"),
            (0o2711, "rwx--s--x"),
            (0o1777, "rwxrwxrwt"),
            (0o1666, "rw-rw-rwT"),
            (0, "---------"),
            (0o100_600, "rw-------"),
        ] {
            assert_eq!(permissions(mode), text);
        }
    }

    #[test]
    fn times_that_cannot_be_written_are_none() {
        assert_eq!(time(0).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!((time(-1), time(253_402_300_800), time(i64::MAX)), (None, None, None));
    }
}
