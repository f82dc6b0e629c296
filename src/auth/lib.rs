//! Who is calling: the credentials a listener was shown in, a [`Caller`] or a [`Refusal`] out.
//!
//! A token is found by its id and proven by argon2 once; then a keyed digest of it is remembered, so that argon2 runs per
//! token and not per request. What keeps bad tokens from slowing good ones:
//! - a text that is no token, an unknown id, an expired token and a foreign source are refused before any argon2;
//! - a remembered token is answered from memory and never waits;
//! - a wrong token is remembered as well, and costs argon2 once;
//! - the same token presented many times at once is proven once, by a task that outlives whoever asked first;
//! - at most [`RUNNING`] argon2 run, at most [`WAITING`] tokens wait for them, and of these at most
//!   [`WAITING_PER_TOKEN`] with one id from one peer and at most [`WAITING_PER_PEER`] from one peer.
//!
//! Deliberately absent: a dummy argon2 for unknown ids. It would hide which ids exist, and let anybody burn the
//! processor; ids are no secret (they stand in every audit record), so their existence may show in the time taken.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use ring::hmac;
use tokio::sync::{Semaphore, watch};

use self::{
    store::{Hash, Network, Store},
    token::Token,
};
use kernel::failure::Failure;
use lanes::threads::Threads;
use rights::grant::Grants;

pub mod store;
pub mod token;
pub mod trusted;

/// How many argon2 run at once: 19 MiB and a core each.
pub const RUNNING: usize = 2;
/// How many different tokens may be waiting for argon2 or in it.
pub const WAITING: usize = 64;
/// How many of them from one peer (an IPv4 address, an IPv6 /64): half, so that no peer takes all.
pub const WAITING_PER_PEER: usize = WAITING / 2;
/// How many of them from one peer with one id.
pub const WAITING_PER_TOKEN: usize = 2;
/// How long a proven token is remembered without being used.
pub const IDLE: Duration = Duration::from_secs(5 * 60);
/// How many proven tokens are remembered, and how many wrong ones.
pub const REMEMBERED: usize = 4096;
/// What a caller turned away for want of room is told to wait, in seconds.
const RETRY: u64 = 2;

/// How a caller was told from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// By a token of the token file.
    Token,
    /// By the one token of a trial.
    Trial,
    /// By having started this process and holding its stdin.
    Stdio,
    /// By having run `call` on this machine.
    Local,
}

impl Method {
    /// As the audit log spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Trial => "trial",
            Self::Stdio => "stdio",
            Self::Local => "local",
        }
    }
}

/// Someone who may make calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What never changes: a token's id, or the method's name.
    pub id: Arc<str>,
    /// What its owner calls it.
    pub name: Arc<str>,
    /// What it may do.
    pub grants: Grants,
    /// How it was told from others.
    pub auth: Method,
}

impl Caller {
    /// Whoever started this process as its MCP server.
    pub fn stdio(grants: Grants) -> Self {
        Self::by(Method::Stdio, grants)
    }

    /// Whoever runs `call` on this machine.
    pub fn local(grants: Grants) -> Self {
        Self::by(Method::Local, grants)
    }

    fn by(auth: Method, grants: Grants) -> Self {
        Self { id: auth.name().into(), name: auth.name().into(), grants, auth }
    }
}

/// Why nobody was let in. The client sees one and the same 401 for all but `Busy`, which is a 429; the audit log sees
/// the word. `Expired` and `Source` are said before the secret is proven: they cost nothing and let nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No credentials.
    #[error("no credentials")]
    Missing,
    /// Credentials that are no bearer token of this server.
    #[error("not a bearer token of this server")]
    Malformed,
    /// No token has this id.
    #[error("no token has this id")]
    Unknown,
    /// The id is known, the secret is not its own.
    #[error("wrong secret")]
    Wrong,
    /// The token has ended.
    #[error("the token has expired")]
    Expired,
    /// The token may not come from there.
    #[error("the token may not come from this address")]
    Source,
    /// Too many tokens wait to be proven; the seconds to wait.
    #[error("too many unproven tokens at once; try again in {0} s")]
    Busy(u64),
}

