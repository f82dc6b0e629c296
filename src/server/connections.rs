//! The connections there are: how many may be open, what each makes the server hold, and which go when there is no more room.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::IpAddr,
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::sockopt,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
    time::Instant,
};
use tokio_rustls::server::TlsStream;

/// How many connections make room at a time, at most.
const SHED: usize = 32;

/// What a connection may hold without being counted, in bytes: its buffers are there anyway, and hardly any head is longer.
const FREE: usize = 4 << 10;

/// How much the kernel is to keep of what a client has sent and the server has not read, in bytes: it takes twice as much. Its own bound is
/// megabytes for each connection.
pub(super) const UNREAD: usize = 16 << 10;

/// The same of what the client has not taken.
pub(super) const UNTAKEN: usize = 8 << 10;

/// What the kernel keeps at most of what the client has not taken, in bytes: it looks at the bound only between packets, and one that waits
/// to be sent grows up to 64 KiB.
const MOST_UNTAKEN: usize = 2 * UNTAKEN + (64 << 10);

/// What it keeps at most when it says that there is room for more, in bytes: two thirds of the bound.
const ROOM: usize = 2 * UNTAKEN * 2 / 3;

/// What may be untaken before the kernel is asked, in bytes. It costs a system call, and most answers are shorter.
const ASKED: usize = 2 * UNTAKEN;

/// What counts of so many bytes.
fn counted(bytes: usize) -> usize {
    bytes.saturating_sub(FREE)
}

/// How long a client may keep its own request from being answered while others need the room.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many connections may be open at a time. One more makes an idle one leave.
#[derive(Clone, Copy, Debug)]
pub struct Most {
    /// From everywhere.
    pub in_all: usize,
    /// From one address: IPv6 addresses of one /64 are one.
    pub per_peer: usize,
}

/// How many connections make room at a time where so many may be open: several, as it takes a look at all of them, and not all.
fn batch(most: usize) -> usize {
    (most / 4).clamp(1, SHED)
}

/// The connections there are.
pub(super) struct Connections {
    all: Arc<All>,
}

struct All {
    open: Mutex<Open>,
    gone: Notify,
    /// What they all hold, in bytes: of heads that are not whole, and of answers that are not taken, also in the kernel.
    held: AtomicUsize,
    /// What they may hold, and half of it those of one address.
    most_held: usize,
}

struct Open {
    most: Most,
    next: u64,
    states: HashMap<u64, Arc<Activity>>,
    /// How many were not told to leave. Those that were and have not gone yet do not count, or a burst of newcomers would send
    /// everybody away.
    staying: usize,
    /// The addresses that have some of those.
    peers: HashMap<IpAddr, Peer>,
}

#[derive(Default)]
struct Peer {
    /// How many of the connections that stay are its own.
    staying: usize,
    /// What its connections hold, in bytes.
    held: Arc<AtomicUsize>,
}

impl Open {
    fn stays_no_more(&mut self, address: IpAddr) {
        self.staying -= 1;
        if let Entry::Occupied(mut peer) = self.peers.entry(address) {
            peer.get_mut().staying -= 1;
            if peer.get().staying == 0 {
                peer.remove();
            }
        }
    }

    fn leaves(&mut self, state: &Activity) {
        if !state.leaving.swap(true, Ordering::Relaxed) {
            self.stays_no_more(state.peer);
        }
        state.leave.notify_one();
    }
}

impl All {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes connections that hold something, until those of `peer` and all together hold a quarter less than they may: first those that
    /// hold more than any client's may for a moment, and of them those that have not moved for the longest time.
    fn relieve(&self, peer: &Activity) {
        let most = |most: usize| most - most / 4;
        let mut open = self.lock();
        let is_peer = |state: &&Arc<Activity>| Arc::ptr_eq(&state.peer_held, &peer.peer_held);
        let holding = |state: &&Arc<Activity>| state.held.load(Ordering::Relaxed) > 0;
        if peer.peer_held.load(Ordering::Relaxed) > self.most_held / 2 {
            let of_peer = open.states.values().filter(is_peer).filter(holding).cloned().collect();
            Self::cut(&mut open, of_peer, || peer.peer_held.load(Ordering::Relaxed) > most(self.most_held / 2));
        }
        if self.held.load(Ordering::Relaxed) > self.most_held {
            let of_all = open.states.values().filter(holding).cloned().collect();
            Self::cut(&mut open, of_all, || self.held.load(Ordering::Relaxed) > most(self.most_held));
        }
    }

