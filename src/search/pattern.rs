//! What a name, a path or a line has to look like, as a caller says it.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt, path::Path};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use kernel::failure::Failure;

/// The longest pattern, in bytes.
pub const LONGEST: usize = 500;

/// How much a regular expression may take, in bytes.
pub const SIZE: usize = 4 << 20;
/// How deep one may be nested.
pub const NESTED: u32 = 50;

/// How many globs one argument has at most.
const MOST: usize = 50;

/// Whether case counts: it does for whoever writes a capital.
pub fn is_cased(pattern: &str) -> bool {
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            // of `\W` and `\S` the capital is none; of `\p{Lu}` the rest is
            '\\' => drop(chars.next()),
            c if c.is_uppercase() => return true,
            _ => (),
        }
    }
    false
}

/// Checks how long it is.
pub fn check(argument: &str, pattern: &str) -> Result<(), Failure> {
    if pattern.is_empty() || pattern.len() > LONGEST {
        return Err(Failure::Invalid(format!("{argument} is a pattern of 1 to {LONGEST} bytes")));
    }
    Ok(())
}

/// What is wrong with a regular expression, in a clause: an error draws it over several lines, and says at the end.
pub fn complaint(argument: &str, error: &impl ToString) -> Failure {
    let why = error.to_string();
    let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
    Failure::Invalid(format!("{argument} is no regular expression that can be used: {why}"))
}

/// Globs: of names, and of paths below where a search began if they have a slash.
#[derive(Debug)]
pub struct Globs {
    names: GlobSet,
    paths: GlobSet,
}

impl Globs {
    /// These.
    pub fn new<T: AsRef<str>>(argument: &str, globs: &[T]) -> Result<Self, Failure> {
        if globs.len() > MOST {
            return Err(Failure::Invalid(format!("{argument} has {MOST} globs at most")));
        }
        let (paths, names): (Vec<&str>, Vec<&str>) =
            globs.iter().map(AsRef::as_ref).partition(|glob| glob.contains('/'));
        let set =
            |globs: &[&str]| {
                let mut set = GlobSetBuilder::new();
                for glob in globs {
                    check(argument, glob)?;
                    // the path is told without the slash before it
                    let written = glob.strip_prefix('/').unwrap_or(glob);
                    let built = GlobBuilder::new(written)
                        .literal_separator(true)
                        .backslash_escape(true)
                        .case_insensitive(!is_cased(glob))
                        .build();
                    set.add(built.map_err(|error| {
                        Failure::Invalid(format!("{argument}: {glob:?} is no glob: {}", error.kind()))
                    })?);
                }
                set.build().map_err(|error| Failure::Invalid(format!("{argument}: {error}")))
            };
        Ok(Self { names: set(&names)?, paths: set(&paths)? })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.paths.is_empty()
    }

    /// Whether one of them fits.
    pub fn fit(&self, name: &OsStr, path: &Path) -> bool {
        self.names.is_match(name) || !self.paths.is_empty() && self.paths.is_match(path)
    }
}

/// A regular expression of a name, or of a path if it has a slash.
#[derive(Debug)]
pub struct NameRegex {
    regex: regex::bytes::Regex,
    of_path: bool,
}

impl NameRegex {
    /// This one.
    pub fn new(argument: &str, pattern: &str) -> Result<Self, Failure> {
        check(argument, pattern)?;
        let regex = regex::bytes::RegexBuilder::new(pattern)
            .case_insensitive(!is_cased(pattern))
            .size_limit(SIZE)
            .dfa_size_limit(SIZE)
            .nest_limit(NESTED)
            .build();
        let regex = regex.map_err(|error| complaint(argument, &error))?;
        Ok(Self { regex, of_path: pattern.contains('/') })
    }

    /// Whether it is somewhere in there.
    pub fn fits(&self, name: &OsStr, path: &Path) -> bool {
        self.regex.is_match(if self.of_path { path.as_os_str().as_bytes() } else { name.as_bytes() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_counts_for_whoever_writes_a_capital() {
        for (pattern, cased) in [
            ("error", false),
            ("Error", true),
            (r"\Werror\S", false),
            ("größe", false),
            ("GRÖSSE", true),
            (r"\\E", true),
        ] {
            assert_eq!(is_cased(pattern), cased, "{pattern}");
        }
    }

    #[test]
    fn a_glob_with_a_slash_is_of_the_path() {
        for (glob, path, fits) in [
            ("*.log", "a/b/X.LOG", true),
            ("*.Log", "a/b/x.log", false),
            ("*.log", "a.log/b", false),
            ("a/*.log", "a/x.log", true),
            ("a/*.log", "b/a/x.log", false),
            ("a/*.log", "a/b/x.log", false),
            ("/a/*", "a/x", true),
            ("**/a/*", "b/a/x", true),
            ("a/**", "a/b/c", true),
            ("[ab]?{c,d}", "x/azd", true),
        ] {
            let globs = Globs::new("pattern", &[glob]).unwrap();
            let path = Path::new(path);
            assert_eq!(globs.fit(path.file_name().unwrap(), path), fits, "{glob} {path:?}");
        }
        assert!(Globs::new("pattern", &["["]).unwrap_err().to_string().contains("no glob"));
    }

    #[test]
    fn a_regular_expression_with_a_slash_is_of_the_path() {
        let fits = |pattern: &str, path: &str| {
            let path = Path::new(path);
            NameRegex::new("regex", pattern).unwrap().fits(path.file_name().unwrap(), path)
        };
        assert!(fits(r"^x\d+$", "a/X12") && !fits("a", "a/x") && fits("^a/", "a/x") && !fits("X", "x"));
        assert!(NameRegex::new("regex", "(").unwrap_err().to_string().contains("unclosed group"));
    }
}
