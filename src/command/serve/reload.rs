//! A running server reads its configuration, its tokens and its certificates again, when it is told to.
//!
//! Two threads do that, one for the tokens alone: a directory on a dead file server, which the configuration may name, keeps nobody's token alive.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use tokio::{
    signal::unix::Signal,
    sync::{mpsc, oneshot},
};

use super::{certificate, hosts, http_bounds, most, serving};
use crate::{
    command::{Error, machinery, systemd},
    config::{Config, DEFAULT_FILE, Environment, Outcome, Settings, Source, Tokens},
    gate::Gate,
    server::{http::Http, listen::Listeners},
};
use auth::{Auth, store::Store};

/// What is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Configuration, tokens and certificates.
    All,
    /// The tokens.
    Tokens,
}

/// Whom to tell the result.
type Tell = Option<oneshot::Sender<Report>>;

/// The result of a reload.
#[derive(Debug, Default)]
pub(super) struct Report {
    outcome: Outcome,
    /// Whether all was to be read, and not the tokens alone.
    of_all: bool,
    /// How many certificates were read, each with its key.
    certificates: usize,
    /// The token file, and how many tokens it holds; `None` if it could not be read, and in a trial.
    pub(super) tokens: Option<(PathBuf, usize)>,
}

impl Report {
    /// Whether all of it could be taken up.
    pub(super) fn is_ok(&self) -> bool {
        self.outcome.wrong.is_empty()
    }

    /// Says it in the log.
    pub(super) fn log(&self) {
        let words = self.to_string().trim_end().replace('\n', "; ");
        if !self.is_ok() {
            tracing::error!("reload incomplete: {words}");
        } else if !self.outcome.waiting.is_empty() {
            tracing::warn!("reloaded: {words}");
        } else {
            tracing::info!("reloaded: {words}");
        }
    }

    fn failed(why: &str) -> Self {
        Self { outcome: Outcome { wrong: vec![why.to_owned()], ..Outcome::default() }, ..Self::default() }
    }
}

impl fmt::Display for Report {
    /// A line for each thing that an operator wants to know.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { in_force, narrowed, waiting, wrong } = &self.outcome;
        for wrong in wrong {
            writeln!(f, "{wrong}")?;
        }
        if !waiting.is_empty() {
            writeln!(f, "changed, and waiting for a restart: {}", waiting.join(", "))?;
        }
        if !narrowed.is_empty() {
            writeln!(f, "changed, and for now in force only where it takes rights away: {}", narrowed.join(", "))?;
        }
        if !in_force.is_empty() {
            writeln!(f, "changed, and in force: {}", in_force.join(", "))?;
        }
        if self.of_all && [wrong, waiting, narrowed, in_force].iter().all(|list| list.is_empty()) {
            writeln!(f, "no key has changed")?;
        }
        if self.certificates > 0 {
            writeln!(f, "certificates read: {}", self.certificates)?;
        }
        if let Some((file, count)) = &self.tokens {
            writeln!(f, "tokens read: {count}, of {}", file.display())?;
        }
        Ok(())
    }
}

/// Where reloads are asked for.
#[derive(Clone, Debug)]
pub(super) struct Reload {
    all: mpsc::Sender<Tell>,
    tokens: mpsc::Sender<Tell>,
}

impl Reload {
    fn of(&self, what: What) -> &mpsc::Sender<Tell> {
        match what {
            What::All => &self.all,
            What::Tokens => &self.tokens,
        }
    }

    /// Has something read again.
    pub(super) async fn start(&self, what: What) {
        let _ = self.of(what).send(None).await;
    }

    /// The same, and waits for the result. `None`: the server ends.
    pub(super) async fn run(&self, what: What) -> Option<Report> {
        let (tell, told) = oneshot::channel();
        self.of(what).send(Some(tell)).await.ok()?;
        told.await.ok()
    }

    /// Has all read again on each SIGHUP.
    pub(super) async fn on_hangup(self, mut hangup: Signal) {
        while hangup.recv().await.is_some() {
            self.start(What::All).await;
        }
    }
}

