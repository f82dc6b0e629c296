//! What the program does once the command line is read: one file a command.

mod call;
mod client_config;
mod control;
mod docker_guard;
mod doctor;
mod healthcheck;
mod log;
mod machinery;
mod reload;
mod repair;
mod serve;
mod stdio;
mod systemd;
mod token;
mod tools;

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use rustix::io::Errno;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    args::{Command, Health, TokenFile},
    config::{ConfigError, DEFAULT_FILE, Environment, Flags, Paths, Settings, Source},
    gate::Gate,
    init,
};
use auth::store::Wanted;

/// Exit code of a config file that makes no sense (sysexits.h, EX_CONFIG).
const EXIT_CONFIG: u8 = 78;

/// Threads that answer. More only wait for each other: a call is microseconds of work.
const MOST_WORKERS: usize = 4;

/// Threads of tokio's own that block: standard input and output take one each. All other work that blocks has [`lanes::threads`].
const MOST_BLOCKED: usize = 4;

/// Why a command did not do what it was told, in words for the operator.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The config file.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Error {
    fn other(why: impl ToString) -> Self {
        Self::Other(why.to_string())
    }

    /// The exit code that says it to scripts.
    fn code(&self) -> u8 {
        match self {
            Self::Config(_) => EXIT_CONFIG,
            Self::Other(_) => 1,
        }
    }
}

/// Does what the command line says. `idle` is called by worker threads that have nothing to do.
pub fn run(command: Command, idle: fn()) -> ExitCode {
    match dispatch(command, idle) {
        Ok(()) => {
            log::flush();
            ExitCode::SUCCESS
        }
        Err(error) => {
            complain(&error.to_string());
            ExitCode::from(error.code())
        }
    }
}

fn dispatch(command: Command, idle: fn()) -> Result<(), Error> {
    let environment = Environment::of_process();
    match command {
        Command::Help(text) => say(text.trim_end()),
        Command::Version => say(concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"))),
        Command::Tools { markdown } => tools::run(markdown),
        Command::CheckConfig(file) => {
            Settings::read(&file, &environment)?;
            say("ok")
        }
        Command::TokenNew { name, grants, lifetime, sources, file } => {
            let (file, places) = token_file(file, &environment)?;
            token::new(&file, &places, Wanted { name, grants, lifetime, sources })
        }
        Command::TokenList(file) => token::list(&token_file(file, &environment)?.0),
        Command::TokenRevoke { which, file } => {
            let (file, places) = token_file(file, &environment)?;
            token::revoke(&file, &places, &which)
        }
        Command::Reload(config) => reload::run(config, &environment),
        Command::Doctor(source) => doctor::run(&source, &environment),
        Command::Healthcheck(health) => {
            let (address, tls) = listener(health, &environment)?;
            block_on(idle, healthcheck::run(address, tls))
        }
        Command::DockerGuard { settings, listen, audit } => {
            block_on(idle, docker_guard::run(settings, &listen, &audit))
        }
        Command::Init => init::run().map_err(Error::other),
        Command::Serve(source) => block_on(idle, serve::run(&source, &environment)),
        Command::Stdio { source, grants } => block_on(idle, stdio::run(&source, &environment, grants)),
        Command::Call { tool, arguments, json, source, grants } => {
            block_on(idle, call::run(&source, &environment, grants, &tool, arguments, json))
        }
    }
}

fn block_on(idle: fn(), work: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_WORKERS);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(MOST_BLOCKED)
        .enable_all()
        .on_thread_park(idle)
        .build()
        .map_err(Error::other)?;
    let result = runtime.block_on(work);
    // a thread that waits for a dead file server, or for standard input, must not keep the process
    runtime.shutdown_background();
    result
}

/// Cancels `stop` on SIGTERM or SIGINT.
fn end(stop: CancellationToken) -> Result<impl Future<Output = ()>, Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::other)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::other)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
        tracing::info!("ending");
        systemd::stopping();
        stop.cancel();
    })
}

/// Says what the end of this process leaves half done; each of them is on record as an attempt.
fn say_cut_off(gate: &Gate) {
    if gate.acting() > 0 {
        tracing::warn!(calls = gate.acting(), "calls that act are cut off; the audit log has their attempts");
    }
}

/// The token file that a `token` command means, and where the server may listen that lets callers in by it.
fn token_file(file: TokenFile, environment: &Environment) -> Result<(PathBuf, Vec<PathBuf>), Error> {
    let default = Path::new(DEFAULT_FILE);
    let paths = match file {
        TokenFile::At(file) => {
            let beside: Vec<PathBuf> = file.parent().map(Path::to_owned).into_iter().collect();
            return Ok((file, control::places(environment, &beside)));
        }
        TokenFile::Config(config) => Paths::of(&config, environment)?,
        TokenFile::Default if matches!(rustix::fs::stat(default), Err(Errno::NOENT)) => Paths::usual(environment),
        TokenFile::Default => Paths::of(default, environment)?,
    };
    Ok((paths.token_file, control::places(environment, &[paths.state_directory])))
}

/// The address a health check asks, and whether TLS is spoken there.
fn listener(health: Health, environment: &Environment) -> Result<(SocketAddr, bool), Error> {
    let settings = match health {
        Health::At(address) => return Ok((address, false)),
        Health::Config(config) => Settings::read(&config, environment)?,
        Health::Default => Settings::of(&Source::Flags(Flags::default()), Path::new(DEFAULT_FILE), environment)?,
    };
    let first = settings.listeners.first().ok_or_else(|| Error::Other("the config names no listener".to_owned()))?;
    Ok((first.bind, first.tls.is_some()))
}

/// Prints to standard output. A reader who has gone (`| head`) is no error.
fn say(words: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{words}").and_then(|()| out.flush()) {
        Err(error) if Errno::from_io_error(&error) != Some(Errno::PIPE) => Err(Error::other(error)),
        _ => Ok(()),
    }
}

/// Prints to standard error, for a second at most.
pub fn complain(words: &str) {
    log::complain(words);
}
