//! What systemd hands to a service that it starts, and what it wants to hear of it: sockets that are open already (sd_listen_fds(3)), how
//! far the service has come, and that it lives (sd_notify(3)). Where it was not systemd that started this, all of it is nothing.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use listenfd::ListenFd;
use sd_notify::NotifyState;

use super::Error;

/// The sockets that are open already, with their addresses.
pub(super) fn sockets() -> Result<Vec<(SocketAddr, TcpListener)>, Error> {
    let mut handed = ListenFd::from_env();
    (0..handed.len())
        .filter_map(|place| handed.take_tcp_listener(place).transpose())
        .map(|socket| {
            let socket = socket?;
            socket.set_nonblocking(true)?;
            Ok((socket.local_addr()?, socket))
        })
        .collect::<std::io::Result<_>>()
        .map_err(|error| Error::Other(format!("a socket that systemd handed over is of no use here: {error}")))
}

/// The service does what it is for, in these words of `systemctl status`.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The service reads its settings again; [`ready`] ends it.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The service ends.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Says that this process lives, twice in the time in which it has to. Only for as long as tasks run: who spawns this on the runtime has a
/// process ended that no longer answers. It asks no more, such as a connection to its own listener: whoever took all connections would
/// then have the server ended.
pub(super) async fn live() {
    let Some(within) = sd_notify::watchdog_enabled() else { return };
    let mut beat = tokio::time::interval((within / 2).max(Duration::from_millis(1)));
    loop {
        beat.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd could not be told how the service is");
    }
}