    fn cut(open: &mut Open, mut states: Vec<Arc<Activity>>, more: impl Fn() -> bool) {
        states.sort_unstable_by_key(|state| (state.held.load(Ordering::Relaxed) <= ASKED, state.last_change()));
        for state in states.into_iter().take_while(|_| more()) {
            state.cut.store(true, Ordering::Relaxed);
            state.gives_back(usize::MAX);
            open.leaves(&state);
        }
    }
}

impl Connections {
    /// So many may be open, and hold so many bytes.
    pub(super) fn new(most: Most, most_held: usize) -> Self {
        let open = Open { most, next: 0, states: HashMap::new(), staying: 0, peers: HashMap::new() };
        let all = All { open: Mutex::new(open), gone: Notify::new(), held: AtomicUsize::new(0), most_held };
        Self { all: Arc::new(all) }
    }

    /// So many may be open from now on.
    pub(super) fn reload(&self, most: Most) {
        self.all.lock().most = most;
    }

    /// A place for one more from `peer`, for which others make room if need be. `None`: all are busy.
    pub(super) fn enter(&self, peer: IpAddr) -> Option<Connection> {
        let (most, in_all, from_peer) = {
            let open = self.all.lock();
            (open.most, open.staying, open.peers.get(&peer).map_or(0, |peer| peer.staying))
        };
        if from_peer >= most.per_peer && self.shed(batch(most.per_peer), |state| state.peer == peer) == 0 {
            return None;
        }
        if in_all >= most.in_all && self.shed(batch(most.in_all), |_| true) == 0 {
            return None;
        }
        let mut open = self.all.lock();
        let number = open.next;
        open.next += 1;
        let of_peer = open.peers.entry(peer).or_default();
        of_peer.staying += 1;
        let state = Arc::new(Activity::new(peer, Arc::clone(&of_peer.held), Arc::clone(&self.all)));
        open.staying += 1;
        open.states.insert(number, Arc::clone(&state));
        Some(Connection { number, state })
    }

    /// Tells some idle connections to leave, unless others are about to. Says how many.
    pub(super) fn make_room(&self) -> usize {
        let going = |state: &Arc<Activity>| state.leaving.load(Ordering::Relaxed) && !state.is_busy();
        let most = {
            let open = self.all.lock();
            if open.states.values().any(going) {
                return 0;
            }
            open.most
        };
        self.shed(batch(most.in_all), |_| true)
    }

    /// Tells up to `count` of these connections to leave: first idle ones that never showed good credentials, then the longest idle, then
    /// those whose clients keep their own requests from being answered. Says how many.
    fn shed(&self, count: usize, of: impl Fn(&Activity) -> bool) -> usize {
        let mut open = self.all.lock();
        let mut useless: Vec<_> = open
            .states
            .values()
            .filter(|state| of(state) && !state.leaving.load(Ordering::Relaxed))
            .filter(|state| !state.is_busy() || state.is_blocked())
            .map(|state| {
                let order = (state.is_busy(), state.known.load(Ordering::Relaxed), state.last_change());
                (order, Arc::clone(state))
            })
            .collect();
        useless.sort_unstable_by_key(|(order, _)| *order);
        useless.truncate(count);
        for (_, state) in &useless {
            open.leaves(state);
        }
        useless.len()
    }

    pub(super) async fn none_left(&self) {
        loop {
            let gone = self.all.gone.notified();
            if self.all.lock().states.is_empty() {
                return;
            }
            gone.await;
        }
    }
}

/// One connection's place, given up when dropped.
pub(super) struct Connection {
    number: u64,
    pub(super) state: Arc<Activity>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.state.gives_back(usize::MAX);
        {
            let mut open = self.state.all.lock();
            open.states.remove(&self.number);
            if !self.state.leaving.load(Ordering::Relaxed) {
                open.stays_no_more(self.state.peer);
            }
        }
        self.state.all.gone.notify_waiters();
    }
}

