//! What could not be read: a gap in an answer never costs the rest of it.

use std::{cell::RefCell, str::FromStr};

use schemars::JsonSchema;
use serde::Serialize;

use kernel::{failure::Failure, proc::Malformed, root::Root};
use text::table::Table;

/// Gaps that one answer lists; more are counted in a last row.
const MOST: usize = 16;

/// A kernel file, or a part of one, that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Gap {
    /// The file's path.
    pub file: String,
    /// Why its figures are null.
    pub why: Why,
    /// The line or field, the error, or the kernel version that brought the file.
    pub detail: Option<String>,
}

/// Why a figure is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// This kernel, or this container, does not have it.
    Missing,
    /// The server lacks the right to read it.
    Denied,
    /// It does not read as the kernel documents it, or reading it fails.
    Odd,
}

impl Why {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Denied => "denied",
            Self::Odd => "odd",
        }
    }
}

/// The gaps of one answer, one row for each file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Gaps(Table<Gap>, #[serde(skip)] usize);

impl Gaps {
    /// Whether everything could be read.
    pub fn is_empty(&self) -> bool {
        self.0.0.is_empty()
    }

    /// How many there are beyond those that have rows of their own.
    pub fn more(&self) -> usize {
        self.1
    }

    /// The rows.
    pub fn rows(&self) -> &[Gap] {
        &self.0.0
    }
}

/// Reads the kernel's files for one answer, and keeps what could not be read.
///
/// Most methods come in two kinds: for a file that this machine need not have (its absence is a value, and no gap), and for one that is
/// expected (its absence is a gap).
#[derive(Debug)]
pub struct Reader<'a> {
    root: &'a Root,
    found: RefCell<Found>,
}

#[derive(Debug, Default)]
struct Found {
    gaps: Vec<Gap>,
    more: usize,
}

impl<'a> Reader<'a> {
    /// Nothing is read yet.
    pub fn new(root: &'a Root) -> Self {
        Self { root, found: RefCell::default() }
    }