impl Refusal {
    /// The audit record's `kind`.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Wrong => "wrong",
            Self::Expired => "expired",
            Self::Source => "source",
            Self::Busy(_) => "busy",
        }
    }

    /// The HTTP status, and for `Busy` the seconds of Retry-After.
    pub fn status(self) -> (u16, Option<u64>) {
        match self {
            Self::Missing | Self::Malformed | Self::Unknown | Self::Wrong | Self::Expired | Self::Source => (401, None),
            Self::Busy(seconds) => (429, Some(seconds)),
        }
    }
}

/// What listeners ask. Shared by all of them.
pub struct Auth {
    key: hmac::Key,
    trial: Option<Trial>,
    known: RwLock<Arc<Known>>,
    argon2: Arc<Semaphore>,
    /// Those that argon2 runs on, and nothing else.
    threads: Arc<Threads>,
}

struct Trial {
    digest: hmac::Tag,
    caller: Caller,
}

/// The tokens of one reading of the token file, and what was found out about them since. A reload makes a new one: what
/// an argon2 still under way finds out about the old one is then lost with it.
struct Known {
    entries: HashMap<Arc<str>, Entry>,
    memory: Mutex<Memory>,
}

struct Entry {
    caller: Caller,
    expires: Option<SystemTime>,
    sources: Vec<Network>,
    hash: Hash,
}

#[derive(Default)]
struct Memory {
    /// By id: a token has one right secret, so one digest.
    proven: HashMap<Arc<str>, Proven>,
    /// Digests of wrong tokens, oldest first. As the key is random per process, nobody can aim at an entry.
    wrong: HashSet<Digest>,
    wrong_order: VecDeque<Digest>,
    /// The tokens that wait for argon2 or are in it.
    flights: HashMap<Digest, Flight>,
}

type Digest = [u8; 32];

#[derive(Clone)]
struct Proven {
    digest: hmac::Tag,
    used: SystemTime,
}

struct Flight {
    id: Arc<str>,
    peer: Option<IpAddr>,
    verdict: watch::Receiver<Option<bool>>,
}

