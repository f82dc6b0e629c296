//! The socket by which commands on this machine tell the server to read something again.

use std::{io, path::Path, time::Duration};

use rustix::process::geteuid;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

use super::again::{What, Wishes};
use crate::{
    command::control::{GOOD, NAME, RELOAD, TOKENS, WRONG},
    unix::{Bound, For},
};

/// How long a command has to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest line of a command, in bytes.
const LONGEST: u64 = 64;

/// Listens in the state directory. Where that cannot be, the server does without.
pub(super) fn listen(state_directory: &Path) -> Option<(Bound, UnixListener)> {
    let socket = state_directory.join(NAME);
    Bound::listen(&socket, For::User)
        .inspect_err(|error| {
            tracing::warn!(socket = %socket.display(), %error, "`systemmanager-mcp reload` does not reach this server; SIGHUP does");
        })
        .ok()
}

/// Answers commands, one after the other.
pub(super) async fn answer_forever(listener: UnixListener, wishes: Wishes) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = answer(stream, &wishes).await {
                    tracing::debug!(%error, "a command has gone");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "no command can reach this server for now");
                tokio::time::sleep(PATIENCE).await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, wishes: &Wishes) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    // the socket's mode says the same
    if peer != 0 && peer != geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let (read, mut write) = stream.split();
    let mut line = String::new();
    tokio::time::timeout(PATIENCE, BufReader::new(read.take(LONGEST)).read_line(&mut line)).await??;
    let what = match line.trim_end() {
        RELOAD => What::All,
        TOKENS => What::Tokens,
        _ => return write.write_all(format!("{WRONG}\n\nthis server is of another version\n").as_bytes()).await,
    };
    let Some(report) = wishes.ask(what).await else { return Ok(()) };
    let first = if report.is_good() { GOOD } else { WRONG };
    let file = report.tokens.as_ref().map(|(file, _)| file.display().to_string()).unwrap_or_default();
    tokio::time::timeout(PATIENCE, write.write_all(format!("{first}\n{file}\n{report}").as_bytes())).await?
}