    /// Where it reads.
    pub fn root(&self) -> &'a Root {
        self.root
    }

    /// The file as text. `None`: it is not there, or there is a gap.
    pub fn text(&self, path: &str) -> Option<String> {
        self.keep(path, Failure::absent(self.root.text(path))).flatten()
    }

    /// The file as bytes. `None` as for [`Reader::text`].
    pub fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        self.keep(path, Failure::absent(self.root.bytes(path))).flatten()
    }

    /// The file as text; its absence is a gap. Of a file that came with a later kernel say that yourself: [`Reader::missing`].
    pub fn expected(&self, path: &str) -> Option<String> {
        self.keep(path, self.root.text(path))
    }

    /// A file of one word, as [`Root::word`].
    pub fn word(&self, path: &str) -> Option<String> {
        self.keep(path, self.root.word(path)).flatten()
    }

    /// A file of one number, as [`Root::number`].
    pub fn number<N: FromStr>(&self, path: &str) -> Option<N> {
        self.keep(path, self.root.number(path)).flatten()
    }

    /// The names in a directory, sorted; none if it is not there.
    pub fn names(&self, path: &str) -> Vec<String> {
        self.keep(path, Failure::absent(self.root.names(path))).flatten().unwrap_or_default()
    }

    /// What was read of `path`. A failure becomes a gap; that there is nothing at `path` is a failure here.
    pub fn keep<T>(&self, path: &str, result: Result<T, Failure>) -> Option<T> {
        let (why, detail) = match result {
            Ok(value) => return Some(value),
            Err(Failure::NotFound(_) | Failure::Unavailable(_)) => (Why::Missing, None),
            Err(Failure::Denied(_)) => (Why::Denied, None),
            Err(Failure::Internal(source)) => {
                let error = source.to_string();
                // the row names the file already
                let detail = error.strip_prefix(path).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(&error);
                (Why::Odd, Some(detail.to_owned()))
            }
            Err(Failure::Odd(what)) => (Why::Odd, Some(what)),
            Err(other) => (Why::Odd, Some(other.to_string())),
        };
        self.gap(path, why, detail);
        None
    }

    /// What a parser made of the file at `path`. What makes no sense becomes a gap.
    pub fn parsed<T>(&self, path: &str, result: Result<T, Malformed>) -> Option<T> {
        result.map_err(|malformed| self.malformed(path, &malformed)).ok()
    }

    /// What a parser made of the file at `path` and the first place that it had to leave out.
    pub fn lenient<T>(&self, path: &str, (value, odd): (T, Option<Malformed>)) -> T {
        if let Some(malformed) = odd {
            self.malformed(path, &malformed);
        }
        value
    }

    fn malformed(&self, path: &str, malformed: &Malformed) {
        self.odd(path, format!("cannot read {}", malformed.position));
    }

    /// Says that the file at `path` is not there, and with which kernel it came.
    pub fn missing(&self, path: &str, since: Option<&str>) {
        self.gap(path, Why::Missing, since.map(str::to_owned));
    }

    /// Says what is odd about the file at `path`; never what stands in it.
    pub fn odd(&self, path: &str, what: impl Into<String>) {
        self.gap(path, Why::Odd, Some(what.into()));
    }

    fn gap(&self, path: &str, why: Why, detail: Option<String>) {
        let mut found = self.found.borrow_mut();
        let file = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if found.gaps.iter().any(|gap| gap.file == file) {
            return;
        }
        if found.gaps.len() < MOST {
            found.gaps.push(Gap { file, why, detail });
        } else {
            found.more += 1;
        }
    }

    /// Takes over those gaps that were found before, such as those of a sample, in which one of `files` lies: whole paths or their beginnings,
    /// such as `/proc/pressure/`. What was counted and not listed there is not taken over: nobody knows which files these were.
    pub fn add(&self, gaps: &Gaps, files: &[&str]) {
        for gap in gaps.rows().iter().filter(|gap| files.iter().any(|file| gap.file.starts_with(file))) {
            self.gap(&gap.file, gap.why, gap.detail.clone());
        }
    }

    /// What could not be read.
    pub fn gaps(self) -> Gaps {
        let Found { mut gaps, more } = self.found.into_inner();
        if more > 0 {
            gaps.push(Gap { file: format!("{more} more"), why: Why::Odd, detail: None });
        }
        Gaps(Table(gaps), more)
    }
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[expect(clippy::disallowed_methods, reason = "makes the tree to be read")]
    fn tree(name: &str) -> std::path::PathBuf {
        let dir = std::env::temp_dir().join(format!("gap-{name}-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("proc")).unwrap();
        std::fs::write(dir.join("proc/here"), "7\n").unwrap();
        dir
    }

    #[test]
    fn absence_is_a_gap_only_where_the_file_is_expected() {
        let dir = tree("absent");
        let root = Root::open(&dir).unwrap().failing([("proc/shut".to_owned(), Errno::ACCESS)].into());
        let reader = Reader::new(&root);
        assert_eq!(reader.number::<u8>("proc/here"), Some(7));
        assert_eq!(reader.text("proc/away"), None);
        assert_eq!(reader.names("proc/none"), [] as [&str; 0]);
        assert!(reader.found.borrow().gaps.is_empty());
        assert_eq!(reader.expected("proc/stat"), None);
        reader.missing("proc/pressure/io", Some("since Linux 4.20"));
        assert_eq!(reader.word("proc/shut"), None);
        assert_eq!(reader.parsed::<()>("proc/here", Err(Malformed::field("here", "Seven"))), None);
        reader.odd("proc/here", "told once");
        let gap =
            |file: &str, why, detail: Option<&str>| Gap { file: file.into(), why, detail: detail.map(Into::into) };
        assert_eq!(
            reader.gaps().rows(),
            [
                gap("/proc/stat", Why::Missing, None),
                gap("/proc/pressure/io", Why::Missing, Some("since Linux 4.20")),
                gap("/proc/shut", Why::Denied, None),
                gap("/proc/here", Why::Odd, Some("cannot read the field Seven")),
            ]
        );
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn many_gaps_are_counted() {
        let root = Root::open(std::path::Path::new("/")).unwrap();
        let reader = Reader::new(&root);
        for number in 0..MOST + 3 {
            reader.odd(&format!("proc/{number}/io"), "cut");
        }
        let gaps = reader.gaps();
        assert_eq!((gaps.rows().len(), gaps.rows()[MOST].file.as_str()), (MOST + 1, "3 more"));
    }
}