impl Auth {
    /// Lets in the tokens of `store`.
    pub fn new(store: &Store) -> Result<Self, Failure> {
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, &token::random::<32>()?),
            trial: None,
            known: RwLock::new(Known::of(store)),
            argon2: Arc::new(Semaphore::new(RUNNING)),
            threads: Arc::new(Threads::new("argon2", RUNNING)),
        })
    }

    /// Lets in one token, which is never hashed by argon2: nothing of it is stored, and its keyed digest stays in memory.
    pub fn trial(token: &Token, grants: Grants) -> Result<Self, Failure> {
        let mut auth = Self::new(&Store::default())?;
        let caller = Caller { id: token.id().into(), name: "trial".into(), grants, auth: Method::Trial };
        auth.trial = Some(Trial { digest: hmac::sign(&auth.key, token.expose().as_bytes()), caller });
        Ok(auth)
    }

    /// Replaces the tokens by those of `store`, all at once. Which of those that stay were proven is not forgotten; a trial's token stays.
    pub fn reload(&self, store: &Store) {
        let (known, before) = (Known::of(store), self.known());
        known.memory().proven = before.proven_of(&known);
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Who presents this `Authorization` header (its whole value, `None` if there is none) from this address (`None`
    /// over a Unix socket) at this time.
    pub async fn verify(
        &self,
        presented: Option<&[u8]>,
        peer: Option<IpAddr>,
        now: SystemTime,
    ) -> Result<Caller, Refusal> {
        let token = bearer(presented)?;
        if let Some(trial) = self.trial.as_ref().filter(|trial| *trial.caller.id == *token.id()) {
            let right = hmac::verify(&self.key, token.expose().as_bytes(), trial.digest.as_ref()).is_ok();
            return if right { Ok(trial.caller.clone()) } else { Err(Refusal::Wrong) };
        }
        // again only if the token file was replaced while argon2 ran: a token revoked meanwhile must not get in
        for _ in 0..3 {
            let known = self.known();
            let caller = self.look_up(&known, &token, peer, now).await?;
            if Arc::ptr_eq(&known, &self.known()) {
                return Ok(caller);
            }
        }
        Err(Refusal::Busy(RETRY))
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn look_up(
        &self,
        known: &Arc<Known>,
        token: &Token,
        peer: Option<IpAddr>,
        now: SystemTime,
    ) -> Result<Caller, Refusal> {
        let (id, entry) = known.entries.get_key_value(token.id()).ok_or(Refusal::Unknown)?;
        if entry.expires.is_some_and(|expires| expires <= now) {
            return Err(Refusal::Expired);
        }
        let from = |peer| entry.sources.iter().any(|network| network.contains(peer));
        if !entry.sources.is_empty() && !peer.is_some_and(from) {
            return Err(Refusal::Source);
        }
        match self.remembered(known, id, token, peer, now)? {
            Answer::Proven => Ok(entry.caller.clone()),
            Answer::Waits(mut verdict) => {
                let verdict = verdict.wait_for(Option::is_some).await.map(|verdict| *verdict);
                match verdict {
                    Ok(Some(true)) => Ok(entry.caller.clone()),
                    Ok(_) => Err(Refusal::Wrong),
                    // the task died without a verdict
                    Err(_) => Err(Refusal::Busy(RETRY)),
                }
            }
        }
    }

    /// What memory says of a token, or the verdict to wait for.
    fn remembered(
        &self,
        known: &Arc<Known>,
        id: &Arc<str>,
        token: &Token,
        peer: Option<IpAddr>,
        now: SystemTime,
    ) -> Result<Answer, Refusal> {
        let text = token.expose().as_bytes();
        let mut memory = known.memory();
        if let Some(proven) = memory.proven.get_mut(id) {
            // a clock set back makes the last use lie ahead: that is no idleness
            if now.duration_since(proven.used).is_ok_and(|idle| idle >= IDLE) {
                memory.proven.remove(id);
            } else if hmac::verify(&self.key, text, proven.digest.as_ref()).is_ok() {
                proven.used = now;
                return Ok(Answer::Proven);
            } else {
                // the right one is known, so this is not it: no argon2
                return Err(Refusal::Wrong);
            }
        }
        let tag = hmac::sign(&self.key, text);
        let mut digest = Digest::default();
        digest.copy_from_slice(tag.as_ref());
        if memory.wrong.contains(&digest) {
            return Err(Refusal::Wrong);
        }
        if let Some(flight) = memory.flights.get(&digest) {
            return Ok(Answer::Waits(flight.verdict.clone()));
        }
        let peer = peer.map(neighbourhood);
        memory.has_room(id, peer)?;
        let (sender, verdict) = watch::channel(None);
        memory.flights.insert(digest, Flight { id: Arc::clone(id), peer, verdict: verdict.clone() });
        drop(memory);
        let landing = Landing { known: Arc::clone(known), digest };
        let (argon2, threads) = (Arc::clone(&self.argon2), Arc::clone(&self.threads));
        let (id, token) = (Arc::clone(id), token.clone());
        tokio::spawn(async move {
            let Ok(_permit) = argon2.acquire_owned().await else { return };
            if landing.is_deserted(&sender) {
                return;
            }
            let known = Arc::clone(&landing.known);
            let prove = move || known.entries.get(token.id()).is_some_and(|entry| entry.hash.is_of(&token));
            let Ok(right) = threads.run(prove).await else { return };
            landing.known.memory().learn(&id, tag, digest, right, now);
            sender.send_replace(Some(right));
        });
        Ok(Answer::Waits(verdict))
    }
}

enum Answer {
    Proven,
    Waits(watch::Receiver<Option<bool>>),
}

/// Takes a flight out of memory when its task ends, however it ends.
struct Landing {
    known: Arc<Known>,
    digest: Digest,
}

impl Landing {
    /// Whether all who asked have gone (one receiver is the flight's own); then nobody can join any more either.
    fn is_deserted(&self, sender: &watch::Sender<Option<bool>>) -> bool {
        let mut memory = self.known.memory();
        let deserted = sender.receiver_count() <= 1;
        if deserted {
            memory.flights.remove(&self.digest);
        }
        deserted
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.known.memory().flights.remove(&self.digest);
    }
}

impl Known {
    fn of(store: &Store) -> Arc<Self> {
        let entries = store.records.iter().map(|record| {
            let id: Arc<str> = record.id.as_str().into();
            let caller = Caller {
                id: Arc::clone(&id),
                name: record.name.as_str().into(),
                grants: record.grants.clone(),
                auth: Method::Token,
            };
            let entry = Entry {
                caller,
                expires: record.expires.map(store::Time::get),
                sources: record.sources.clone(),
                hash: record.hash.clone(),
            };
            (id, entry)
        });
        Arc::new(Self { entries: entries.collect(), memory: Mutex::default() })
    }

    /// The proven tokens that `new` has with the same hash.
    fn proven_of(&self, new: &Self) -> HashMap<Arc<str>, Proven> {
        let is_same = |id: &Arc<str>| {
            let hash = |known: &Self| known.entries.get(id).map(|entry| entry.hash.clone());
            hash(self).is_some_and(|own| Some(own) == hash(new))
        };
        let memory = self.memory();
        memory
            .proven
            .iter()
            .filter(|(id, _)| is_same(id))
            .map(|(id, proven)| (Arc::clone(id), proven.clone()))
            .collect()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn has_room(&self, id: &Arc<str>, peer: Option<IpAddr>) -> Result<(), Refusal> {
        let near = || self.flights.values().filter(|flight| flight.peer == peer);
        let full = self.flights.len() >= WAITING
            || near().count() >= WAITING_PER_PEER
            || near().filter(|flight| flight.id == *id).count() >= WAITING_PER_TOKEN;
        if full { Err(Refusal::Busy(RETRY)) } else { Ok(()) }
    }

    fn learn(&mut self, id: &Arc<str>, tag: hmac::Tag, digest: Digest, right: bool, now: SystemTime) {
        if right {
            if self.proven.len() >= REMEMBERED {
                let oldest = self.proven.iter().min_by_key(|(_, proven)| proven.used).map(|(id, _)| Arc::clone(id));
                oldest.and_then(|oldest| self.proven.remove(&oldest));
            }
            self.proven.insert(Arc::clone(id), Proven { digest: tag, used: now });
        } else {
            if self.wrong_order.len() >= REMEMBERED
                && let Some(oldest) = self.wrong_order.pop_front()
            {
                self.wrong.remove(&oldest);
            }
            self.wrong.insert(digest);
            self.wrong_order.push_back(digest);
        }
    }
}

/// The public id of the token in an `Authorization` header, for the record of its refusal. `None` if it holds no text that is whole and
/// well-formed: what only looks like a token may be anybody's secret.
pub fn id_shown(presented: Option<&[u8]>) -> Option<String> {
    bearer(presented).ok().map(|token| token.id().to_owned())
}

/// The token in an `Authorization` header; the scheme's case does not matter (RFC 9110).
fn bearer(presented: Option<&[u8]>) -> Result<Token, Refusal> {
    let presented = presented.ok_or(Refusal::Missing)?.trim_ascii();
    if presented.is_empty() {
        return Err(Refusal::Missing);
    }
    let (scheme, rest) = presented.split_at_checked(b"bearer ".len()).ok_or(Refusal::Malformed)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return Err(Refusal::Malformed);
    }
    let text = std::str::from_utf8(rest.trim_ascii_start()).map_err(|_| Refusal::Malformed)?;
    Token::parse(text).map_err(|_| Refusal::Malformed)
}

/// The address that budgets of a peer are keyed by: IPv6 peers of one /64 share them, as one machine has all of it to call from.
pub fn neighbourhood(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Record, Time};

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn record(token: &Token) -> Record {
        Record {
            id: token.id().into(),
            name: "laptop".into(),
            grants: Grants::all(),
            created: Time::new(now()).unwrap(),
            expires: Time::new(now() + Duration::from_secs(3600)),
            sources: vec![],
            hash: Hash::cheap(token),
        }
    }

    fn one() -> (Token, Auth) {
        let token = Token::generate().unwrap();
        let auth = Auth::new(&Store { records: vec![record(&token)] }).unwrap();
        (token, auth)
    }

    /// A well-formed token with the id of another and a secret of its own.
    fn impostor(of: &Token, n: u32) -> Token {
        let body = format!("smcp_{}_{n:064x}", of.id());
        // the checksum is no secret: whoever invents a secret can compute it
        let crc = !body.bytes().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
        });
        Token::parse(&format!("{body}_{crc:08x}")).unwrap()
    }

    fn header(token: &Token) -> Vec<u8> {
        format!("Bearer {}", token.expose()).into_bytes()
    }

    fn peer(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    async fn ask(auth: &Auth, token: &Token) -> Result<Caller, Refusal> {
        auth.verify(Some(&header(token)), peer("192.0.2.1"), now()).await
    }

    #[tokio::test]
    async fn a_right_token_is_its_caller() {
        let (token, auth) = one();
        let caller = ask(&auth, &token).await.unwrap();
        assert_eq!((&*caller.id, &*caller.name, caller.auth.name()), (token.id(), "laptop", "token"));
    }

    #[tokio::test]
    async fn the_schemes_case_and_spaces_do_not_matter() {
        let (token, auth) = one();
        for scheme in ["bearer ", "BEARER ", "Bearer   ", " Bearer "] {
            let header = format!("{scheme}{} ", token.expose());
            assert!(auth.verify(Some(header.as_bytes()), None, now()).await.is_ok(), "{scheme:?}");
        }
    }

    #[tokio::test]
    async fn hostile_headers_are_refused_before_anything_is_looked_up() {
        let (token, auth) = one();
        let cut = &header(&token)[..50];
        for wrong in [
            cut,
            b"Bearer",
            b"Bearer ",
            b"Basic dXNlcjpwYXNz",
            b"\xff\xfe",
            b"Bearer \xff",
            b"Bearer\t",
            token.expose().as_bytes(),
        ] {
            let refusal = auth.verify(Some(wrong), None, now()).await.unwrap_err();
            assert_eq!(refusal, Refusal::Malformed, "{wrong:?}");
        }
        let twice = [header(&token), b", ".to_vec(), header(&token)].concat();
        assert_eq!(auth.verify(Some(&twice), None, now()).await, Err(Refusal::Malformed));
        assert_eq!(auth.verify(None, None, now()).await, Err(Refusal::Missing));
        assert_eq!(auth.verify(Some(b" "), None, now()).await, Err(Refusal::Missing));
    }

    #[test]
    fn the_id_of_a_token_is_shown_and_of_what_looks_like_one_nothing() {
        let token = Token::generate().unwrap();
        let whole = header(&token);
        assert_eq!(id_shown(Some(&whole)).as_deref(), Some(token.id()));
        for other in [&whole[..whole.len() - 1], &whole[7..], b"Bearer smcp_12345678_", b""] {
            assert_eq!(id_shown(Some(other)), None);
        }
        assert_eq!(id_shown(None), None);
    }

    #[tokio::test]
    async fn each_refusal_has_its_word_and_all_but_busy_look_alike() {
        let (token, auth) = one();
        assert_eq!(ask(&auth, &Token::generate().unwrap()).await, Err(Refusal::Unknown));
        assert_eq!(ask(&auth, &impostor(&token, 1)).await, Err(Refusal::Wrong));
        let late = now() + Duration::from_secs(3600);
        assert_eq!(auth.verify(Some(&header(&token)), None, late).await, Err(Refusal::Expired));
        for refusal in
            [Refusal::Missing, Refusal::Malformed, Refusal::Unknown, Refusal::Wrong, Refusal::Expired, Refusal::Source]
        {
            assert_eq!(refusal.status(), (401, None));
        }
        assert_eq!(Refusal::Busy(2).status(), (429, Some(2)));
    }

    #[tokio::test]
    async fn a_remembered_token_needs_no_argon2_until_idle_for_five_minutes() {
        let (token, auth) = one();
        ask(&auth, &token).await.unwrap();
        auth.argon2.close();
        let at = |seconds| now() + Duration::from_secs(seconds);
        assert!(auth.verify(Some(&header(&token)), None, at(299)).await.is_ok());
        assert!(auth.verify(Some(&header(&token)), None, at(598)).await.is_ok(), "each use counts anew");
        assert_eq!(ask(&auth, &impostor(&token, 1)).await, Err(Refusal::Wrong), "nor does an impostor of it");
        assert!(matches!(auth.verify(Some(&header(&token)), None, at(898)).await, Err(Refusal::Busy(_))));
    }

    #[tokio::test]
    async fn a_remembered_token_still_expires_and_keeps_to_its_sources() {
        let token = Token::generate().unwrap();
        let sources = vec!["192.0.2.0/24".parse().unwrap()];
        let auth = Auth::new(&Store { records: vec![Record { sources, ..record(&token) }] }).unwrap();
        let from = async |text: &str| auth.verify(Some(&header(&token)), peer(text), now()).await;
        assert_eq!(from("203.0.113.1").await, Err(Refusal::Source));
        assert!(from("192.0.2.1").await.is_ok() && from("::ffff:192.0.2.9").await.is_ok());
        assert_eq!(from("203.0.113.1").await, Err(Refusal::Source));
        assert_eq!(auth.verify(Some(&header(&token)), None, now()).await, Err(Refusal::Source));
        let late = now() + Duration::from_secs(3600);
        assert_eq!(auth.verify(Some(&header(&token)), peer("192.0.2.1"), late).await, Err(Refusal::Expired));
    }

    #[tokio::test]
    async fn a_reload_forgets_and_revokes() {
        let (token, auth) = one();
        ask(&auth, &token).await.unwrap();
        auth.reload(&Store::default());
        assert_eq!(ask(&auth, &token).await, Err(Refusal::Unknown));
        auth.reload(&Store { records: vec![record(&token)] });
        assert!(auth.known().memory().proven.is_empty());
        assert!(ask(&auth, &token).await.is_ok());
    }

    #[tokio::test]
    async fn a_token_revoked_while_it_is_proven_does_not_get_in() {
        let (token, auth) = one();
        let hold = auth.argon2.acquire_many(2).await.unwrap();
        let (answer, ()) = tokio::join!(ask(&auth, &token), async {
            tokio::task::yield_now().await;
            auth.reload(&Store::default());
            drop(hold);
        });
        assert_eq!(answer, Err(Refusal::Unknown));
    }

    #[tokio::test]
    async fn the_same_wrong_token_costs_argon2_once() {
        let (token, auth) = one();
        let wrong = impostor(&token, 1);
        assert_eq!(ask(&auth, &wrong).await, Err(Refusal::Wrong));
        auth.argon2.close();
        assert_eq!(ask(&auth, &wrong).await, Err(Refusal::Wrong));
    }

    #[tokio::test]
    async fn one_token_presented_often_at_once_is_proven_once_even_if_the_first_asker_leaves() {
        let (token, auth) = one();
        let hold = auth.argon2.acquire_many(2).await.unwrap();
        let ahead = header(&token);
        let first = auth.verify(Some(&ahead), peer("192.0.2.1"), now());
        let left = tokio::time::timeout(Duration::from_millis(5), first).await;
        assert!(left.is_err());
        let all = futures_util::future::join_all((0..100).map(|_| ask(&auth, &token)));
        let (answers, flights) = tokio::join!(all, async {
            tokio::task::yield_now().await;
            let flights = auth.known().memory().flights.len();
            drop(hold);
            flights
        });
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(flights, 1);
        assert!(auth.known().memory().flights.is_empty());
    }

    #[tokio::test]
    async fn a_token_nobody_waits_for_any_more_is_not_proven() {
        let (token, auth) = one();
        let hold = auth.argon2.acquire_many(2).await.unwrap();
        let left = tokio::time::timeout(Duration::from_millis(5), ask(&auth, &token)).await;
        assert!(left.is_err());
        drop(hold);
        while !auth.known().memory().flights.is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(auth.known().memory().proven.is_empty());
    }

    #[tokio::test]
    async fn an_attacker_who_knows_an_id_cannot_keep_its_owner_out() {
        let (token, auth) = one();
        let hold = auth.argon2.acquire_many(2).await.unwrap();
        let bad: Vec<_> = (0..100).map(|n| header(&impostor(&token, n))).collect();
        let attack = bad.iter().map(|bad| auth.verify(Some(bad), peer("203.0.113.1"), now()));
        let owner = ask(&auth, &token);
        let (attacks, owner, ()) = tokio::join!(futures_util::future::join_all(attack), owner, async {
            tokio::task::yield_now().await;
            assert_eq!(auth.known().memory().flights.len(), 3);
            drop(hold);
        });
        assert!(owner.is_ok());
        assert_eq!(attacks.iter().filter(|answer| **answer == Err(Refusal::Wrong)).count(), WAITING_PER_TOKEN);
        assert_eq!(attacks.iter().filter(|answer| matches!(answer, Err(Refusal::Busy(_)))).count(), 98);
    }

    #[tokio::test]
    async fn one_peer_takes_half_of_the_queue_at_most_and_all_peers_the_whole() {
        let tokens: Vec<_> = (0..100).map(|_| Token::generate().unwrap()).collect();
        let auth = Auth::new(&Store { records: tokens.iter().map(record).collect() }).unwrap();
        let hold = auth.argon2.acquire_many(2).await.unwrap();
        let headers: Vec<_> = tokens.iter().map(header).collect();
        // addresses of one /64 are one peer
        let from = |n: usize| peer(&format!("2001:db8::{n:x}"));
        let near = headers.iter().enumerate().map(|(n, one)| auth.verify(Some(one), from(n), now()));
        let far =
            headers.iter().enumerate().map(|(n, one)| auth.verify(Some(one), peer(&format!("192.0.2.{n}")), now()));
        let (near, far, ()) =
            tokio::join!(futures_util::future::join_all(near), futures_util::future::join_all(far), async {
                tokio::task::yield_now().await;
                assert_eq!(auth.known().memory().flights.len(), WAITING);
                drop(hold);
            });
        assert_eq!(near.iter().filter(|answer| answer.is_ok()).count(), WAITING_PER_PEER);
        // the first 32 joined the near ones' flights, 32 more found room
        assert_eq!(far.iter().filter(|answer| answer.is_ok()).count(), WAITING);
    }

    #[tokio::test]
    async fn a_trials_token_is_let_in_without_argon2_and_survives_a_reload() {
        let token = Token::generate().unwrap();
        let auth = Auth::trial(&token, Grants::usual()).unwrap();
        auth.argon2.close();
        auth.reload(&Store::default());
        let caller = ask(&auth, &token).await.unwrap();
        assert_eq!((caller.auth, &*caller.name), (Method::Trial, "trial"));
        assert_eq!(ask(&auth, &impostor(&token, 7)).await, Err(Refusal::Wrong));
        assert_eq!(ask(&auth, &Token::generate().unwrap()).await, Err(Refusal::Unknown));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let (key, mut memory) = (hmac::Key::new(hmac::HMAC_SHA256, b"k"), Memory::default());
        for n in 0..REMEMBERED as u64 + 10 {
            let mut digest = Digest::default();
            digest[..8].copy_from_slice(&n.to_le_bytes());
            let tag = hmac::sign(&key, &digest);
            let when = now() + Duration::from_secs(n);
            memory.learn(&n.to_string().into(), tag, digest, true, when);
            memory.learn(&n.to_string().into(), tag, digest, false, when);
        }
        assert_eq!(
            (memory.proven.len(), memory.wrong.len(), memory.wrong_order.len()),
            (REMEMBERED, REMEMBERED, REMEMBERED)
        );
        assert!(!memory.proven.contains_key("9") && memory.proven.contains_key("10"));
    }

    #[tokio::test]
    async fn a_poisoned_lock_stops_nobody() {
        let (token, auth) = one();
        let auth = Arc::new(auth);
        let other = Arc::clone(&auth);
        let _ = std::thread::spawn(move || {
            let known = other.known();
            let _memory = known.memory();
            let _known = other.known.write();
            panic!("on purpose");
        })
        .join();
        assert!(ask(&auth, &token).await.is_ok());
        auth.reload(&Store::default());
    }
}
