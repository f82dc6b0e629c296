//! What a file is that is not text, by how it begins.

/// Where it stands, the bytes, and what begins like this. The first that fits.
const TABLE: &[(usize, &[u8], &str)] = &[
    (0, b"\x1f\x8b", "gzip-compressed data"),
    (0, b"\xfd7zXZ\0", "xz-compressed data"),
    (0, b"\x28\xb5\x2f\xfd", "zstd-compressed data"),
    (0, b"BZh", "bzip2-compressed data"),
    (0, b"\x04\x22\x4d\x18", "lz4-compressed data"),
    (0, b"LZIP", "lzip-compressed data"),
    (0, b"PK\x03\x04", "zip archive (or jar, docx, apk)"),
    (0, b"PK\x05\x06", "empty zip archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "7-zip archive"),
    (0, b"Rar!\x1a\x07", "RAR archive"),
    (257, b"ustar", "tar archive"),
    (0, b"!<arch>\ndebian-binary", "Debian package"),
    (0, b"!<arch>\n", "ar archive (static library)"),
    (0, b"\xed\xab\xee\xdb", "RPM package"),
    (0, b"070701", "cpio archive"),
    (0, b"070702", "cpio archive"),
    (0, b"\xc7\x71", "cpio archive"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG image"),
    (0, b"\xff\xd8\xff", "JPEG image"),
    (0, b"GIF87a", "GIF image"),
    (0, b"GIF89a", "GIF image"),
    (8, b"WEBP", "WebP image"),
    (8, b"WAVE", "WAVE audio"),
    (4, b"ftyp", "MP4 or HEIF media"),
    (0, b"OggS", "Ogg media"),
    (0, b"fLaC", "FLAC audio"),
    (0, b"\x1a\x45\xdf\xa3", "Matroska or WebM media"),
    (0, b"%PDF-", "PDF document"),
    (0, b"wOF2", "font"),
    (0, b"wOFF", "font"),
    (0, b"OTTO", "font"),
    (0, b"\0\x01\0\0\0", "font"),
    (0, b"SQLite format 3\0", "SQLite 3 database"),
    (12, b"\x61\x15\x06\0", "Berkeley DB"),
    (12, b"\x62\x31\x05\0", "Berkeley DB"),
    (16, b"\xde\xc0\xef\xbe", "LMDB database"),
    (0, b"\xce\x9a\x57\x13", "GDBM database"),
    (0, b"REDIS", "Redis dump"),
    (0, b"LPKSHHRH", "systemd journal"),
    (0, b"QFI\xfb", "qcow2 disk image"),
    (0, b"KDMV", "VMDK disk image"),
    (0, b"vhdxfile", "VHDX disk image"),
    (0, b"LUKS\xba\xbe", "LUKS encrypted volume"),
    (0, b"XFSB", "XFS filesystem"),
    (0, b"hsqs", "squashfs filesystem"),
    (0x438, b"\x53\xef", "ext2, ext3 or ext4 filesystem"),
    (0x200, b"EFI PART", "disk image with a GPT"),
    (0x202, b"HdrS", "Linux kernel"),
    (0, b"\xd0\x0d\xfe\xed", "device tree"),
    (0, b"\0asm", "WebAssembly module"),
    (0, b"\xca\xfe\xba\xbe", "Java class"),
    (0, b"MZ", "Windows or EFI program"),
    (0, b"DIRC", "git index"),
    (0, b"PACK\0", "git pack"),
    (0, b"\xfftOc", "git pack index"),
    (0, b"\xde\x12\x04\x95", "gettext messages"),
    (0, b"\xd4\xc3\xb2\xa1", "packet capture"),
    (0, b"\x0a\x0d\x0d\x0a", "packet capture"),
    (0, b"age-encryption.org/v1", "age-encrypted data"),
    (0, b"\xff\xfe\0\0", "UTF-32 text"),
    (0, b"\0\0\xfe\xff", "UTF-32 text"),
    // last, as it is a weak sign
    (510, b"\x55\xaa", "disk image with a boot sector"),
];

/// These begin with letters that a text may begin with: they are what they seem only if there is a zero byte, which text has not.
const LETTERS: &[&[u8]] = &[b"BZh", b"LZIP", b"MZ", b"DIRC", b"OTTO", b"REDIS", b"XFSB", b"hsqs", b"KDMV", b"OggS"];

/// What begins with `head`, if it is none of text's encodings and is known.
pub fn describe(head: &[u8]) -> Option<String> {
    if let Some(elf) = elf(head) {
        return Some(elf);
    }
    let has_zero = head.contains(&0);
    let fits = |(at, bytes, _): &&(usize, &[u8], &str)| {
        let there = head.get(*at..).is_some_and(|rest| rest.starts_with(bytes));
        // further in, a text may have anything
        there && (has_zero || *at == 0 && !LETTERS.contains(bytes) || *bytes == b"BZh" && is_bzip2(head))
    };
    let known = TABLE.iter().find(fits).map(|(_, _, words)| (*words).to_owned());
    known.or_else(|| der(head))
}

/// The size of its blocks, and the digits of pi.
fn is_bzip2(head: &[u8]) -> bool {
    head.get(3).is_some_and(u8::is_ascii_digit) && head.get(4..10) == Some(b"\x31\x41\x59\x26\x53\x59")
}

/// A program, with what it was made for.
fn elf(head: &[u8]) -> Option<String> {
    let [0x7f, b'E', b'L', b'F', class, order, ..] = head else { return None };
    let half = |at: usize| {
        let pair: [u8; 2] = head.get(at..at + 2)?.try_into().ok()?;
        Some(if *order == 2 { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) })
    };
    let bits = match class {
        1 => "32-bit",
        2 => "64-bit",
        _ => "of no known class",
    };
    let kind = match half(16) {
        Some(1) => "object file",
        Some(2) => "program",
        Some(3) => "program or shared library",
        Some(4) => "core dump",
        _ => "file",
    };
    let machine = match half(18) {
        Some(3) => "x86",
        Some(8) => "MIPS",
        Some(20) => "PowerPC",
        Some(21) => "PowerPC 64",
        Some(22) => "S390",
        Some(40) => "ARM",
        Some(62) => "x86-64",
        Some(183) => "AArch64",
        Some(243) => "RISC-V",
        Some(247) => "BPF",
        Some(258) => "LoongArch",
        Some(other) => return Some(format!("ELF {kind}, {bits}, machine {other}")),
        None => return Some(format!("ELF {kind}, {bits}, cut off")),
    };
    Some(format!("ELF {kind}, {bits}, {machine}"))
}

/// A certificate or a key: a sequence whose length is that of the rest, and in it a sequence or a number.
fn der(head: &[u8]) -> Option<String> {
    let [0x30, 0x82, _, _, 0x30 | 0x02, ..] = head else { return None };
    Some("DER data (certificate, key or the like)".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_tells_its_class_and_machine() {
        let mut head = [&b"\x7fELF\x02\x01\x01"[..], &[0; 9], &[3, 0, 62, 0]].concat();
        assert_eq!(describe(&head).as_deref(), Some("ELF program or shared library, 64-bit, x86-64"));
        (head[4], head[5], head[16], head[17], head[18], head[19]) = (1, 2, 0, 4, 0, 20);
        assert_eq!(describe(&head).as_deref(), Some("ELF core dump, 32-bit, PowerPC"));
        assert_eq!(describe(&head[..18]).as_deref(), Some("ELF core dump, 32-bit, cut off"));
    }

    #[test]
    fn text_that_begins_like_data_is_text() {
        for text in ["BZhang wrote this", "MZ is a name", "REDIS_URL=x", "PK is here", "OTTO", "DIRC", "BZh9", "0x", ""]
        {
            assert_eq!(describe(text.as_bytes()), None, "{text}");
        }
        let ustar = format!("{}ustar", "-".repeat(257));
        assert_eq!(describe(ustar.as_bytes()), None);
        assert_eq!(describe(ustar.replace('-', "\0").as_bytes()).as_deref(), Some("tar archive"));
        assert_eq!(describe(b"BZh91AY&SYxyz").as_deref(), Some("bzip2-compressed data"));
        assert_eq!(describe(b"MZ\x90\0").as_deref(), Some("Windows or EFI program"));
        assert_eq!(describe(b"\x30\x82\x03\x04\x30\x82").as_deref(), Some("DER data (certificate, key or the like)"));
    }
}
