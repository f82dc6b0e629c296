//! `/etc/passwd`, see passwd(5). Lines that make no sense, and those of NIS (`+`, `-`), are passed over.

use super::{lines, number};

/// The machine's own users, by ascending uid.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Passwd {
    users: Vec<User>,
}

/// One user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: Vec<u8>,
    /// Number.
    pub uid: u32,
    /// Number of the first group.
    pub gid: u32,
    /// Home directory.
    pub home: Vec<u8>,
    /// What runs after login; may be empty, for `/bin/sh`.
    pub shell: Vec<u8>,
}

impl Passwd {
    /// Reads the bytes of `/etc/passwd`.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut users: Vec<_> = lines(bytes).filter_map(User::parse).collect();
        users.sort_by_key(|user| user.uid);
        Self { users }
    }

    /// All users, by ascending uid.
    pub fn users(&self) -> &[User] {
        &self.users
    }

    /// The name of a uid; the first in the file, where several share it.
    pub fn name(&self, uid: u32) -> Option<&[u8]> {
        let first = self.users.partition_point(|user| user.uid < uid);
        self.users.get(first).filter(|user| user.uid == uid).map(|user| user.name.as_slice())
    }

    /// The uid of a name.
    pub fn uid(&self, name: &[u8]) -> Option<u32> {
        self.users.iter().find(|user| user.name == name).map(|user| user.uid)
    }
}

impl User {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut columns = line.split(|byte| *byte == b':');
        let name = columns.next().filter(|name| !matches!(name, [] | [b'+' | b'-' | b'#', ..]))?.to_vec();
        let uid = number(columns.nth(1)?)?; // past the password
        let gid = number(columns.next()?)?;
        let home = columns.nth(1)?.to_vec(); // past the comment
        Some(Self { name, uid, gid, home, shell: columns.next().unwrap_or_default().to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] =
        b"b\xff:x:1000:100:B,,,:/home/b:/bin/bash\nroot:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/root:\n\
        +nis\n# comment\nbad:x:many:0::/:\nshort:x:1\n+@all::::::\n";

    #[test]
    fn bad_lines_are_passed_over() {
        let names: Vec<_> = Passwd::parse(PASSWD).users().iter().map(|user| user.name.clone()).collect();
        assert_eq!(names, [&b"root"[..], b"toor", b"b\xff"]);
    }

    #[test]
    fn the_first_name_of_a_uid_wins() {
        let passwd = Passwd::parse(PASSWD);
        assert_eq!(
            (passwd.name(0), passwd.name(1000), passwd.name(7)),
            (Some(&b"root"[..]), Some(&b"b\xff"[..]), None)
        );
        assert_eq!((passwd.uid(b"toor"), passwd.uid(b"nobody")), (Some(0), None));
    }
}
