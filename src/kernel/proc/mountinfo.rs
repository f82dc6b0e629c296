//! `/proc/PID/mountinfo`, see proc_pid_mountinfo(5).

use super::{Malformed, Position, number};

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

/// One line of the table, its columns as they are written: with the kernel's escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// See [`Mount::id`].
    pub id: u32,
    /// See [`Mount::parent`].
    pub parent: u32,
    /// See [`Mount::major`].
    pub major: u32,
    /// See [`Mount::minor`].
    pub minor: u32,
    /// See [`Mount::root`].
    pub root: &'a [u8],
    /// See [`Mount::mount_point`].
    pub mount_point: &'a [u8],
    /// See [`Mount::options`].
    pub options: &'a [u8],
    /// See [`Mount::optional`].
    pub optional: &'a [u8],
    /// See [`Mount::fs_type`].
    pub fs_type: &'a [u8],
    /// See [`Mount::source`].
    pub source: &'a [u8],
    /// See [`Mount::super_options`].
    pub super_options: &'a [u8],
}

/// Reads a table line by line, and keeps the first line that makes no sense.
#[derive(Debug, Default)]
pub struct Lines {
    read: usize,
    odd: Option<Malformed>,
}

/// Reads the bytes of `/proc/PID/mountinfo`, without the lines that make no sense; the first of these stands beside it.
pub fn parse(bytes: &[u8]) -> (Vec<Mount>, Option<Malformed>) {
    let mut lines = Lines::default();
    let mounts = bytes.split(|byte| *byte == b'\n').filter_map(|line| Some(lines.parse(line)?.mount())).collect();
    (mounts, lines.odd())
}

impl Lines {
    /// The next line. `None`: it is empty, or makes no sense.
    pub fn parse<'a>(&mut self, line: &'a [u8]) -> Option<Line<'a>> {
        self.read += 1;
        let parsed = Line::parse(line);
        if parsed.is_none() && !line.is_empty() && self.odd.is_none() {
            self.odd = Some(Malformed { file: "mountinfo", position: Position::Line(self.read) });
        }
        parsed
    }

    /// The first line that made no sense.
    pub fn odd(self) -> Option<Malformed> {
        self.odd
    }
}

impl<'a> Line<'a> {
    /// Reads one line, without its newline.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        // Not at runs of blanks: an empty source leaves two side by side.
        let mut columns = line.split(|byte| *byte == b' ');
        let id = number(columns.next()?)?;
        let parent = number(columns.next()?)?;
        let mut device = columns.next()?.splitn(2, |byte| *byte == b':').map(number);
        let (major, minor) = (device.next()??, device.next()??);
        let [root, mount_point, options] = [columns.next()?, columns.next()?, columns.next()?];
        let begin = options.as_ptr().addr() + options.len() + 1 - line.as_ptr().addr();
        let dash = columns.find(|column| *column == b"-")?;
        let end = (dash.as_ptr().addr() - line.as_ptr().addr()).saturating_sub(1);
        let [fs_type, source, super_options] = [columns.next()?, columns.next()?, columns.next()?];
        let optional = line.get(begin..end).unwrap_or_default();
        Some(Self { id, parent, major, minor, root, mount_point, options, optional, fs_type, source, super_options })
    }

    /// The same with the escapes undone.
    pub fn mount(&self) -> Mount {
        Mount {
            id: self.id,
            parent: self.parent,
            major: self.major,
            minor: self.minor,
            root: unescape(self.root),
            mount_point: unescape(self.mount_point),
            options: unescape(self.options),
            optional: self.optional.to_vec(),
            fs_type: unescape(self.fs_type),
            source: unescape(self.source),
            super_options: unescape(self.super_options),
        }
    }

    /// Whether control groups are mounted here, of either version.
    pub fn is_cgroup(&self) -> bool {
        matches!(self.fs_type, b"cgroup" | b"cgroup2")
    }
}

impl Mount {
    /// Whether the option stands in those of the mount or of its filesystem.
    pub fn has(&self, option: &[u8]) -> bool {
        has(&self.options, option) || has(&self.super_options, option)
    }
}

/// Whether an option stands in a list with commas.
pub fn has(list: &[u8], option: &[u8]) -> bool {
    list.split(|byte| *byte == b',').any(|have| have == option)
}

/// Undoes `\040` and its like: three octal digits for a byte.
pub fn unescape(column: &[u8]) -> Vec<u8> {
    if !column.contains(&b'\\') {
        return column.to_vec();
    }
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

    fn mounts(text: &[u8]) -> Vec<Mount> {
        let (mounts, odd) = parse(text);
        assert_eq!(odd, None);
        mounts
    }

    #[test]
    fn the_example_of_the_manual() {
        let mounts = mounts(b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n");
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
        let mounts = mounts(b"1 0 0:1 / / rw - ext4 a rw\n2 1 0:2 / /b rw shared:5 master:2 - ext4 b ro\n");
        assert_eq!(mounts[0].optional, b"");
        assert_eq!(mounts[1].optional, b"shared:5 master:2");
        assert!(mounts[1].has(b"ro") && !mounts[0].has(b"ro"));
    }

    #[test]
    fn names_are_bytes_and_escapes_are_undone() {
        let mounts = mounts(b"1 0 0:1 / /a\\040b\\134\xff rw - fuse.x //nas/my\\040files rw\n");
        assert_eq!(mounts[0].mount_point, b"/a b\\\xff");
        assert_eq!(mounts[0].source, b"//nas/my files");
    }

    #[test]
    fn the_source_may_be_empty() {
        let mounts = mounts(b"1 0 0:1 / /run rw - tmpfs  rw,size=4k\n");
        assert_eq!((mounts[0].source.as_slice(), mounts[0].super_options.as_slice()), (&b""[..], &b"rw,size=4k"[..]));
    }

    #[test]
    fn what_is_no_escape_stays() {
        assert_eq!(unescape(b"\\04\\9\\777\\"), b"\\04\\9\\777\\");
    }

    #[test]
    fn a_line_without_a_dash_is_left_out_and_named() {
        let (mounts, odd) = parse(b"1 0 0:1 / / rw - ext4 a rw\n\n2 1 0:1 / /b rw shared:1\n3 1 0:1 / /c rw - ext4 a\n4 1 0:1 / /d rw - ext4 a rw");
        let points: Vec<_> = mounts.iter().map(|mount| mount.mount_point.as_slice()).collect();
        assert_eq!((points, odd.map(|odd| odd.position)), (vec![&b"/"[..], b"/d"], Some(Position::Line(3))));
    }
}
