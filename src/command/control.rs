//! How a command speaks to the server at work on this machine: a socket in its state directory, for its user and root. One line says what
//! to read again; the answer's first line says whether all of it could be taken up, the second which token file counts, and the rest is for people.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use super::Error;

/// The socket's name in the state directory.
pub(super) const NAME: &str = "control.sock";

/// Reads all again.
pub(super) const RELOAD: &str = "reload";

/// Reads the tokens again.
pub(super) const TOKENS: &str = "tokens";

/// The first line, if all could be taken up.
pub(super) const GOOD: &str = "good";

/// The first line, if something is wrong.
pub(super) const WRONG: &str = "wrong";

/// How long the server has to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a server says.
#[derive(Debug)]
pub(super) struct Answer {
    /// Whether all could be taken up.
    pub(super) is_good: bool,
    /// The token file by which it lets callers in; none in a trial.
    pub(super) token_file: Option<PathBuf>,
    /// What it says to people.
    pub(super) words: String,
}

/// Asks the server that keeps its state in this directory.
pub(super) fn ask(state_directory: &Path, what: &str) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(state_directory.join(NAME))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    writeln!(stream, "{what}")?;
    let mut answer = String::new();
    stream.take(1 << 20).read_to_string(&mut answer)?;
    let mut parts = answer.splitn(3, '\n');
    let (Some(first), Some(file), Some(words)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended before it had answered"));
    };
    Ok(Answer {
        is_good: first == GOOD,
        token_file: (!file.is_empty()).then(|| file.into()),
        words: words.trim_end().to_owned(),
    })
}

/// Why there was no answer, in words for the operator.
pub(super) fn unanswered(state_directory: &Path, error: &io::Error) -> Error {
    let socket = state_directory.join(NAME);
    let socket = socket.display();
    Error::Other(match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
            "no server listens at {socket}: none is at work, its state is elsewhere (--config FILE says where), or it cannot write there and takes SIGHUP alone"
        ),
        io::ErrorKind::PermissionDenied => format!("{socket}: only root and the server's own user may speak to it"),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            format!("{socket}: no answer within {} s", PATIENCE.as_secs())
        }
        _ => format!("{socket}: {error}"),
    })
}
