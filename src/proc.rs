//! Kernel files: text in, struct out, no I/O. One module per file, named as the kernel names it.
//!
//! Names of processes, mounts and cgroups need not be UTF-8: a parser that meets them takes bytes and keeps them.

/// A kernel file that does not read as expected.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}: cannot read {line:?}")]
pub struct Malformed {
    /// The file, as the kernel names it.
    pub file: &'static str,
    /// The first line that made no sense, cut to 200 characters.
    pub line: String,
}

impl Malformed {
    /// Says that `line` of `file` made no sense.
    pub fn new(file: &'static str, line: impl AsRef<[u8]>) -> Self {
        let line = String::from_utf8_lossy(line.as_ref()).chars().take(200).collect();
        Self { file, line }
    }
}

impl From<Malformed> for crate::failure::Failure {
    fn from(malformed: Malformed) -> Self {
        Self::Internal(malformed.into())
    }
}
