//! Sockets: accept, TLS, the limits of a connection, and how it all ends.

use std::{
    collections::{HashMap, hash_map::Entry},
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hyper::{
    body::{Body, Frame, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::{fs::Mode, io::Errno};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::Instant,
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

use super::http::Http;
use crate::{
    auth::trusted::{self, Whom},
    root::read_own,
};

/// How long calls may still run when the server is told to end.
const DRAIN: Duration = Duration::from_millis(700);

/// How long, when the server is told to end, requests are waited for that are on their way. Who is sent away without an answer cannot know
/// what has become of his.
const ON_ITS_WAY: Duration = Duration::from_millis(200);

/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// How many connections the kernel accepts before the server takes them.
pub const BACKLOG: u32 = 1024;

/// How many idle connections make room at a time, at most.
const SHED: usize = 32;

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
        return Err(format!("{0}: others may read or change this key; run: chmod 640 {0}", key.display()));
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

/// How many connections may be open at a time. One more makes an idle one leave.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// From everywhere.
    pub in_all: usize,
    /// From one address.
    pub per_peer: usize,
}

/// Everything that listens.
#[derive(Clone)]
pub struct Listeners {
    inner: Arc<Inner>,
}

struct Inner {
    http: Http,
    tls: RwLock<Option<Tls>>,
    connections: Connections,
}

impl Listeners {
    /// Serves `http` on at most so many connections at a time, in TLS if there is a certificate.
    pub fn new(http: Http, tls: Option<Tls>, most: Most) -> Self {
        Self { inner: Arc::new(Inner { http, tls: RwLock::new(tls), connections: Connections::new(most) }) }
    }

    /// Shows another certificate to those who come from now on, who may be so many.
    pub fn reload(&self, tls: Option<Tls>, most: Most) {
        *self.inner.tls.write().unwrap_or_else(PoisonError::into_inner) = tls;
        self.inner.connections.lock().most = most;
    }

    /// Serves these sockets until told to stop, then lets calls end for at most 0.7 s.
    pub async fn serve(&self, sockets: Vec<TcpListener>, stop: CancellationToken) {
        let accepting = sockets.into_iter().map(|socket| self.clone().accept(socket, stop.clone()));
        futures_util::future::join_all(accepting).await;
        let _ = tokio::time::timeout(DRAIN, self.inner.connections.none_left()).await;
    }

    async fn accept(self, socket: TcpListener, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer)) => self.take(stream, peer, &stop),
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
                self.take(stream, peer, &stop);
            }
        }
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr, stop: &CancellationToken) {
        let Some(connection) = self.inner.connections.enter(peer.ip().to_canonical()) else {
            // all of them are busy: the newest has to go
            return tracing::warn!(%peer, "too many connections, none of them idle");
        };
        let (listeners, stop) = (self.clone(), stop.clone());
        tokio::spawn(async move { listeners.connection(stream, peer, connection, stop).await });
    }

    async fn connection(
        self,
        stream: TcpStream,
        peer: SocketAddr,
        mut connection: Connection,
        stop: CancellationToken,
    ) {
        let Ok(local) = stream.local_addr() else { return };
        let _ = stream.set_nodelay(true);
        // a client that takes no answer, or is gone without a word, is not waited for forever
        let _ = rustix::net::sockopt::set_tcp_user_timeout(&stream, 30_000);
        let tls = self.inner.tls.read().unwrap_or_else(PoisonError::into_inner).clone();
        let state = Arc::clone(&connection.state);
        let Some(tls) = tls else {
            return self.http(Watched { stream, state }, peer, local, &mut connection, stop).await;
        };
        let handshake = tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(tls.0).accept(stream));
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
        self.http(Watched { stream, state }, peer, local, &mut connection, stop).await;
    }

    async fn http<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: Watched<S>,
        peer: SocketAddr,
        local: SocketAddr,
        connection: &mut Connection,
        stop: CancellationToken,
    ) {
        let state = &connection.state;
        let service = service_fn(|request| async {
            let busy = Busy::with(state);
            let (answer, known) = self.inner.http.answer(request, peer, local).await;
            state.known.fetch_or(known, Ordering::Relaxed);
            Ok::<_, Infallible>(answer.map(|body| Writing { body, _busy: busy }))
        });
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            // ours knows an idle connection from half a request
            .header_read_timeout(None)
            .max_buf_size(16 << 10)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(serving);
        let mut stopping = false;
        loop {
            let bounds = self.inner.http.bounds();
            let deadline = state.deadline(bounds.header_time, bounds.idle_time);
            tokio::select! {
                ended = &mut serving => {
                    if let Err(error) = ended {
                        tracing::debug!(%peer, %error, "a connection broke");
                    }
                    return;
                }
                () = tokio::time::sleep_until(deadline) => {
                    if state.is_over(bounds.header_time, bounds.idle_time) {
                        return;
                    }
                }
                () = state.leave.notified() => {
                    // it may have begun a request in the meantime; that one is still answered
                    if !state.is_busy() {
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

/// How many idle connections make room at a time where so many may be open: several, as it takes a look at all of them, and not all.
fn batch(most: usize) -> usize {
    (most / 4).clamp(1, SHED)
}

/// The connections there are.
struct Connections {
    open: Arc<Mutex<Open>>,
    gone: Arc<Notify>,
}

struct Open {
    most: Most,
    next: u64,
    states: HashMap<u64, Arc<State>>,
    /// How many were not told to leave. Those that were and have not gone yet do not count, or a burst of newcomers would send
    /// everybody away.
    staying: usize,
    /// How many of those each address has.
    peers: HashMap<IpAddr, usize>,
}

impl Open {
    fn stays_no_more(&mut self, peer: IpAddr) {
        self.staying -= 1;
        if let Entry::Occupied(mut count) = self.peers.entry(peer) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

impl Connections {
    fn new(most: Most) -> Self {
        let open = Open { most, next: 0, states: HashMap::new(), staying: 0, peers: HashMap::new() };
        Self { open: Arc::new(Mutex::new(open)), gone: Arc::default() }
    }

    /// A place for one more from `peer`, for which idle ones make room if need be. `None`: all are busy.
    fn enter(&self, peer: IpAddr) -> Option<Connection> {
        let (most, in_all, from_peer) = {
            let open = self.lock();
            (open.most, open.staying, open.peers.get(&peer).copied().unwrap_or(0))
        };
        if from_peer >= most.per_peer && self.shed(batch(most.per_peer), |state| state.peer == peer) == 0 {
            return None;
        }
        if in_all >= most.in_all && self.shed(batch(most.in_all), |_| true) == 0 {
            return None;
        }
        let mut open = self.lock();
        let number = open.next;
        open.next += 1;
        let state = Arc::new(State::new(peer));
        open.states.insert(number, Arc::clone(&state));
        open.staying += 1;
        *open.peers.entry(peer).or_insert(0) += 1;
        Some(Connection { number, state, open: Arc::clone(&self.open), gone: Arc::clone(&self.gone) })
    }

    /// Tells some idle connections to leave, unless others are about to. Says how many.
    fn make_room(&self) -> usize {
        let going = |state: &Arc<State>| state.leaving.load(Ordering::Relaxed) && !state.is_busy();
        let most = {
            let open = self.lock();
            if open.states.values().any(going) {
                return 0;
            }
            open.most
        };
        self.shed(batch(most.in_all), |_| true)
    }

    /// Tells up to `count` idle connections of these to leave: first those that never showed good credentials, then the longest idle.
    /// Says how many.
    fn shed(&self, count: usize, of: impl Fn(&State) -> bool) -> usize {
        let mut open = self.lock();
        let mut idle: Vec<_> = open
            .states
            .values()
            .filter(|state| of(state) && !state.is_busy() && !state.leaving.load(Ordering::Relaxed))
            .map(|state| ((state.known.load(Ordering::Relaxed), state.last_change()), Arc::clone(state)))
            .collect();
        idle.sort_unstable_by_key(|(order, _)| *order);
        idle.truncate(count);
        for (_, state) in &idle {
            state.leaving.store(true, Ordering::Relaxed);
            open.stays_no_more(state.peer);
            state.leave.notify_one();
        }
        idle.len()
    }

    async fn none_left(&self) {
        loop {
            let gone = self.gone.notified();
            if self.lock().states.is_empty() {
                return;
            }
            gone.await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's place, given up when dropped.
struct Connection {
    number: u64,
    state: Arc<State>,
    open: Arc<Mutex<Open>>,
    gone: Arc<Notify>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.states.remove(&self.number);
            if !self.state.leaving.load(Ordering::Relaxed) {
                open.stays_no_more(self.state.peer);
            }
        }
        self.gone.notify_waiters();
    }
}

/// What a connection does.
struct State {
    peer: IpAddr,
    began: Instant,
    /// Requests that are being answered, or whose answer is not written yet.
    busy: AtomicUsize,
    /// Bytes have come that are no whole head of a request yet.
    partial: AtomicBool,
    /// It has shown good credentials once.
    known: AtomicBool,
    /// It was told to leave.
    leaving: AtomicBool,
    leave: Notify,
    /// Milliseconds from `began` to the last of these changes.
    since: AtomicU64,
}

impl State {
    fn new(peer: IpAddr) -> Self {
        Self {
            peer,
            began: Instant::now(),
            busy: AtomicUsize::new(0),
            partial: AtomicBool::new(false),
            known: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            leave: Notify::new(),
            since: AtomicU64::new(0),
        }
    }

    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    fn last_change(&self) -> Instant {
        self.began + Duration::from_millis(self.since.load(Ordering::Relaxed))
    }

    fn changed(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since.store(since, Ordering::Relaxed);
    }

    fn received(&self) {
        if !self.is_busy() && !self.partial.swap(true, Ordering::Relaxed) {
            self.changed();
        }
    }

    /// How long it may stay as it is.
    fn patience(&self, header_time: Duration, idle_time: Duration) -> Duration {
        if self.partial.load(Ordering::Relaxed) { header_time } else { idle_time }
    }

    /// When to look whether it has been silent for too long. Sooner than an idle one has to go: the first byte of a request changes that.
    fn deadline(&self, header_time: Duration, idle_time: Duration) -> Instant {
        let soon = header_time.min(idle_time);
        let due = self.last_change() + self.patience(header_time, idle_time).min(soon);
        // a request has limits of its own; an overdue look at it, or at an idle one, comes a while later
        if self.is_busy() || due <= Instant::now() { Instant::now() + soon } else { due }
    }

    fn is_over(&self, header_time: Duration, idle_time: Duration) -> bool {
        !self.is_busy() && self.last_change().elapsed() >= self.patience(header_time, idle_time)
    }
}

/// One request's claim on its connection, until its answer is written or given up.
struct Busy(Arc<State>);

impl Busy {
    fn with(state: &Arc<State>) -> Self {
        state.busy.fetch_add(1, Ordering::Relaxed);
        state.partial.store(false, Ordering::Relaxed);
        state.changed();
        Self(Arc::clone(state))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
        self.0.changed();
    }
}

/// An answer's body that keeps its connection busy.
struct Writing<B> {
    body: B,
    _busy: Busy,
}

impl<B: Body + Unpin> Body for Writing<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that tells its [`State`] when something comes in.
struct Watched<S> {
    stream: S,
    state: Arc<State>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.state.received();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
