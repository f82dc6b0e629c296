//! `serve`: listen, until told to end.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::SystemTime};

use tokio::{
    net::{TcpListener, TcpSocket},
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::{
    Error, client_config, end,
    machinery::{Machinery, spare_memory},
    repair::repair_forever,
    say, systemd,
};
use crate::{
    auth::{Auth, store::Store, token::Token},
    config::{self, DEFAULT_FILE, Environment, Listener, Settings, Source, Tokens},
    gate::Gate,
    host::{First, most_held},
    server::{
        http::{Bounds, ENOUGH, Guard, Http},
        listen::{BACKLOG, Door, Listeners, Most, Tls},
    },
};

/// Open files that connections may not take, besides those that scans hold: the readers of `/proc`, the audit log, sockets and timers.
const RESERVED: usize = 256;

/// What a connection takes at most, in bytes: its buffers and its task, and with TLS those of the encryption. All of them together may take a
/// third of the memory that there is to spare.
const CONNECTION: usize = 32 << 10;
const ENCRYPTED_CONNECTION: usize = 64 << 10;

/// Serves.
pub(super) async fn run(source: &Source, environment: &Environment) -> Result<(), Error> {
    let settings = Settings::of(source, Path::new(DEFAULT_FILE), environment)?;
    super::log::start(settings.log);
    let most_files = raise_open_files();
    let machinery = Machinery::open(&settings, First::Comes)?;
    let (auth, token) = credentials(&settings)?;
    let auth = Arc::new(auth);
    let certificates = certificates(&settings)?;
    let sockets = sockets(&settings.addresses())?;
    let bound: Vec<SocketAddr> =
        sockets.iter().map(TcpListener::local_addr).collect::<Result<_, _>>().map_err(Error::other)?;

    let http = Http::new(Arc::clone(&machinery.gate), Arc::clone(&auth), guard(&settings), bounds(&settings));
    let doors = settings.listeners.iter().zip(certificates).map(|(one, tls)| Door::new(one, tls)).collect();
    let listeners = Listeners::new(http.clone(), doors, most(&settings, most_files));
    let stop = CancellationToken::new();
    let ending = tokio::spawn(end(stop.clone())?);
    let at_work = Serving {
        settings: settings.clone(),
        source: source.clone(),
        environment: environment.clone(),
        most_files,
        auth,
        http,
        listeners: listeners.clone(),
        gate: Arc::clone(&machinery.gate),
    };
    let reloading = tokio::spawn(at_work.reload_forever()?);
    let sampling = tokio::spawn({
        let gate = Arc::clone(&machinery.gate);
        async move { tokio::join!(gate.host().sample_forever(), gate.sweep_forever()) }
    });
    let repairing = tokio::spawn(repair_forever(Arc::clone(&machinery.gate)));

    for (address, listener) in bound.iter().zip(&settings.listeners) {
        tracing::info!(%address, scheme = scheme(listener), "listening");
        if listener.tls.is_none() && !address.ip().is_loopback() {
            tracing::warn!(%address, "tokens and answers cross this listener in plain text, as you asked");
        }
    }
    if let (Some(token), Some(address)) = (&token, bound.first()) {
        say(&client_config::greeting(*address, &settings.grants, token, &settings.tokens))?;
    }
    let living = tokio::spawn(systemd::live());
    systemd::ready(&serving(&settings));
    listeners.serve(sockets, stop).await;
    living.abort();
    sampling.abort();
    repairing.abort();
    reloading.abort();
    ending.abort();
    super::say_cut_off(&machinery.gate);
    if let Err(error) = machinery.gate.audit().finish(SystemTime::now()) {
        tracing::error!(%error, "the audit log could not be closed");
    }
    tracing::info!("ended");
    Ok(())
}

/// Who is let in, and the token of a trial.
fn credentials(settings: &Settings) -> Result<(Auth, Option<Token>), Error> {
    match &settings.tokens {
        Tokens::Store(file) => {
            let store = Store::load(file).map_err(Error::other)?;
            if store.records.is_empty() {
                tracing::warn!(file = %file.display(), "there is no token yet, so nobody is let in; make one: systemmanager-mcp token new NAME");
            }
            Ok((Auth::new(&store).map_err(Error::other)?, None))
        }
        Tokens::Trial(file) => {
            let token = match file {
                Some(file) => super::token::read_or_create(file)?,
                None => Token::generate().map_err(Error::other)?,
            };
            Ok((Auth::trial(&token, settings.grants.clone()).map_err(Error::other)?, Some(token)))
        }
    }
}

/// Refuses settings that a running server cannot take up: with the sockets that are bound and the directories, the log and Docker as they
/// were opened they would mean something else than they say (a listener without the TLS it was opened with, a trial's token beside those
/// of a file, a key in a place that is not kept from callers).
fn fits(started: &Settings, now: &Settings) -> Result<(), Error> {
    // taken apart without `..`: a new setting has to say here whether `reload` takes it up or it needs a restart
    let Settings {
        listeners,
        root,
        files,
        docker,
        audit,
        log,
        tokens,
        // with the token file and the key, the places that are kept from callers
        state_directory: _,
        // where all of this is read from, again and again
        file: _,
        // a trial's, from the command line, which does not change
        grants: _,
        // taken up by `reload`, as are the tokens and the certificate
        allowed_hosts: _,
        allowed_origins: _,
        limits: _,
    } = now;
    let places = |all: &[Listener]| all.iter().map(|one| (one.bind, one.serves.clone(), one.who)).collect::<Vec<_>>();
    let is_encrypted = |one: &Listener| one.tls.is_some();
    let is_trial = |tokens: &Tokens| matches!(tokens, Tokens::Trial(_));
    let own = |settings: &Settings| settings.own().into_iter().map(Path::to_owned).collect::<Vec<_>>();
    let changed = [
        ("where is listened, and what is served there", places(&started.listeners) != places(listeners)),
        ("tls (on or off)", !started.listeners.iter().map(is_encrypted).eq(listeners.iter().map(is_encrypted))),
        ("root", started.root != *root),
        ("files", started.files != *files),
        ("docker", started.docker != *docker),
        ("audit", started.audit != *audit),
        ("log", started.log != *log),
        ("whether there is a config at all", is_trial(&started.tokens) != is_trial(tokens)),
        ("where state, tokens or the key are", own(started) != own(now)),
    ];
    let changed: Vec<_> = changed.into_iter().filter_map(|(what, has)| has.then_some(what)).collect();
    if changed.is_empty() {
        return Ok(());
    }
    Err(Error::Other(format!("changed: {}; that needs a restart", changed.join(", "))))
}

/// The certificate of each listener that is encrypted.
fn certificates(settings: &Settings) -> Result<Vec<Option<Tls>>, Error> {
    let read = |tls: &config::Tls| Tls::read(&tls.certificate, &tls.key).map_err(Error::Other);
    settings.listeners.iter().map(|listener| listener.tls.as_ref().map(read).transpose()).collect()
}

fn guard(settings: &Settings) -> Guard {
    Guard::new(settings.allowed_hosts.iter().cloned(), settings.allowed_origins.iter().cloned())
}

fn bounds(settings: &Settings) -> Bounds {
    let limits = &settings.limits;
    Bounds {
        body: limits.body_bytes,
        body_time: limits.body,
        header_time: limits.header,
        idle_time: limits.idle,
        spare: spare(),
    }
}

/// The memory that requests, connections and answers may use, in bytes, as far as it matters.
fn spare() -> usize {
    spare_memory().unwrap_or(ENOUGH).min(ENOUGH)
}

/// How many connections there may be where so many files may be open and there is so much memory.
fn most(settings: &Settings, most_files: usize) -> Most {
    // where there are few, a quarter of them is for connections: one place would go to whoever knocked last
    let reserved = RESERVED + most_held(Some(most_files as u64));
    let files = most_files.saturating_sub(reserved).max(most_files / 4);
    let is_encrypted = settings.listeners.iter().any(|listener| listener.tls.is_some());
    let each = if is_encrypted { ENCRYPTED_CONNECTION } else { CONNECTION };
    let by_memory = spare() / 3 / each;
    Most {
        in_all: settings.limits.connections.min(files).min(by_memory),
        // where there is little, one address must not have all of them
        per_peer: settings.limits.connections_per_peer.min(by_memory / 2),
    }
}

/// A socket for each address: the one that systemd holds open for it, or one of its own. What it holds for another address would be
/// nobody's, or would be served as the configuration does not say.
fn sockets(listen: &[SocketAddr]) -> Result<Vec<TcpListener>, Error> {
    let mut handed = systemd::sockets()?;
    if let Some((address, _)) = handed.iter().find(|(address, _)| !listen.contains(address)) {
        return Err(Error::Other(format!(
            "systemd holds a socket open at {address}, and `listen` in the configuration does not name it: ListenStream= and `listen` (or `listeners`) have to say the same"
        )));
    }
    let mut socket = |address: &SocketAddr| match handed.iter().position(|(handed, _)| handed == address) {
        Some(place) => TcpListener::from_std(handed.swap_remove(place).1).map_err(Error::other),
        None => bind(*address),
    };
    let sockets = listen.iter().map(&mut socket).collect::<Result<_, _>>()?;
    match handed.first() {
        None => Ok(sockets),
        // callers whom the kernel gives to it would wait for ever
        Some((address, _)) => Err(Error::Other(format!("systemd holds two sockets open at {address}: one is enough"))),
    }
}

/// The line of `systemctl status`.
fn serving(settings: &Settings) -> String {
    let of = |wanted: &str| {
        let these = settings.listeners.iter().filter(|listener| scheme(listener) == wanted);
        let these: Vec<String> = these.map(|listener| listener.bind.to_string()).collect();
        (!these.is_empty()).then(|| format!("{wanted} on {}", these.join(", ")))
    };
    let all: Vec<String> = ["http", "https"].into_iter().filter_map(of).collect();
    format!("serves {}", all.join(" and "))
}

fn scheme(listener: &Listener) -> &'static str {
    if listener.tls.is_some() { "https" } else { "http" }
}

fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let bind = || -> io::Result<TcpListener> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bind().map_err(|error| Error::Other(format!("cannot listen on {address}: {error}")))
}

/// A server at work, and what it was started with.
struct Serving {
    settings: Settings,
    source: Source,
    environment: Environment,
    /// How many files may be open.
    most_files: usize,
    auth: Arc<Auth>,
    http: Http,
    listeners: Listeners,
    gate: Arc<Gate>,
}

impl Serving {
    /// On SIGHUP reads config, tokens and certificate anew. What does not read well stays as it was.
    fn reload_forever(self) -> Result<impl Future<Output = ()>, Error> {
        let mut hangup = signal(SignalKind::hangup()).map_err(Error::other)?;
        Ok(async move {
            while hangup.recv().await.is_some() {
                systemd::reloading();
                match self.reload() {
                    Ok(()) => {
                        tracing::info!("tokens, limits, allowed hosts and the certificate were read anew");
                        systemd::ready(&serving(&self.settings));
                    }
                    Err(error) => {
                        tracing::error!(%error, "not reloaded, everything stays as it was");
                        systemd::ready(&format!("{}; not reloaded, the log says why", serving(&self.settings)));
                    }
                }
            }
        })
    }

    fn reload(&self) -> Result<(), Error> {
        let settings = Settings::of(&self.source, Path::new(DEFAULT_FILE), &self.environment)?;
        fits(&self.settings, &settings)?;
        let store = match &settings.tokens {
            // a missing file holds no tokens, which is right at the start and a mishap later
            Tokens::Store(file) if rustix::fs::stat(file).is_err() => {
                return Err(Error::Other(format!("{}: is gone", file.display())));
            }
            Tokens::Store(file) => Some(Store::load(file).map_err(Error::other)?),
            Tokens::Trial(_) => None,
        };
        let certificates = certificates(&settings)?;
        // nothing is changed before all of it is known to be good
        if let Some(store) = store {
            self.auth.reload(&store);
        }
        self.listeners.reload(certificates, most(&settings, self.most_files));
        self.http.reload(guard(&settings), bounds(&settings));
        self.gate.set_limits(super::machinery::limits(&settings));
        Ok(())
    }
}

/// Raises the soft limit of open files to the hard one, and says what it is now.
fn raise_open_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // no more than a million: some systems say that there is no limit, and mean the kernel's own
    let wanted = limit.maximum.unwrap_or(1 << 20).min(1 << 20);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    let now = if raised.is_ok() { wanted } else { limit.current.unwrap_or(1024) };
    usize::try_from(now).unwrap_or(usize::MAX)
}
