//! Where a search stopped, so that the next one goes on there.

use std::{
    ffi::OsString,
    fmt,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
    str::FromStr,
};

use text::{hex, unhex};

/// The longest path that a cursor holds, in bytes: longer strings are cut in an answer.
const LONGEST: usize = 900;

/// A path below the directory that is searched, and a place in that file.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resume {
    /// The path.
    pub path: PathBuf,
    /// None: all of it has been looked at.
    pub line: Option<Line>,
}

/// The last line that has been looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// From 1.
    pub number: u64,
    /// Where the file goes on, in bytes; 0 where that is not known.
    pub end: u64,
}

impl Resume {
    /// Whether a cursor can hold it.
    pub fn is_short(&self) -> bool {
        self.path.as_os_str().len() <= LONGEST
    }
}

impl fmt::Display for Resume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Line { number, end }) = self.line {
            write!(f, "{number}:{end}:")?;
        }
        f.write_str(&hex(self.path.as_os_str().as_bytes()))
    }
}

impl FromStr for Resume {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (line, path) = match text.rsplit_once(':') {
            None => (None, text),
            Some((line, path)) => {
                let (number, end) = line.split_once(':').ok_or(())?;
                let parse = |text: &str| text.parse().map_err(|_| ());
                (Some(Line { number: parse(number)?, end: parse(end)? }), path)
            }
        };
        let path: PathBuf = OsString::from_vec(unhex(path).ok_or(())?).into();
        let is_below = path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        (is_below && !path.as_os_str().as_bytes().contains(&0)).then_some(Self { path, line }).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        for path in [&b""[..], b"a", b"a/b c/d", b"\xff\n/x", b"12:3"] {
            for line in [None, Some(Line { number: 7, end: 99 })] {
                let resume = Resume { path: OsString::from_vec(path.to_owned()).into(), line };
                assert_eq!(resume.to_string().parse(), Ok(resume));
            }
        }
        // up, from the root, not hexadecimal, a zero, half a place
        for wrong in ["2e2e", "2f61", "6", "zz", "00", "7:61", ":61", "7:x:61", "1:2:3:61"] {
            assert_eq!(wrong.parse::<Resume>(), Err(()), "{wrong}");
        }
    }
}