/// A running server, and what it was started with.
pub(super) struct Running {
    pub(super) config: Config,
    pub(super) source: Source,
    pub(super) environment: Environment,
    /// How many files may be open.
    pub(super) most_files: usize,
    pub(super) reader: Arc<TokenReader>,
    pub(super) http: Http,
    pub(super) listeners: Listeners,
    pub(super) gate: Arc<Gate>,
}

impl Running {
    /// Starts the two threads. They end when nobody can ask them any more.
    pub(super) fn start(mut self) -> Result<Reload, Error> {
        let reader = Arc::clone(&self.reader);
        Ok(Reload { tokens: each("tokens", move || reader.read())?, all: each("reload", move || self.read())? })
    }

    /// What takes a right away comes first.
    fn read(&mut self) -> Report {
        systemd::reloading();
        let mut report = self.reader.read();
        report.of_all = true;
        let outcome = self.config.reload(&self.source, Path::new(DEFAULT_FILE), &self.environment);
        let wrong = [outcome.wrong, std::mem::take(&mut report.outcome.wrong)].concat();
        report.outcome = Outcome { wrong, ..outcome };
        // taken apart without `..`: a key that nobody takes up here, and that needs no restart, does not compile
        let Settings {
            listeners,
            allowed_hosts,
            allowed_origins,
            limits,
            docker,
            files,
            // these need a restart
            state_directory,
            root,
            log: _,
            audit: _,
            tokens: _,
            // a trial's, from the command line, which does not change
            grants: _,
            // where all of this is read from
            file: _,
        } = &self.config.settings;
        self.gate.reach(machinery::docker(docker, state_directory), machinery::files(files, root, self.config.own()));
        self.gate.set_limits(machinery::limits(limits));
        self.http.reload(hosts(allowed_hosts, allowed_origins), http_bounds(limits));
        let certificates = listeners.iter().map(|listener| {
            certificate(listener)
                .map_err(|error| report.outcome.wrong.push(format!("{error}; the one before is still shown")))
                .ok()
        });
        let certificates: Vec<_> = certificates.collect();
        report.certificates = certificates.iter().flatten().flatten().count();
        self.listeners.reload(certificates, most(listeners, limits, self.most_files));
        let mut status = serving(listeners);
        if !report.outcome.waiting.is_empty() {
            status += "; some keys wait for a restart, the log says which";
        }
        if !report.is_ok() {
            status += "; the last reload is incomplete, the log says why";
        }
        systemd::ready(&status);
        report
    }
}

/// Who reads the token file.
pub(super) struct TokenReader {
    auth: Arc<Auth>,
    tokens: Tokens,
    /// Held from the reading of the file until its tokens count: what was read earlier never counts later.
    turn: Mutex<()>,
}

impl TokenReader {
    pub(super) fn new(auth: &Arc<Auth>, tokens: &Tokens) -> Arc<Self> {
        Arc::new(Self { auth: Arc::clone(auth), tokens: tokens.clone(), turn: Mutex::default() })
    }

    /// Accepts the tokens of the token file, and no others. Where it cannot be read, those of before.
    pub(super) fn read(&self) -> Report {
        let Tokens::Store(file) = &self.tokens else { return Report::default() };
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        match Store::load(file) {
            Ok(store) => {
                self.auth.reload(&store);
                Report { tokens: Some((file.clone(), store.records.len())), ..Report::default() }
            }
            Err(error) => Report::failed(&format!("{error}; the tokens of before are still accepted")),
        }
    }
}

/// A thread that reads once for each who asks, says so in the log, and tells.
fn each(name: &str, mut read: impl FnMut() -> Report + Send + 'static) -> Result<mpsc::Sender<Tell>, Error> {
    let (sender, mut asked) = mpsc::channel::<Tell>(8);
    let work = move || {
        while let Some(tell) = asked.blocking_recv() {
            // the next one may go better
            let report = catch_unwind(AssertUnwindSafe(&mut read))
                .unwrap_or_else(|_| Report::failed("the reload failed by an error of this program's"));
            report.log();
            if let Some(tell) = tell {
                // who asked may have gone
                let _ = tell.send(report);
            }
        }
    };
    thread::Builder::new().name(name.to_owned()).spawn(work).map_err(Error::other)?;
    Ok(sender)
}
