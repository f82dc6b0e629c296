//! How a tool fails: one sentence the caller can act on, and what only the log may know.

use std::borrow::Cow;

/// A tool's failure, in the terms a caller can act on. The text of each variant is a whole clause that names the thing
/// and, where there is something to do about it, says what.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The arguments do not make sense; says which and what would.
    #[error("{0}")]
    Invalid(String),
    /// The thing asked for is not there.
    #[error("{0} does not exist")]
    NotFound(String),
    /// The server itself lacks the right, whatever the caller's scope.
    #[error("{0} may not be read by this server")]
    Denied(String),
    /// The same of changing it.
    #[error("{0} may not be changed by this server")]
    Unchangeable(String),
    /// The kernel or a service does not offer this here.
    #[error("{0} is not available on this machine")]
    Unavailable(String),
    /// A service that this needs is away, or does not speak as it should. A whole sentence that says what to do.
    #[error("{0}")]
    Away(String),
    /// The operator's configuration does not let this caller do it, or the server never does. A whole sentence.
    #[error("{0}")]
    Forbidden(String),
    /// The caller holds no grant of it. A whole sentence that says what it holds.
    #[error("{0}")]
    NotGranted(String),
    /// A service would not do it as things stand. A whole sentence, with what it said.
    #[error("{0}")]
    Refused(String),
    /// It takes longer than a client waits. It goes on, and is on record. A whole sentence that says where to look.
    #[error("{0}")]
    StillRunning(String),
    /// The work did not end within its time limit.
    #[error("{0} did not answer in time")]
    TimedOut(String),
    /// Too much is asked of the server at once; worth another try.
    #[error("{0}; try again in {1} s")]
    Busy(Cow<'static, str>, u64),
    /// The call could not be put on record, and what is not on record is not answered.
    #[error("the audit log cannot be written, so no call is answered; whoever runs the server has to make room for it")]
    Unaudited,
    /// It was done, and what came of it could not be put on record; its attempt is.
    #[error(
        "it was done, but what came of it could not be put on the audit log; look before you try again, and have whoever runs the server make room for the log"
    )]
    Unrecorded,
    /// The caller took its question back.
    #[error("the call was cancelled")]
    Cancelled,
    /// A kernel file does not read as the kernel documents it. Says which and where.
    #[error("a kernel file is odd: {0}")]
    Odd(String),
    /// Anything else: our own bug, or a kernel file that makes no sense. The caller learns only that it happened.
    #[error("internal error; the server's log has the reason")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Failure {
    /// An internal failure from words alone.
    pub fn internal(why: impl Into<String>) -> Self {
        Self::Internal(why.into().into())
    }

    /// Files an I/O error on `what` under the kind a caller can act on.
    pub fn from_io(what: impl Into<String>, source: std::io::Error) -> Self {
        let what = what.into();
        match rustix::io::Errno::from_io_error(&source) {
            // a process that ends while its files are read gives ESRCH
            Some(rustix::io::Errno::NOENT | rustix::io::Errno::SRCH | rustix::io::Errno::NOTDIR) => {
                Self::NotFound(what)
            }
            Some(rustix::io::Errno::PERM | rustix::io::Errno::ACCESS | rustix::io::Errno::LOOP) => Self::Denied(what),
            Some(
                rustix::io::Errno::NODEV
                | rustix::io::Errno::NODATA
                | rustix::io::Errno::OPNOTSUPP
                | rustix::io::Errno::NOSYS,
            ) => Self::Unavailable(what),
            _ => Self::Internal(format!("{what}: {source}").into()),
        }
    }

    /// The word a caller can branch on, and the audit record's `kind`. Exhaustive, so that a new failure must choose one.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::NotFound(_) => "not_found",
            Self::Denied(_) | Self::Unchangeable(_) => "denied",
            Self::Unavailable(_) => "unavailable",
            Self::Away(_) => "away",
            Self::Forbidden(_) => "forbidden",
            Self::NotGranted(_) => "not_granted",
            Self::Refused(_) => "refused",
            Self::StillRunning(_) => "still_running",
            Self::TimedOut(_) => "timed_out",
            Self::Busy(..) => "busy",
            Self::Unaudited => "unaudited",
            Self::Unrecorded => "unrecorded",
            Self::Cancelled => "cancelled",
            Self::Odd(_) => "odd",
            Self::Internal(_) => "internal",
        }
    }

    /// Every word that [`Self::kind`] gives.
    pub const KINDS: [&'static str; 16] = [
        "invalid",
        "not_found",
        "denied",
        "unavailable",
        "away",
        "forbidden",
        "not_granted",
        "refused",
        "still_running",
        "timed_out",
        "busy",
        "unaudited",
        "unrecorded",
        "cancelled",
        "odd",
        "internal",
    ];

    /// Turns "there is no such file" into a value, and lets every other failure through.
    pub fn absent<T>(result: Result<T, Self>) -> Result<Option<T>, Self> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Self::NotFound(_) | Self::Unavailable(_)) => Ok(None),
            Err(other) => Err(other),
        }
    }
}
