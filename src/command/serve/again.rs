//! A server at work reads its configuration, its tokens and its certificates again, when it is told to.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
};

use super::{bounds, certificates, hosts, most, serving};
use crate::{
    auth::{Auth, store::Store},
    command::{Error, machinery, systemd},
    config::{Config, DEFAULT_FILE, Environment, Outcome, Source, Tokens},
    gate::Gate,
    server::{http::Http, listen::Listeners},
};

/// What is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Configuration, tokens and certificates.
    All,
    /// The tokens.
    Tokens,
}

/// A wish to have something read again, and whom to tell what came of it.
#[derive(Debug)]
pub(super) struct Wish {
    what: What,
    tell: Option<oneshot::Sender<Report>>,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Report {
    what: What,
    outcome: Outcome,
    /// The token file that counts, and how many tokens it lets in.
    pub(super) tokens: Option<(PathBuf, usize)>,
}

impl Report {
    /// Whether all of it could be taken up.
    pub(super) fn is_good(&self) -> bool {
        self.outcome.wrong.is_empty()
    }
}

impl fmt::Display for Report {
    /// A line for each thing that an operator wants to know.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { in_force, waiting, wrong } = &self.outcome;
        for wrong in wrong {
            writeln!(f, "{wrong}")?;
        }
        if !waiting.is_empty() {
            writeln!(f, "changed, and waiting for a restart: {}", waiting.join(", "))?;
        }
        if !in_force.is_empty() {
            writeln!(f, "changed, and in force: {}", in_force.join(", "))?;
        }
        if let Some((file, count)) = &self.tokens {
            let tokens = if *count == 1 { "1 token is" } else { &format!("{count} tokens are") };
            writeln!(f, "{tokens} let in, of {}", file.display())?;
        }
        if self.what == What::All && wrong.is_empty() && waiting.is_empty() && in_force.is_empty() {
            writeln!(f, "nothing else has changed")?;
        }
        Ok(())
    }
}

/// Where wishes are brought.
#[derive(Clone, Debug)]
pub(super) struct Wishes(mpsc::Sender<Wish>);

impl Wishes {
    /// Wishes, and where they come out. Few wait: one that comes meanwhile sees what it wants by those before it.
    pub(super) fn new() -> (Self, mpsc::Receiver<Wish>) {
        let (sender, receiver) = mpsc::channel(8);
        (Self(sender), receiver)
    }

    /// Has something read again.
    pub(super) async fn bring(&self, what: What) {
        let _ = self.0.send(Wish { what, tell: None }).await;
    }

    /// The same, and waits for what comes of it. `None`: the server ends.
    pub(super) async fn ask(&self, what: What) -> Option<Report> {
        let (tell, told) = oneshot::channel();
        self.0.send(Wish { what, tell: Some(tell) }).await.ok()?;
        told.await.ok()
    }

    /// Has all read again on each SIGHUP.
    pub(super) fn on_hangup(&self) -> Result<impl Future<Output = ()> + use<>, Error> {
        let (wishes, mut hangup) = (self.clone(), signal(SignalKind::hangup()).map_err(Error::other)?);
        Ok(async move {
            while hangup.recv().await.is_some() {
                wishes.bring(What::All).await;
            }
        })
    }
}

/// A server at work, and what it was started with.
pub(super) struct Serving {
    pub(super) config: Config,
    pub(super) source: Source,
    pub(super) environment: Environment,
    /// How many files may be open.
    pub(super) most_files: usize,
    pub(super) auth: Arc<Auth>,
    pub(super) http: Http,
    pub(super) listeners: Listeners,
    pub(super) gate: Arc<Gate>,
}

impl Serving {
    /// Does what is wished, one after the other.
    pub(super) async fn read_again_forever(mut self, mut wishes: mpsc::Receiver<Wish>) {
        while let Some(Wish { what, tell }) = wishes.recv().await {
            let report = match what {
                What::All => self.read_all(),
                What::Tokens => self.read_tokens(),
            };
            let words = report.to_string().trim_end().replace('\n', "; ");
            if !report.is_good() {
                tracing::error!("not all is reloaded: {words}");
            } else if !report.outcome.waiting.is_empty() {
                tracing::warn!("reloaded: {words}");
            } else {
                tracing::info!("reloaded: {words}");
            }
            if let Some(tell) = tell {
                // who asked may have gone
                let _ = tell.send(report);
            }
        }
    }

    fn read_all(&mut self) -> Report {
        systemd::reloading();
        let outcome = self.config.reload(&self.source, Path::new(DEFAULT_FILE), &self.environment);
        let settings = &self.config.settings;
        // first what is taken away
        self.gate.reach(machinery::docker(settings), machinery::files(settings));
        self.gate.set_limits(machinery::limits(settings));
        self.http.reload(hosts(settings), bounds(settings));
        let mut report = self.read_tokens();
        report.what = What::All;
        report.outcome = Outcome { wrong: [outcome.wrong, report.outcome.wrong].concat(), ..outcome };
        let certificates = certificates(settings).map_err(|error| report.outcome.wrong.push(error.to_string())).ok();
        self.listeners.reload(certificates, most(settings, self.most_files));
        let mut status = serving(settings);
        if !report.outcome.waiting.is_empty() {
            status += "; some keys wait for a restart, the log says which";
        }
        if !report.is_good() {
            status += "; not all is reloaded, the log says why";
        }
        systemd::ready(&status);
        report
    }

    /// Lets in whom the token file names, and nobody else. Where it cannot be read, those of before.
    fn read_tokens(&self) -> Report {
        let mut report = Report { what: What::Tokens, outcome: Outcome::default(), tokens: None };
        let Tokens::Store(file) = &self.config.settings.tokens else { return report };
        match Store::load(file) {
            Ok(store) => {
                self.auth.reload(&store);
                report.tokens = Some((file.clone(), store.records.len()));
            }
            Err(error) => report.outcome.wrong.push(format!("{error}; the tokens of before are still let in")),
        }
        report
    }
}
