//! Sockets: accept, TLS, the limits of a connection, and how it all ends.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    path::Path,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use http::{HeaderValue, StatusCode, header};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::{fs::Mode, io::Errno, net::sockopt};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};
use tokio_util::sync::CancellationToken;

use super::{
    connections::{Busy, Connection, Connections, Socket, UNREAD, UNTAKEN, Watched, Writing},
    http::Http,
};
use crate::config::{Listener, Service, Who};
use auth::{
    neighbourhood,
    trusted::{self, Whom},
};
use kernel::root::read_own;

pub use super::connections::Most;

/// The longest segment of TCP, in bytes, as on Ethernet. On loopback it would be 64 KiB: a client there, such as a proxy, acknowledges what is shorter 40 ms
/// later, and until then the kernel has no room for the rest of an answer that is longer than it may keep.
const SEGMENT: u32 = 1460;

/// How long calls may still run when the server is told to end.
const DRAIN: Duration = Duration::from_millis(700);

/// How long, when the server is told to end, requests are waited for that are on their way. Who is sent away without an answer cannot know
/// what has become of his.
const ON_ITS_WAY: Duration = Duration::from_millis(200);

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How many connections the kernel accepts before the server takes them.
pub const BACKLOG: u32 = 1024;

/// The longest head of a request, in bytes, and how much of the next one is read while a client takes no answers.
const HEAD: usize = 8 << 10;

/// How many requests a connection may send without waiting for their answers, in one go; then it is closed. No client of MCP sends two.
const AHEAD: usize = 100;

/// How many times a connection may be told that its credentials are no good; then it is closed.
const REFUSALS: usize = 8;

/// A certificate and its key, read and found to fit each other.
#[derive(Clone)]
pub struct Tls(Arc<ServerConfig>);

impl Tls {
    /// Reads both from PEM files.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, String> {
        let pem = |path: &Path| read_own(path, 1 << 20).map_err(|error| format!("{}: {error}", path.display()));
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&pem(certificate)?)
            .collect::<Result<_, _>>()
            .map_err(|_| format!("{}: not a certificate in PEM", certificate.display()))?;
        if chain.is_empty() {
            return Err(format!("{}: no certificate in it", certificate.display()));
        }
        check_exposure(key)?;
        let secret = PrivateKeyDer::from_pem_slice(&pem(key)?)
            .map_err(|_| format!("{}: no private key in PEM", key.display()))?;
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|config| config.with_no_client_auth().with_single_cert(chain, secret))
            .map_err(|error| format!("{} and {}: {error}", certificate.display(), key.display()))?;
        Ok(Self(Arc::new(config)))
    }
}

/// Refuses a key that others can read, or put in another's place: who has it can be this server.
fn check_exposure(key: &Path) -> Result<(), String> {
    let stat = rustix::fs::stat(key).map_err(|error| format!("{}: {error}", key.display()))?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    if mode.intersects(Mode::ROTH | Mode::WOTH | Mode::WGRP) {
        let secrets = "where it is a secret of Kubernetes, defaultMode: 0440 with fsGroup; of Docker, mode: 0400";
        return Err(format!("{0}: others may read or change this key; run: chmod 640 {0} ({secrets})", key.display()));
    }
    trusted::check_directory(key, Whom::OwnerOfDirectory)
        .map(drop)
        .map_err(|doubt| format!("{}: {doubt}", key.display()))
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

/// Everything that listens.
#[derive(Clone)]
pub struct Listeners {
    inner: Arc<Inner>,
}

struct Inner {
    http: Http,
    doors: Vec<Arc<Door>>,
    connections: Connections,
}

/// A place where callers come in.
#[derive(Debug)]
pub struct Door {
    tls: RwLock<Option<Tls>>,
    /// What is served there, besides whether the server is well.
    serves: Vec<Service>,
    /// Who may come.
    who: Who,
}

impl Door {
    /// The place that `listener` names, with this certificate.
    pub fn new(listener: &Listener, tls: Option<Tls>) -> Self {
        Self { tls: RwLock::new(tls), serves: listener.serves.clone(), who: listener.who }
    }

    /// Whether this is served there.
    pub fn serves(&self, service: Service) -> bool {
        self.serves.contains(&service)
    }

    /// Who may come.
    pub fn who(&self) -> Who {
        self.who
    }
}

/// Where a connection comes from, and to which of our places.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The place.
    pub door: &'a Door,
    /// The other end.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
}

impl Listeners {
    /// Serves `http` on at most so many connections at a time, at each of these places.
    pub fn new(http: Http, doors: Vec<Door>, most: Most) -> Self {
        let connections = Connections::new(most, http.bounds().unfinished());
        Self { inner: Arc::new(Inner { http, doors: doors.into_iter().map(Arc::new).collect(), connections }) }
    }

    /// Shows other certificates to those who come from now on, who may be so many; at a place for which there is `None` the one before.
    pub fn reload(&self, certificates: Vec<Option<Option<Tls>>>, most: Most) {
        for (door, tls) in self.inner.doors.iter().zip(certificates) {
            if let Some(tls) = tls {
                *door.tls.write().unwrap_or_else(PoisonError::into_inner) = tls;
            }
        }
        self.inner.connections.reload(most);
    }

