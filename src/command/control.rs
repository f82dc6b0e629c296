//! How a command speaks to the server at work on this machine: by a socket that only the server's user and root may use. One line says what to
//! read again; the answer's first line says whether all of it could be taken up, the second names the token file, and the rest is for people.

use std::{
    ffi::OsStr,
    io::{self, Read, Write},
    os::unix::{ffi::OsStrExt, net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with,
    sockopt::{Timeout, set_socket_timeout},
};

use super::Error;
use crate::config::Environment;
use redact::clean;

/// The socket's name in the server's runtime directory, or where there is none, in its state directory.
pub(super) const NAME: &str = "control.sock";

/// The runtime directory of the unit, which a command outside of it is not told.
const USUAL: &str = "/run/systemmanager-mcp";

/// Reads all again, if this is its configuration, whose path follows.
pub(super) const RELOAD: &str = "reload";

/// Reads the tokens again.
pub(super) const TOKENS: &str = "tokens";

/// The first line, if all could be taken up.
pub(super) const OK: &str = "ok";

/// The first line, if something could not.
pub(super) const FAILED: &str = "failed";

/// How long the server has to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer, in bytes, and its longest line for people, in characters.
const LONGEST: u64 = 1 << 20;
const LONGEST_LINE: usize = 4000;

/// What a server says.
#[derive(Debug)]
pub(super) struct Answer {
    /// Whether all could be taken up.
    pub(super) is_ok: bool,
    /// The token file by which it lets callers in; none if it could not be read, and in a trial.
    pub(super) token_file: Option<PathBuf>,
    /// What it says to people.
    pub(super) words: String,
}

/// Where the server at work may listen that keeps its state in one of these directories.
pub(super) fn places(environment: &Environment, state_directories: &[PathBuf]) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = environment.runtime_directory().into_iter().collect();
    all.extend_from_slice(state_directories);
    all.push(USUAL.into());
    all.push(environment.state_directory());
    let mut places: Vec<PathBuf> = vec![];
    for place in all.into_iter().map(|directory| directory.join(NAME)) {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    places
}

/// Asks the server at work. `None`: nobody listens at any of these places, or nobody to whom this user may speak.
pub(super) fn ask(places: &[PathBuf], what: &[u8]) -> Result<Option<Answer>, Error> {
    for place in places {
        let failed = |error: &io::Error| Error::Other(format!("{}: {}", place.display(), words_of(error)));
        match connect(place) {
            Ok(stream) => return answer(stream, what).map(Some).map_err(|error| failed(&error)),
            Err(error) if is_nobody(&error) => (),
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(None)
}

/// No such socket, one that a server has left behind, one of another user's, or a path that no socket can have.
fn is_nobody(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::NotFound | Kind::ConnectionRefused | Kind::PermissionDenied | Kind::NotADirectory | Kind::InvalidInput
    )
}

fn words_of(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => format!("no answer within {} s", TIMEOUT.as_secs()),
        _ => error.to_string(),
    }
}

/// Whether both are one file. Its name may differ: a link, or where it is mounted.
pub(super) fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| rustix::fs::stat(path).ok().map(|stat| (stat.st_dev, stat.st_ino));
    one == other || identity(one).is_some_and(|one| Some(one) == identity(other))
}

/// Connects, and waits for it no longer than for anything else: a server that is stopped takes no connection.
fn connect(place: &Path) -> io::Result<UnixStream> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_timeout(&socket, Timeout::Send, Some(TIMEOUT))?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(place)?)?;
    Ok(socket.into())
}

fn answer(mut stream: UnixStream, what: &[u8]) -> io::Result<Answer> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(&[what, b"\n"].concat())?;
    let mut answer = vec![];
    stream.take(LONGEST).read_to_end(&mut answer)?;
    let mut parts = answer.splitn(3, |byte| *byte == b'\n');
    let (Some(first), Some(tokens), Some(words)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server ended before it had answered"));
    };
    let path = |bytes: &[u8]| (!bytes.is_empty()).then(|| Path::new(OsStr::from_bytes(bytes)).to_owned());
    let words = String::from_utf8_lossy(words);
    let words: Vec<_> = words.lines().map(|line| clean(line, LONGEST_LINE)).collect();
    Ok(Answer { is_ok: first == OK.as_bytes(), token_file: path(tokens), words: words.join("\n") })
}
