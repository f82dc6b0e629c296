//! `/etc/group`, see group(5). Lines that make no sense, and those of NIS (`+`, `-`), are passed over.

use super::{lines, number};

/// The machine's own groups, by ascending gid.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Groups {
    groups: Vec<Group>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Name.
    pub name: Vec<u8>,
    /// Number.
    pub gid: u32,
    /// Names of those who are in it beside their first group.
    pub members: Vec<Vec<u8>>,
}

impl Groups {
    /// Reads the bytes of `/etc/group`.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut groups: Vec<_> = lines(bytes).filter_map(Group::parse).collect();
        groups.sort_by_key(|group| group.gid);
        Self { groups }
    }

    /// All groups, by ascending gid.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The name of a gid; the first in the file, where several share it.
    pub fn name(&self, gid: u32) -> Option<&[u8]> {
        let first = self.groups.partition_point(|group| group.gid < gid);
        self.groups.get(first).filter(|group| group.gid == gid).map(|group| group.name.as_slice())
    }

    /// The gid of a name.
    pub fn gid(&self, name: &[u8]) -> Option<u32> {
        self.groups.iter().find(|group| group.name == name).map(|group| group.gid)
    }
}

impl Group {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut columns = line.split(|byte| *byte == b':');
        let name = columns.next().filter(|name| !matches!(name, [] | [b'+' | b'-' | b'#', ..]))?.to_vec();
        let gid = number(columns.nth(1)?)?; // past the password
        let members = columns.next().unwrap_or_default().split(|byte| *byte == b',');
        Some(Self { name, gid, members: members.filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_split_at_commas() {
        let groups = Groups::parse(b"docker:x:999:a,b\nroot:x:0:\nbad\n+\n");
        assert_eq!(groups.groups()[1].members, [b"a", b"b"]);
        assert_eq!((groups.name(0), groups.gid(b"docker")), (Some(&b"root"[..]), Some(999)));
        assert_eq!(groups.groups().len(), 2);
    }
}
