//! Names of files, which may be any bytes, as an answer has them and as a caller gives them back.

use std::{fmt::Write as _, os::unix::ffi::OsStrExt as _, path::Path, str::Chars};

use redact::clean;

/// A name as it stands; in `$'…'`, as a shell takes it, where it has in it what cannot be shown or would not be seen: no name can pretend to be
/// two rows, or another name.
pub fn quote(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(plain) if is_plain(plain) => plain.to_owned(),
        _ => quoted(name),
    }
}

/// The same of a path.
pub fn quote_path(path: &Path) -> String {
    quote(path.as_os_str().as_bytes())
}

fn is_plain(name: &str) -> bool {
    clean(name, usize::MAX) == name && name.trim() == name && !name.split('/').any(|part| part.starts_with("$'"))
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
                c if clean(c.encode_utf8(&mut [0; 4]), 1) == *c.encode_utf8(&mut [0; 4]) => write!(out, "{c}"),
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

/// The bytes of a path in which names, or the whole of it, stand as [`quote`] writes them. Whatever else is taken as it is, so that a path
/// has no second spelling that an audit log would be searched for in vain; and nothing means two files, as [`quote`] leaves no name alone
/// that begins with `$'`.
pub fn unquote(path: &str) -> Vec<u8> {
    let (mut out, mut rest) = (vec![], path);
    loop {
        if let Some((name, after)) = rest.strip_prefix("$'").and_then(quoted_name) {
            out.extend(name);
            rest = after;
        }
        let end = rest.find('/').map_or(rest.len(), |at| at + 1);
        out.extend(&rest.as_bytes()[..end]);
        rest = &rest[end..];
        if rest.is_empty() {
            return out;
        }
    }
}

/// What stands before the closing quote, and what comes after it: nothing, or another name.
fn quoted_name(text: &str) -> Option<(Vec<u8>, &str)> {
    let (mut name, mut chars) = (vec![], text.chars());
    loop {
        match chars.next()? {
            '\'' => break,
            '\\' => match chars.next()? {
                'n' => name.push(b'\n'),
                't' => name.push(b'\t'),
                'r' => name.push(b'\r'),
                c @ ('\'' | '\\') => name.push(c as u8),
                'x' => name.push(u8::try_from(digits(&mut chars, 2)?).ok()?),
                'u' => push(&mut name, char::from_u32(digits(&mut chars, 4)?)?),
                'U' => push(&mut name, char::from_u32(digits(&mut chars, 8)?)?),
                _ => return None,
            },
            c => push(&mut name, c),
        }
    }
    let after = chars.as_str();
    let is_end = after.is_empty() || after.starts_with('/');
    let is_as_written = || quote(&name).get(2..) == text.get(..text.len() - after.len());
    (is_end && is_as_written()).then_some((name, after))
}

fn digits(chars: &mut Chars<'_>, count: usize) -> Option<u32> {
    (0..count).try_fold(0_u32, |number, _| number.checked_mul(16)?.checked_add(chars.next()?.to_digit(16)?))
}

fn push(name: &mut Vec<u8>, c: char) {
    name.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
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
            assert_eq!(quote(name), shown);
            assert_eq!(clean(shown, usize::MAX), shown, "and stays as it is");
            assert_eq!(unquote(shown), name, "{shown}");
            let path = [b"/srv/", name, b"/", name, b"/x"].concat();
            assert_eq!(unquote(&format!("/srv/{shown}/{shown}/x")), path, "{shown}");
            assert_eq!(unquote(&quote(&path)), path, "{shown}");
        }
    }

    #[test]
    fn what_is_no_quoted_name_is_taken_as_it_is() {
        for path in [
            "",
            "/",
            "/a$'b'",
            "/$'a",
            "/$'a'b",
            "/$'a\\q'",
            "/$'a\\x4'",
            "/$'\\ud800'",
            "/$'\\U00110000'",
            "/$'\\Uffffffff'",
            "/$'a\\",
            "/$\"a\"",
        ] {
            assert_eq!(unquote(path), path.as_bytes(), "{path}");
        }
        // what could be written without
        for path in ["/$'a'", "/etc/$'\\x70asswd\\n'", "/$'..'", "$'/srv/\\x2e\\x2e/\\n'", "/$'a\\x0a'", "/$'a\\u000a'"]
        {
            assert_eq!(unquote(path), path.as_bytes(), "{path}");
        }
        assert_eq!(unquote("$'/a../\\n'/$'c\\0'"), b"/a../\n/$'c\\0'");
    }
}
