//! The socket by which commands on this machine tell the server to read something again.

use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::geteuid;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    task::JoinSet,
    time::timeout,
};

use super::reload::{Reload, What};
use crate::{
    command::control::{FAILED, NAME, OK, RELOAD, TOKENS, is_same},
    unix::{Access, Bound},
};

/// How long a command has to say what it wants, and to take the answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest line of a command, in bytes: a word and a path.
const LONGEST: u64 = 5000;

/// Commands that are answered at the same time; more wait.
const AT_ONCE: usize = 8;

/// Listens in this directory. Where that cannot be, the server does without.
pub(super) fn listen(directory: &Path) -> Option<(Bound, UnixListener)> {
    let socket = directory.join(NAME);
    Bound::listen(&socket, Access::User)
        .inspect_err(|error| {
            tracing::warn!(socket = %socket.display(), %error, "commands do not reach this server here: `systemmanager-mcp reload` is by SIGHUP");
        })
        .ok()
}

/// Answers commands.
pub(super) async fn answer_forever(listener: UnixListener, reload: Reload, config: Option<PathBuf>) {
    let mut answering = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (reload, config) = (reload.clone(), config.clone());
                answering.spawn(async move {
                    if let Err(error) = answer(stream, &reload, config.as_deref()).await {
                        tracing::debug!(%error, "a command has gone");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no command can reach this server for now");
                tokio::time::sleep(TIMEOUT).await;
            }
        }
        while answering.len() >= AT_ONCE || answering.try_join_next().is_some() {
            if answering.len() >= AT_ONCE {
                answering.join_next().await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, reload: &Reload, config: Option<&Path>) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    // the socket's mode says the same
    if peer != 0 && peer != geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let (read, mut write) = stream.split();
    let (mut read, mut line) = (BufReader::new(read.take(LONGEST)), vec![]);
    timeout(TIMEOUT, read.read_until(b'\n', &mut line)).await??;
    let (word, rest) = line.split_at(line.iter().position(|byte| *byte == b' ').unwrap_or(line.len()));
    let rest = rest.strip_prefix(b" ").unwrap_or(rest);
    let asked = Path::new(OsStr::from_bytes(rest.strip_suffix(b"\n").unwrap_or(rest)));
    let said = match (word.trim_ascii(), config) {
        (word, Some(own)) if word == RELOAD.as_bytes() && !is_same(own, asked) => {
            Some(failed(&format!("the configuration of the running server is {}", own.display())))
        }
        (word, _) if word == RELOAD.as_bytes() => run(reload, What::All, read).await,
        (word, _) if word == TOKENS.as_bytes() => run(reload, What::Tokens, read).await,
        _ => Some(failed("the running server is of another version")),
    };
    match said {
        Some(answer) => timeout(TIMEOUT, write.write_all(&answer)).await?,
        None => Ok(()),
    }
}

/// What comes of it; nothing, if the command has gone meanwhile.
async fn run(reload: &Reload, what: What, mut command: impl AsyncRead + Unpin) -> Option<Vec<u8>> {
    let mut more = [0; 16];
    let report = tokio::select! {
        report = reload.run(what) => report?,
        _ = command.read(&mut more) => return None,
    };
    let first = if report.is_ok() { OK } else { FAILED };
    let file = report.tokens.as_ref().map_or(&b""[..], |(file, _)| file.as_os_str().as_bytes());
    Some([first.as_bytes(), file, report.to_string().as_bytes()].join(&b'\n'))
}

fn failed(why: &str) -> Vec<u8> {
    format!("{FAILED}\n\n{why}\n").into_bytes()
}
