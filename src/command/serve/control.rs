//! The socket by which commands on this machine tell the server to read something again.

use std::{
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::geteuid;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    task::JoinSet,
    time::timeout,
};

use super::reload::{Reload, Report, What};
use crate::{
    command::control::{FAILED, NAME, OK, RELOAD, TOKENS},
    unix::{Access, Bound},
};

/// How long a command has to say what it wants, and to take the answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest line of a command, in bytes.
const LONGEST: u64 = 64;

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
pub(super) async fn answer_forever(listener: UnixListener, reload: Reload) {
    let mut answering = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let reload = reload.clone();
                answering.spawn(async move {
                    if let Err(error) = answer(stream, &reload).await {
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

async fn answer(mut stream: UnixStream, reload: &Reload) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    // the socket's mode says the same
    if peer != 0 && peer != geteuid().as_raw() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let (read, mut write) = stream.split();
    let mut line = String::new();
    timeout(TIMEOUT, BufReader::new(read.take(LONGEST)).read_line(&mut line)).await??;
    let answer = match line.trim_end() {
        RELOAD => answer_of(reload.run(What::All).await),
        TOKENS => answer_of(reload.run(What::Tokens).await),
        _ => Some(format!("{FAILED}\n\n\nthe running server is of another version\n").into_bytes()),
    };
    match answer {
        Some(answer) => timeout(TIMEOUT, write.write_all(&answer)).await?,
        None => Ok(()),
    }
}

fn answer_of(report: Option<Report>) -> Option<Vec<u8>> {
    let report = report?;
    let first = if report.is_ok() { OK } else { FAILED };
    let bytes = |path: Option<&PathBuf>| path.map_or(vec![], |path| path.as_os_str().as_bytes().to_vec());
    let files = [bytes(report.tokens.as_ref().map(|(file, _)| file)), bytes(report.config.as_ref())];
    Some([first.as_bytes(), &files[0], &files[1], report.to_string().as_bytes()].join(&b'\n'))
}
