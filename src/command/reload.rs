//! `reload`: has the server at work read its configuration, tokens and certificates again, waits, and tells what came of it.

use std::path::{Path, PathBuf};

use super::{
    Error,
    control::{self, RELOAD},
    say,
};
use crate::config::{DEFAULT_FILE, Environment, Settings};

/// Asks the server of this configuration.
pub(super) fn run(config: Option<PathBuf>, environment: &Environment) -> Result<(), Error> {
    let file = config.unwrap_or_else(|| Path::new(DEFAULT_FILE).to_owned());
    let state_directory = Settings::state_directory_of(&file, environment);
    let answer = control::ask(&state_directory, RELOAD);
    let answer = answer.map_err(|error| control::unanswered(&state_directory, &error))?;
    if answer.is_good { say(&answer.words) } else { Err(Error::Other(answer.words)) }
}
