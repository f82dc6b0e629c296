//! Names of files, which may be any bytes, as an answer has them.

use std::fmt::Write as _;

use crate::text;

/// As it stands; in `$'…'`, as a shell takes it, where it has in it what cannot be shown or would not be seen: no name can pretend to be
/// two rows, or another name.
pub(crate) fn written(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(plain) if is_plain(plain) => plain.to_owned(),
        _ => quoted(name),
    }
}

fn is_plain(name: &str) -> bool {
    text::clean(name, usize::MAX) == name && name.trim() == name && !name.starts_with("$'")
}

fn quoted(name: &[u8]) -> String {
    let mut out = String::from("$'");
    for chunk in name.utf8_chunks() {
        for c in chunk.valid().chars() {
            let _ = match c {
                '\n' => write!(out, "\\n"),
                '\t' => write!(out, "\\t"),
                '\r' => write!(out, "\\r"),
                '\'' | '\\' => write!(out, "\\{c}"),
                c if text::clean(c.encode_utf8(&mut [0; 4]), 1) == *c.encode_utf8(&mut [0; 4]) => write!(out, "{c}"),
                c if c.is_ascii() => write!(out, "\\x{:02x}", u32::from(c)),
                c if u32::from(c) <= 0xffff => write!(out, "\\u{:04x}", u32::from(c)),
                c => write!(out, "\\U{:08x}", u32::from(c)),
            };
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out + "'"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_mistaken_is_quoted() {
        for (name, shown) in [
            (&b"plain.log"[..], "plain.log"),
            ("größe 中文".as_bytes(), "größe 中文"),
            (b"back\\slash 'quote'", "back\\slash 'quote'"),
            (b"two\nlines", "$'two\\nlines'"),
            (b"a\tb\\c'd\r", "$'a\\tb\\\\c\\'d\\r'"),
            (b"\x1b[31mred", "$'\\x1b[31mred'"),
            (b"bad\xff\xc3.log", "$'bad\\xff\\xc3.log'"),
            ("evil\u{202e}gpj.exe".as_bytes(), "$'evil\\u202egpj.exe'"),
            ("tag\u{e0041}".as_bytes(), "$'tag\\U000e0041'"),
            (b" blank", "$' blank'"),
            (b"$'x'", "$'$\\'x\\''"),
        ] {
            assert_eq!(written(name), shown);
            assert_eq!(text::clean(&written(name), usize::MAX), written(name), "and stays as it is");
        }
    }
}
