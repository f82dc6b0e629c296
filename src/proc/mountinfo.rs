//! `/proc/PID/mountinfo`, see proc_pid_mountinfo(5).

use super::{Malformed, lines, number};

/// One mount. Names are bytes, with the kernel's escapes undone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Unique among mounts, reused after umount.
    pub id: u32,
    /// The mount it stands on; its own id, or one not in the list, at the top.
    pub parent: u32,
    /// `st_dev` of its files, major.
    pub major: u32,
    /// `st_dev` of its files, minor.
    pub minor: u32,
    /// Which directory of the filesystem is mounted: `/`, or a part for bind mounts and btrfs subvolumes.
    pub root: Vec<u8>,
    /// Where, as the process sees it.
    pub mount_point: Vec<u8>,
    /// Options of this mount, with commas: `rw,noatime`.
    pub options: Vec<u8>,
    /// `shared:N`, `master:N`, `propagate_from:N`, `unbindable`, with blanks between; may be empty.
    pub optional: Vec<u8>,
    /// `ext4`, `fuse.sshfs`.
    pub fs_type: Vec<u8>,
    /// Device or name; may be empty or `none`.
    pub source: Vec<u8>,
    /// Options of the filesystem, with commas.
    pub super_options: Vec<u8>,
}

/// Reads the bytes of `/proc/PID/mountinfo`.
pub fn parse(bytes: &[u8]) -> Result<Vec<Mount>, Malformed> {
    lines(bytes).map(|line| Mount::parse(line).ok_or_else(|| Malformed::line("mountinfo", bytes, line))).collect()
}

impl Mount {
    /// Whether the option stands in those of the mount or of its filesystem.
    pub fn has(&self, option: &[u8]) -> bool {
        [&self.options, &self.super_options]
            .iter()
            .any(|list| list.split(|byte| *byte == b',').any(|have| have == option))
    }

    fn parse(line: &[u8]) -> Option<Self> {
        // Not at runs of blanks: an empty source leaves two side by side.
        let mut columns = line.split(|byte| *byte == b' ');
        let id = number(columns.next()?)?;
        let parent = number(columns.next()?)?;
        let mut device = columns.next()?.splitn(2, |byte| *byte == b':').map(number);
        let (major, minor) = (device.next()??, device.next()??);
        let root = unescape(columns.next()?);
        let mount_point = unescape(columns.next()?);
        let options = unescape(columns.next()?);
        let optional: Vec<_> = columns.by_ref().take_while(|column| *column != b"-").collect();
        Some(Self {
            id,
            parent,
            major,
            minor,
            root,
            mount_point,
            options,
            optional: optional.join(&b' '),
            fs_type: unescape(columns.next()?),
            source: unescape(columns.next()?),
            super_options: unescape(columns.next()?),
        })
    }
}

/// Undoes `\040` and its like: three octal digits for a byte.
pub fn unescape(column: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(column.len());
    let mut rest = column;
    while let [first, tail @ ..] = rest {
        let escaped = match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] if *first == b'\\' => {
                Some(((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'), tail))
            }
            _ => None,
        };
        let (byte, tail) = escaped.unwrap_or((*first, tail));
        plain.push(byte);
        rest = tail;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Place;

    #[test]
    fn the_example_of_the_manual() {
        let mounts =
            parse(b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n").unwrap();
        let expected = Mount {
            id: 36,
            parent: 35,
            major: 98,
            minor: 0,
            root: b"/mnt1".to_vec(),
            mount_point: b"/mnt2".to_vec(),
            options: b"rw,noatime".to_vec(),
            optional: b"master:1".to_vec(),
            fs_type: b"ext3".to_vec(),
            source: b"/dev/root".to_vec(),
            super_options: b"rw,errors=continue".to_vec(),
        };
        assert_eq!(mounts, [expected]);
    }

    #[test]
    fn optional_fields_may_be_none_or_many() {
        let mounts = parse(b"1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / /b rw shared:5 master:2 - ext4 b ro\n").unwrap();
        assert_eq!(mounts[0].optional, b"");
        assert_eq!(mounts[1].optional, b"shared:5 master:2");
        assert!(mounts[1].has(b"ro") && !mounts[0].has(b"ro"));
    }

    #[test]
    fn names_are_bytes_and_escapes_are_undone() {
        let mounts = parse(b"1 0 0:1 / /a\\040b\\134\xff rw - fuse.x //nas/my\\040files rw\n").unwrap();
        assert_eq!(mounts[0].mount_point, b"/a b\\\xff");
        assert_eq!(mounts[0].source, b"//nas/my files");
    }

    #[test]
    fn the_source_may_be_empty() {
        let mounts = parse(b"1 0 0:1 / /run rw - tmpfs  rw,size=4k\n").unwrap();
        assert_eq!((mounts[0].source.as_slice(), mounts[0].super_options.as_slice()), (&b""[..], &b"rw,size=4k"[..]));
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(unescape(b"\\04\\9\\777\\"), b"\\04\\9\\777\\");
    }

    #[test]
    fn a_line_without_a_dash_is_named() {
        assert_eq!(parse(b"1 0 0:1 / / rw shared:1\n").unwrap_err().place, Place::Line(1));
    }
}
