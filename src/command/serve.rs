//! `serve`: listen, until told to end.

mod control;
mod reload;
mod watch;

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::SystemTime};

use tokio::{
    net::{TcpListener, TcpSocket},
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    Error, client_config, end,
    machinery::{Machinery, spare_memory},
    repair::repair_forever,
    say, systemd,
};
use crate::{
    config::{self, Config, DEFAULT_FILE, Environment, Limits, Listener, Settings, Source, Tokens},
    server::{
        http::{Bounds, ENOUGH, Hosts, Http},
        listen::{BACKLOG, Door, Listeners, Most, Tls},
    },
};
use auth::{Auth, store::Store, token::Token};
use facts::host::{First, most_held};

use reload::{Running, TokenReader};
use watch::Watched;

/// Open files that connections may not take, besides those that scans hold: the readers of `/proc`, the audit log, sockets and timers.
const RESERVED: usize = 256;

/// What a connection takes at most, in bytes: its buffers and its task, and with TLS those of the encryption. All of them together may take a
/// third of the memory that there is to spare.
const CONNECTION: usize = 32 << 10;
const ENCRYPTED_CONNECTION: usize = 64 << 10;

/// Serves.
pub(super) async fn run(source: &Source, environment: &Environment) -> Result<(), Error> {
    // before anything takes long: a SIGHUP that comes meanwhile would end this process
    let hangup = signal(SignalKind::hangup()).map_err(Error::other)?;
    let config = Config::of(source, Path::new(DEFAULT_FILE), environment)?;
    let settings = config.settings.clone();
    super::log::start(settings.log);
    let most_files = raise_open_files();
    let machinery = Machinery::open(&settings, First::Comes)?;
    let watched = match &settings.tokens {
        Tokens::Store(file) => Some(Watched::new(file)),
        Tokens::Trial(_) => None,
    };
    let (auth, token) = credentials(&settings)?;
    let auth = Arc::new(auth);
    let certificates: Vec<Option<Tls>> = settings.listeners.iter().map(certificate).collect::<Result<_, _>>()?;
    let sockets = sockets(&settings.addresses())?;
    let bound: Vec<SocketAddr> =
        sockets.iter().map(TcpListener::local_addr).collect::<Result<_, _>>().map_err(Error::other)?;

    let http = Http::new(
        Arc::clone(&machinery.gate),
        Arc::clone(&auth),
        hosts(&settings.allowed_hosts, &settings.allowed_origins),
        http_bounds(&settings.limits),
    );
    let doors = settings.listeners.iter().zip(certificates).map(|(one, tls)| Door::new(one, tls)).collect();
    let listeners = Listeners::new(http.clone(), doors, most(&settings.listeners, &settings.limits, most_files));
    let stop = CancellationToken::new();
    let ending = tokio::spawn(end(stop.clone())?);
    let reader = TokenReader::new(&auth, &settings.tokens);
    let running = Running {
        config,
        source: source.clone(),
        environment: environment.clone(),
        most_files,
        reader: Arc::clone(&reader),
        http,
        listeners: listeners.clone(),
        gate: Arc::clone(&machinery.gate),
    };
    let reload = running.start()?;
    let mut beside = JoinSet::new();
    beside.spawn(reload.clone().on_hangup(hangup));
    // a trial has nothing that could be read again
    let control = if let Some(watched) = watched {
        watched.start(reader).map_err(Error::other)?;
        control::listen(&environment.runtime_directory().unwrap_or_else(|| settings.state_directory.clone()))
    } else {
        None
    };
    let control = control.map(|(bound, listener)| {
        beside.spawn(control::answer_forever(listener, reload, settings.file.clone()));
        bound
    });
    beside.spawn({
        let gate = Arc::clone(&machinery.gate);
        async move {
            let host = gate.host();
            tokio::join!(host.sample_forever(), gate.sweep_forever());
        }
    });
    beside.spawn(repair_forever(Arc::clone(&machinery.gate)));

    for (address, listener) in bound.iter().zip(&settings.listeners) {
        tracing::info!(%address, scheme = scheme(listener), "listening");
        if listener.tls.is_none() && !address.ip().is_loopback() {
            tracing::warn!(%address, "tokens and answers cross this listener in plain text, as you asked");
        }
    }
    if let (Some(token), Some(address)) = (&token, bound.first()) {
        say(&client_config::greeting(*address, &settings.grants, token, &settings.tokens))?;
    }
    beside.spawn(systemd::live());
    systemd::ready(&serving(&settings.listeners));
    listeners.serve(sockets, stop).await;
    drop(control);
    beside.shutdown().await;
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

/// The certificate of a listener that is encrypted.
fn certificate(listener: &Listener) -> Result<Option<Tls>, Error> {
    let read = |tls: &config::Tls| Tls::read(&tls.certificate, &tls.key).map_err(Error::Other);
    listener.tls.as_ref().map(read).transpose()
}

fn hosts(hosts: &[String], origins: &[String]) -> Hosts {
    Hosts::new(hosts.iter().cloned(), origins.iter().cloned())
}

fn http_bounds(limits: &Limits) -> Bounds {
    // taken apart without `..`: a new limit is put in force here, in `most`, or by the gate
    let Limits { body_bytes, header, body, idle, connections: _, connections_per_peer: _, lanes: _, deadline: _ } =
        *limits;
    Bounds { body: body_bytes, body_time: body, header_time: header, idle_time: idle, spare: spare() }
}

/// The memory that requests, connections and answers may use, in bytes, as far as it matters.
fn spare() -> usize {
    spare_memory().unwrap_or(ENOUGH).min(ENOUGH)
}

/// How many connections there may be where so many files may be open and there is so much memory.
fn most(listeners: &[Listener], limits: &Limits, most_files: usize) -> Most {
    // where there are few, a quarter of them is for connections: one place would go to whoever knocked last
    let reserved = RESERVED + most_held(Some(most_files as u64));
    let files = most_files.saturating_sub(reserved).max(most_files / 4);
    let is_encrypted = listeners.iter().any(|listener| listener.tls.is_some());
    let each = if is_encrypted { ENCRYPTED_CONNECTION } else { CONNECTION };
    let by_memory = spare() / 3 / each;
    Most {
        in_all: limits.connections.min(files).min(by_memory),
        // where there is little, one address must not have all of them
        per_peer: limits.connections_per_peer.min(by_memory / 2),
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
fn serving(listeners: &[Listener]) -> String {
    let of = |wanted: &str| {
        let these = listeners.iter().filter(|listener| scheme(listener) == wanted);
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
