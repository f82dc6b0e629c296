//! `/etc/os-release`, see os-release(5). Lines that make no sense are passed over, as a shell's user would wish.

/// Which distribution this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OsRelease {
    /// `ID`, for programs: `debian`; `linux` where it is missing, as the manual has it.
    pub id: String,
    /// `ID_LIKE`: what it is made from, the closest first.
    pub id_like: Vec<String>,
    /// `NAME`; `Linux` where it is missing.
    pub name: String,
    /// `PRETTY_NAME`, for people; `Linux` where it is missing.
    pub pretty_name: String,
    /// `VERSION`, for people; rolling distributions have none.
    pub version: Option<String>,
    /// `VERSION_ID`, for programs.
    pub version_id: Option<String>,
    /// `VERSION_CODENAME`: `bookworm`.
    pub version_codename: Option<String>,
    /// `VARIANT_ID`: `server`.
    pub variant_id: Option<String>,
    /// `BUILD_ID`: which image it was installed from.
    pub build_id: Option<String>,
    /// `VARIANT`, for people.
    pub variant: Option<String>,
    /// `IMAGE_ID`: which image it runs.
    pub image_id: Option<String>,
    /// `IMAGE_VERSION`: the version of that image.
    pub image_version: Option<String>,
    /// `SUPPORT_END`: the day on which support ends, such as `2027-06-30`.
    pub support_end: Option<String>,
}

impl OsRelease {
    /// Reads the text of `os-release`.
    pub fn parse(text: &str) -> Self {
        let value = |name: &str| {
            // The last one counts, as in a shell.
            let mut lines = text.lines().rev().filter_map(assignment);
            lines.find(|(have, _)| *have == name).map(|(_, value)| value).filter(|value| !value.is_empty())
        };
        Self {
            id: value("ID").unwrap_or_else(|| "linux".to_owned()),
            id_like: value("ID_LIKE").unwrap_or_default().split_ascii_whitespace().map(str::to_owned).collect(),
            name: value("NAME").unwrap_or_else(|| "Linux".to_owned()),
            pretty_name: value("PRETTY_NAME").unwrap_or_else(|| "Linux".to_owned()),
            version: value("VERSION"),
            version_id: value("VERSION_ID"),
            version_codename: value("VERSION_CODENAME"),
            variant_id: value("VARIANT_ID"),
            build_id: value("BUILD_ID"),
            variant: value("VARIANT"),
            image_id: value("IMAGE_ID"),
            image_version: value("IMAGE_VERSION"),
            support_end: value("SUPPORT_END"),
        }
    }
}

/// `NAME=value`, the quotes undone; `None` for comments and what makes no sense.
pub(super) fn assignment(line: &str) -> Option<(&str, String)> {
    let (name, value) = line.trim_ascii().split_once('=')?;
    let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (!name.is_empty() && name.bytes().all(known)).then_some(())?;
    Some((name, unquote(value)?))
}

/// What a shell makes of one word; `None` if a quote has no end.
fn unquote(value: &str) -> Option<String> {
    let mut plain = String::with_capacity(value.len());
    let mut quote = None;
    let mut rest = value.chars();
    while let Some(character) = rest.next() {
        match (quote, character) {
            (None, '\'' | '"') => quote = Some(character),
            (Some(open), _) if character == open => quote = None,
            (None, '\\') => plain.push(rest.next()?),
            (Some('"'), '\\') => {
                // Only these four need it there; before another one the backslash is meant.
                let escaped = rest.next()?;
                plain.extend((!matches!(escaped, '"' | '\\' | '$' | '`')).then_some('\\'));
                plain.push(escaped);
            }
            _ => plain.push(character),
        }
    }
    quote.is_none().then_some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_undone() {
        let text = "# a comment\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nID=debian\nVERSION_ID='12'\nID_LIKE=\"a b\"\n";
        let os = OsRelease::parse(text);
        assert_eq!((os.id.as_str(), os.pretty_name.as_str()), ("debian", "Debian GNU/Linux 12 (bookworm)"));
        assert_eq!((os.version_id.as_deref(), os.version), (Some("12"), None));
        assert_eq!(os.id_like, ["a", "b"]);
    }

    #[test]
    fn an_empty_file_is_some_linux() {
        let os = OsRelease::parse("");
        assert_eq!((os.id.as_str(), os.name.as_str(), os.pretty_name.as_str()), ("linux", "Linux", "Linux"));
    }

    #[test]
    fn the_last_line_counts() {
        assert_eq!(OsRelease::parse("ID=a\nID=b\n").id, "b");
    }

    #[test]
    fn words_are_what_a_shell_makes_of_them() {
        for (value, plain) in [
            (r#""a\"b\$c\`d\\e\f""#, Some(r#"a"b$c`d\e\f"#)),
            (r"'a\b'", Some(r"a\b")),
            (r"a\ b", Some("a b")),
            (r#"a"b"'c'"#, Some("abc")),
            ("", Some("")),
            ("'a", None),
            ("a\\", None),
        ] {
            assert_eq!(unquote(value).as_deref(), plain, "{value}");
        }
    }
}