    /// Serves these sockets, one for each place, until told to stop; then lets calls end for at most 0.7 s.
    pub async fn serve(&self, sockets: Vec<TcpListener>, stop: CancellationToken) {
        let at = sockets.into_iter().zip(&self.inner.doors);
        let accepting = at.map(|(socket, door)| self.clone().accept(socket, Arc::clone(door), stop.clone()));
        futures_util::future::join_all(accepting).await;
        let _ = tokio::time::timeout(DRAIN, self.inner.connections.none_left()).await;
    }

    async fn accept(self, socket: TcpListener, door: Arc<Door>, stop: CancellationToken) {
        let _ = SockRef::from(&socket).set_tcp_mss(SEGMENT);
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => self.take(stream, peer, &door, &stop),
                Err(error) => {
                    let shed = match Errno::from_io_error(&error) {
                        Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                            self.inner.connections.make_room()
                        }
                        _ => 0,
                    };
                    tracing::warn!(%error, shed, "a connection could not be accepted");
                    // the error stays until something is closed: do not spin on it
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        }
        // those that the kernel has accepted already would be reset with the socket, and could not know whether they were heard
        let Ok(socket) = socket.into_std() else { return };
        for _ in 0..BACKLOG {
            let (stream, peer) = match socket.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // gone again, or no file left to be had: the next one may fare better
                Err(_) => continue,
            };
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                self.take(stream, peer, &door, &stop);
            }
        }
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr, door: &Arc<Door>, stop: &CancellationToken) {
        let Some(connection) = self.inner.connections.enter(neighbourhood(peer.ip())) else {
            // all of them are busy: the newest has to go
            return tracing::warn!(%peer, "too many connections, none of them idle");
        };
        let (listeners, door, stop) = (self.clone(), Arc::clone(door), stop.clone());
        tokio::spawn(async move { listeners.connection(stream, peer, &door, connection, stop).await });
    }

    async fn connection(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        door: &Door,
        mut connection: Connection,
        stop: CancellationToken,
    ) {
        let Ok(local) = stream.local_addr() else { return };
        let _ = stream.set_nodelay(true);
        let _ = sockopt::set_socket_recv_buffer_size(&stream, UNREAD);
        let _ = sockopt::set_socket_send_buffer_size(&stream, UNTAKEN);
        // a client that takes no answer, or is gone without a word, is not waited for forever
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, 30_000);
        let origin = Origin { door, peer, local };
        let tls = door.tls.read().unwrap_or_else(PoisonError::into_inner).clone();
        let state = Arc::clone(&connection.state);
        let Some(tls) = tls else {
            return self.http(Watched::new(stream, state), origin, &mut connection, stop).await;
        };
        let acceptor = TlsAcceptor::from(tls.0);
        // what is encrypted and not taken waits in memory as well
        let accept = acceptor.accept_with(stream, |session| session.set_buffer_limit(Some(16 << 10)));
        let handshake = tokio::time::timeout(HANDSHAKE, accept);
        let shed = Arc::clone(&state);
        let stream = tokio::select! {
            done = handshake => match done {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%peer, %error, "no TLS"),
                Err(_) => return,
            },
            () = shed.leave.notified() => return,
            () = async { stop.cancelled().await; tokio::time::sleep(ON_ITS_WAY).await } => return,
        };
        self.http(Watched::new(stream, state), origin, &mut connection, stop).await;
    }

    async fn http<S: AsyncRead + AsyncWrite + Socket + Unpin>(
        &self,
        stream: Watched<S>,
        origin: Origin<'_>,
        connection: &mut Connection,
        stop: CancellationToken,
    ) {
        let state = &connection.state;
        let service = service_fn(|request| async {
            let busy = Busy::with(state);
            let ahead = state.ahead();
            if ahead > 0 {
                // it has sent more than one request: those of others come first
                tokio::task::yield_now().await;
            }
            let (mut answer, known) = self.inner.http.answer(request, origin, &state.arriving).await;
            state.is_known(known);
            let is_refused = answer.status() == StatusCode::UNAUTHORIZED && state.refusals() >= REFUSALS;
            if ahead >= AHEAD || is_refused {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer.map(|body| Writing::new(body, busy)))
        });
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            // ours knows an idle connection from half a request
            .header_read_timeout(None)
            .max_buf_size(HEAD)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(serving);
        let mut stopping = false;
        loop {
            let bounds = self.inner.http.bounds();
            let deadline = state.deadline(bounds.header_time, bounds.idle_time);
            tokio::select! {
                ended = &mut serving => {
                    if let Err(error) = ended {
                        tracing::debug!(peer = %origin.peer, %error, "a connection broke");
                    }
                    return;
                }
                () = tokio::time::sleep_until(deadline) => {
                    if state.is_over(bounds.header_time, bounds.idle_time) {
                        return;
                    }
                }
                () = state.leave.notified() => {
                    // it may have begun a request in the meantime; that one is still answered, unless the client keeps it from being so
                    if !state.is_busy() || state.is_blocked() {
                        return;
                    }
                    serving.as_mut().graceful_shutdown();
                }
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    if !state.is_busy() {
                        tokio::select! {
                            // what has come already is read before the time is looked at
                            biased;
                            _ = &mut serving => return,
                            () = tokio::time::sleep(ON_ITS_WAY) => (),
                        }
                    }
                    if !state.is_busy() {
                        return;
                    }
                    serving.as_mut().graceful_shutdown();
                }
            }
        }
    }
}
