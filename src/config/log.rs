//! How much the program says about itself.

use serde::Deserialize;

use super::key::section;

section! {
    /// How much the program says about itself on its standard error stream: Error, Warn, Info, Debug or Trace.
    /// Default: Info.
    log: Level = Level::default(), Restart;
}

impl Written {
    pub(super) fn meaning(self) -> Level {
        let Self { log } = self;
        log
    }
}

/// How much the program says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub enum Level {
    /// What is broken.
    Error,
    /// What is wrong but was borne.
    Warn,
    /// What happened.
    #[default]
    Info,
    /// How.
    Debug,
    /// Everything.
    Trace,
}

impl From<Level> for tracing::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}
