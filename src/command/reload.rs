//! `reload`: has the running server read its configuration, tokens and certificates again, waits, and tells the result.

use std::{
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use super::{
    Error,
    control::{self, RELOAD},
    say,
};
use crate::config::{DEFAULT_FILE, Environment, Paths};

/// Asks the server of this configuration.
pub(super) fn run(config: Option<PathBuf>, environment: &Environment) -> Result<(), Error> {
    let file = config.unwrap_or_else(|| Path::new(DEFAULT_FILE).to_owned());
    // the file may be wrong, which the server is to say
    let paths = Paths::of(&file, environment);
    let state: Vec<PathBuf> = paths.iter().map(|paths| paths.state_directory.clone()).collect();
    let places = control::places(environment, &state);
    let absolute = std::path::absolute(&file).map_err(Error::other)?;
    let what = [RELOAD.as_bytes(), absolute.as_os_str().as_bytes()].join(&b' ');
    match control::ask(&places, &what)? {
        Some(answer) if answer.is_ok => say(&answer.words),
        Some(answer) => Err(Error::Other(answer.words)),
        None => {
            let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
            // why it was not looked for where the file says
            let why = paths.err().map_or_else(String::new, |error| format!("{error}\n"));
            Err(Error::Other(format!(
                "{why}no server that this user may speak to listens at {}. One that cannot write there reloads on SIGHUP",
                places.join(" or ")
            )))
        }
    }
}