/// What a connection does.
pub(super) struct Activity {
    all: Arc<All>,
    peer: IpAddr,
    began: Instant,
    /// Requests that are being answered, or whose answer is not written yet.
    busy: AtomicUsize,
    /// Bytes that have come and are no whole head of a request yet.
    partial: AtomicUsize,
    /// Bytes that were written, and that the client may not have taken from the kernel yet.
    untaken: AtomicUsize,
    /// The rest of a request's body is waited for.
    pub(super) arriving: AtomicBool,
    /// The client takes nothing more for now.
    full: AtomicBool,
    /// What it makes the server hold, in bytes; and all of its address.
    held: AtomicUsize,
    peer_held: Arc<AtomicUsize>,
    /// The client has been waited for since its last request.
    waited: AtomicBool,
    /// Requests since then that it had sent before they were asked for.
    ahead: AtomicUsize,
    /// Requests with credentials that were no good.
    refusals: AtomicUsize,
    /// It has shown good credentials once.
    known: AtomicBool,
    /// It was told to leave.
    leaving: AtomicBool,
    /// It was told to leave whatever it does.
    cut: AtomicBool,
    pub(super) leave: Notify,
    /// Milliseconds from `began` to the last of these changes.
    since: AtomicU64,
}

impl Activity {
    fn new(peer: IpAddr, peer_held: Arc<AtomicUsize>, all: Arc<All>) -> Self {
        Self {
            all,
            peer,
            began: Instant::now(),
            busy: AtomicUsize::new(0),
            partial: AtomicUsize::new(0),
            untaken: AtomicUsize::new(0),
            arriving: AtomicBool::new(false),
            full: AtomicBool::new(false),
            held: AtomicUsize::new(0),
            peer_held,
            waited: AtomicBool::new(true),
            ahead: AtomicUsize::new(0),
            refusals: AtomicUsize::new(0),
            known: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            cut: AtomicBool::new(false),
            leave: Notify::new(),
            since: AtomicU64::new(0),
        }
    }

    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed) > 0
    }

    /// Whether the client itself keeps its request from being answered: it sends its body slowly, or does not take the answer. Or it was cut.
    pub(super) fn is_blocked(&self) -> bool {
        let slow = self.arriving.load(Ordering::Relaxed) || self.full.load(Ordering::Relaxed);
        self.cut.load(Ordering::Relaxed) || slow && self.last_change().elapsed() >= PATIENCE
    }

    /// Notes whether a request had good credentials.
    pub(super) fn is_known(&self, known: bool) {
        self.known.fetch_or(known, Ordering::Relaxed);
    }

    /// How many requests have now come in a row before they were asked for.
    pub(super) fn ahead(&self) -> usize {
        if self.waited.swap(false, Ordering::Relaxed) {
            self.ahead.store(0, Ordering::Relaxed);
            return 0;
        }
        self.ahead.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// One more request without good credentials: says how many that makes.
    pub(super) fn refusals(&self) -> usize {
        self.refusals.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn last_change(&self) -> Instant {
        self.began + Duration::from_millis(self.since.load(Ordering::Relaxed))
    }

    fn changed(&self) {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since.store(since, Ordering::Relaxed);
    }

    /// So many bytes have come. Those of a body are counted elsewhere; what comes while a request is answered is the head of the next one.
    fn received(&self, bytes: usize) {
        if self.arriving.load(Ordering::Relaxed) {
            return;
        }
        let before = self.partial.fetch_add(bytes, Ordering::Relaxed);
        if before == 0 && !self.is_busy() {
            self.changed();
        }
        self.holds(counted(before + bytes) - counted(before));
    }

    /// The kernel took so many bytes of an answer.
    fn wrote(&self, bytes: usize) {
        let before = self.untaken.load(Ordering::Relaxed);
        let now = (before + bytes).min(MOST_UNTAKEN);
        self.untaken.store(now, Ordering::Relaxed);
        self.holds(counted(now) - counted(before));
    }

    /// Whether it is worth asking how much of what was written is still there.
    fn may_have_taken(&self) -> bool {
        self.untaken.load(Ordering::Relaxed) > ASKED
    }

    /// The kernel has room again: there is not much left.
    fn has_taken(&self) {
        let before = self.untaken.swap(ROOM, Ordering::Relaxed);
        self.gives_back(counted(before) - counted(ROOM));
    }

    /// So many bytes more wait for the client.
    fn holds(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.held.fetch_add(bytes, Ordering::Relaxed);
        let of_peer = self.peer_held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let of_all = self.all.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if of_all > self.all.most_held || of_peer > self.all.most_held / 2 {
            self.all.relieve(self);
        }
    }

    /// So many bytes no longer do, or as many as there are.
    fn gives_back(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let less = |held: usize| Some(held - bytes.min(held));
        // a connection that was cut has given back all at once
        if let Ok(before) = self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less) {
            let given = bytes.min(before);
            self.peer_held.fetch_sub(given, Ordering::Relaxed);
            self.all.held.fetch_sub(given, Ordering::Relaxed);
        }
    }

    /// How long it may stay as it is.
    fn patience(&self, header_time: Duration, idle_time: Duration) -> Duration {
        if self.partial.load(Ordering::Relaxed) > 0 { header_time } else { idle_time }
    }

    /// When to look whether it has been silent for too long. Sooner than an idle one has to go: the first byte of a request changes that.
    pub(super) fn deadline(&self, header_time: Duration, idle_time: Duration) -> Instant {
        let soon = header_time.min(idle_time);
        let due = self.last_change() + self.patience(header_time, idle_time).min(soon);
        // a request has limits of its own; an overdue look at it, or at an idle one, comes a while later
        if self.is_busy() || due <= Instant::now() { Instant::now() + soon } else { due }
    }

    pub(super) fn is_over(&self, header_time: Duration, idle_time: Duration) -> bool {
        !self.is_busy() && self.last_change().elapsed() >= self.patience(header_time, idle_time)
    }
}

