//! `docker-guard`: stand before the Engine's socket, until told to end.

use std::{path::Path, sync::Arc, time::SystemTime};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Error, end, machinery::own_container, systemd};
use crate::{
    audit::{Audit, Sink},
    config::Level,
    guard::{Guard, Settings},
    unix::{Access, Bound},
};
use jail::Trace;

/// Guards.
pub(super) async fn run(settings: Settings, listen: &Path, audit: &Sink) -> Result<(), Error> {
    super::log::start(Level::default());
    for socket in [&settings.docker, listen] {
        if let Some(bind) = settings.binds.iter().find(|bind| holds(bind, socket)) {
            let (bind, socket) = (bind.display(), socket.display());
            return Err(Error::Other(format!(
                "--bind {bind}: {socket} is in it, and whoever is given that is as good as root"
            )));
        }
    }
    for bind in &settings.binds {
        let trace = Trace::of(Path::new("/"), bind);
        if !trace.links.is_empty() {
            let (bind, end) = (bind.display(), trace.end.display());
            return Err(Error::Other(format!(
                "--bind {bind}: leads through a symbolic link; write where it leads: {end}"
            )));
        }
    }
    let audit = Arc::new(Audit::open(audit).map_err(Error::other)?);
    let stop = CancellationToken::new();
    let ending = tokio::spawn(end(stop.clone())?);
    let staying = tokio::spawn(stay()?);
    let (bound, listener) = Bound::listen(listen, Access::Group)
        .map_err(|error| Error::Other(format!("cannot listen at {}: {error}", listen.display())))?;
    let passes = if settings.read_only { "what reads" } else { "what reads, and what this program changes" };
    tracing::info!(socket = %listen.display(), docker = %settings.docker.display(), passes, "guarding");
    let living = tokio::spawn(systemd::live());
    systemd::ready(&format!("lets through {passes}"));
    let settings = Settings { own: own_container(), ..settings };
    Arc::new(Guard::new(settings, Arc::clone(&audit))).serve(listener, stop).await;
    drop(bound);
    living.abort();
    ending.abort();
    staying.abort();
    if let Err(error) = audit.finish(SystemTime::now()) {
        tracing::error!(%error, "the audit log could not be closed");
    }
    tracing::info!("ended");
    Ok(())
}

/// Stays on SIGHUP, which would end it: who tells a whole container to read its files anew tells this process too, and requests are on
/// their way through it.
fn stay() -> Result<impl Future<Output = ()>, Error> {
    let mut hangup = signal(SignalKind::hangup()).map_err(Error::other)?;
    Ok(async move {
        while hangup.recv().await.is_some() {
            tracing::info!("there is nothing to read anew: what it lets through stands in its arguments");
        }
    })
}

/// Whether `socket` is in `directory`, as both are written or by where their links lead.
fn holds(directory: &Path, socket: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    // the one that is listened at is not there yet
    let parent = socket.parent().map(real).unwrap_or_default();
    [socket, &parent, &real(socket)].iter().any(|path| path.starts_with(directory) || path.starts_with(real(directory)))
}