/// One request's claim on its connection, until its answer is written or given up.
pub(super) struct Busy(Arc<Activity>);

impl Busy {
    pub(super) fn with(state: &Arc<Activity>) -> Self {
        state.busy.fetch_add(1, Ordering::Relaxed);
        let head = state.partial.swap(0, Ordering::Relaxed);
        state.gives_back(counted(head));
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

/// An answer's body that keeps its connection busy, and whose bytes count as held until they are written.
pub(super) struct Writing<B> {
    body: B,
    busy: Busy,
}

impl<B> Writing<B> {
    pub(super) fn new(body: B, busy: Busy) -> Self {
        Self { body, busy }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Writing<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        polled
            .map(|frame| frame.map(|frame| frame.map(|frame| frame.map_data(|data| Unwritten::of(data, &self.busy.0)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A piece of an answer that is counted until it is dropped, which is when it was written.
struct Unwritten {
    bytes: Bytes,
    state: Arc<Activity>,
}

impl Unwritten {
    fn of(bytes: Bytes, state: &Arc<Activity>) -> Bytes {
        if bytes.len() <= FREE {
            return bytes;
        }
        state.holds(bytes.len());
        Bytes::from_owner(Self { bytes, state: Arc::clone(state) })
    }
}

impl AsRef<[u8]> for Unwritten {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Unwritten {
    fn drop(&mut self) {
        self.state.gives_back(self.bytes.len());
    }
}

/// A stream over a socket.
pub(super) trait Socket {
    fn socket(&self) -> BorrowedFd<'_>;
}

impl Socket for TcpStream {
    fn socket(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

impl Socket for TlsStream<TcpStream> {
    fn socket(&self) -> BorrowedFd<'_> {
        self.get_ref().0.as_fd()
    }
}

/// Whether the kernel has room for more of what a client is to take.
fn has_room(socket: BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::from_borrowed_fd(socket, PollFlags::OUT)];
    poll(&mut asked, Some(&Timespec::default())).is_ok() && asked[0].revents().contains(PollFlags::OUT)
}

/// A stream that tells its [`Activity`] what comes in, and what goes out.
pub(super) struct Watched<S: Socket> {
    stream: S,
    state: Arc<Activity>,
}

impl<S: Socket> Drop for Watched<S> {
    fn drop(&mut self) {
        if self.state.cut.load(Ordering::Relaxed) {
            // what the client has not taken goes with the connection; else it would stay in the kernel, counted nowhere
            let _ = sockopt::set_socket_linger(self.stream.socket(), Some(Duration::ZERO));
        }
    }
}

impl<S: Socket> Watched<S> {
    pub(super) fn new(stream: S, state: Arc<Activity>) -> Self {
        Self { stream, state }
    }

    fn wrote(&self, polled: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = polled {
            self.state.wrote(*bytes);
        }
        let full = polled.is_pending();
        if self.state.full.load(Ordering::Relaxed) != full {
            self.state.full.store(full, Ordering::Relaxed);
            // what the client sends meanwhile is not read
            if full {
                self.state.holds(2 * UNREAD);
            } else {
                self.state.gives_back(2 * UNREAD);
            }
            // the clock of a head goes on
            if self.state.partial.load(Ordering::Relaxed) == 0 {
                self.state.changed();
            }
        }
    }
}

impl<S: AsyncRead + Socket + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let come = buffer.filled().len() - before;
        if come > 0 {
            self.state.received(come);
        }
        // an answer was just written, or the next request comes, or it is idle and looked at every now and then
        if self.state.may_have_taken() && has_room(self.stream.socket()) {
            self.state.has_taken();
        }
        if polled.is_pending() {
            self.state.waited.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + Socket + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(&polled);
        polled
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

#[cfg(test)]
mod tests {
    use super::*;
    use auth::neighbourhood;

    const MOST: Most = Most { in_all: 100, per_peer: 4 };
    const HELD: usize = 1 << 20;

    fn address(text: &str) -> IpAddr {
        neighbourhood(text.parse().unwrap())
    }

    fn is_told_to_leave(connection: &Connection) -> bool {
        connection.state.leaving.load(Ordering::Relaxed)
    }

    /// Each is a moment later than the one before.
    fn entered(connections: &Connections, peer: &str, count: u64) -> Vec<Connection> {
        let enter = |number| {
            let connection = connections.enter(address(peer)).unwrap();
            connection.state.since.store(number, Ordering::Relaxed);
            connection
        };
        (1..=count).map(enter).collect()
    }

    #[test]
    fn addresses_of_one_ipv6_network_of_64_bits_are_one_peer() {
        let connections = Connections::new(MOST, HELD);
        let busy = |peer: String| {
            let connection = connections.enter(address(&peer))?;
            let busy = Busy::with(&connection.state);
            Some((connection, busy))
        };
        let own: Vec<_> = (0..8).filter_map(|host| busy(format!("2001:db8::{host}:1"))).collect();
        assert_eq!(own.len(), MOST.per_peer);
        assert!(busy("2001:db8:0:1::1".to_owned()).is_some());
        assert!(busy("192.0.2.1".to_owned()).is_some() && busy("::ffff:192.0.2.2".to_owned()).is_some());
    }

    #[test]
    fn a_peer_that_holds_too_much_loses_those_that_have_not_moved_for_longest_and_others_lose_none() {
        let connections = Connections::new(MOST, HELD);
        let other = entered(&connections, "192.0.2.9", 1);
        other[0].state.holds(HELD / 4);
        let own = entered(&connections, "192.0.2.1", 4);
        own[2].state.since.store(0, Ordering::Relaxed);
        own[0].state.since.store(9, Ordering::Relaxed);
        for connection in &own {
            connection.state.holds(HELD / 6);
        }
        let told: Vec<_> = own.iter().map(is_told_to_leave).collect();
        assert_eq!(told, [false, true, true, false]);
        assert!(own[2].state.is_blocked(), "it goes whatever it does");
        assert!(!is_told_to_leave(&other[0]));
    }

    #[test]
    fn what_all_hold_together_is_bounded_and_comes_back_when_they_are_gone() {
        let connections = Connections::new(MOST, HELD);
        let all: Vec<_> = (0..50).map(|peer| entered(&connections, &format!("192.0.2.{peer}"), 1)).collect();
        for connection in all.iter().flatten() {
            connection.state.holds(HELD / 10);
            assert!(connections.all.held.load(Ordering::Relaxed) <= HELD);
        }
        drop(all);
        assert_eq!(connections.all.held.load(Ordering::Relaxed), 0);
        assert!(connections.all.lock().peers.is_empty());
    }

    #[test]
    fn a_head_that_is_not_whole_counts_and_a_short_one_does_not() {
        let connections = Connections::new(MOST, HELD);
        let connection = connections.enter(address("192.0.2.1")).unwrap();
        let state = &connection.state;
        let held = || state.held.load(Ordering::Relaxed);
        state.received(FREE);
        assert_eq!(held(), 0);
        state.received(100);
        state.received(10);
        assert_eq!(held(), 110);
        let _busy = Busy::with(state);
        assert_eq!(held(), 0);
    }

    #[test]
    fn the_beginning_of_a_head_behind_a_request_that_is_answered_counts_and_has_the_time_of_a_head() {
        let connections = Connections::new(MOST, HELD);
        let connection = connections.enter(address("192.0.2.1")).unwrap();
        let state = &connection.state;
        state.received(200);
        let busy = Busy::with(state);
        state.arriving.store(true, Ordering::Relaxed);
        state.received(10_000);
        state.arriving.store(false, Ordering::Relaxed);
        assert_eq!(state.held.load(Ordering::Relaxed), 0, "a body counts elsewhere");
        state.received(FREE + 100);
        assert_eq!(state.held.load(Ordering::Relaxed), 100);
        drop(busy);
        let (header_time, idle_time) = (Duration::ZERO, Duration::from_secs(3600));
        assert!(state.is_over(header_time, idle_time), "it is not idle");
    }

    #[test]
    fn what_was_written_counts_until_the_kernel_has_room_again() {
        let connections = Connections::new(MOST, HELD);
        let connection = connections.enter(address("192.0.2.1")).unwrap();
        let state = &connection.state;
        let held = || state.held.load(Ordering::Relaxed);
        state.wrote(FREE);
        assert!(held() == 0 && !state.may_have_taken());
        state.wrote(ASKED);
        assert!(held() == ASKED && state.may_have_taken());
        state.wrote(HELD);
        assert_eq!(held(), MOST_UNTAKEN - FREE);
        state.has_taken();
        assert!(held() == ROOM - FREE && !state.may_have_taken());
    }

    #[test]
    fn who_holds_little_goes_after_those_who_hold_much() {
        let connections = Connections::new(MOST, HELD);
        let idle = entered(&connections, "192.0.2.1", 1);
        idle[0].state.holds(ROOM);
        let greedy = entered(&connections, "192.0.2.1", 3);
        for connection in &greedy {
            connection.state.since.store(9, Ordering::Relaxed);
            connection.state.holds(HELD / 5);
        }
        assert!(greedy.iter().any(is_told_to_leave) && !is_told_to_leave(&idle[0]));
    }

    #[test]
    fn a_piece_of_an_answer_counts_until_it_is_dropped() {
        let connections = Connections::new(MOST, HELD);
        let connection = connections.enter(address("192.0.2.1")).unwrap();
        let held = || connection.state.held.load(Ordering::Relaxed);
        let piece = Unwritten::of(Bytes::from(vec![7; 10_000]), &connection.state);
        let rest = piece.slice(9_000..);
        drop(piece);
        assert_eq!((held(), rest.len()), (10_000, 1_000));
        drop(rest);
        assert_eq!(held(), 0);
    }

    #[test]
    fn who_keeps_its_own_request_from_being_answered_makes_room_after_the_idle() {
        let connections = Connections::new(MOST, HELD);
        let own = entered(&connections, "192.0.2.1", 4);
        let _busy: Vec<_> = own.iter().map(|connection| Busy::with(&connection.state)).collect();
        assert!(connections.enter(address("192.0.2.1")).is_none(), "all are being answered");
        own[1].state.arriving.store(true, Ordering::Relaxed);
        // however long this thread is kept from running
        own[1].state.since.store(3_600_000, Ordering::Relaxed);
        assert!(connections.enter(address("192.0.2.1")).is_none(), "its body has only just begun to come");
        // cut is what lateness comes to, without the second
        own[1].state.cut.store(true, Ordering::Relaxed);
        assert!(connections.enter(address("192.0.2.1")).is_some());
        assert!(is_told_to_leave(&own[1]));
    }
}
