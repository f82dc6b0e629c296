//! What of a changed file comes into force while the server is at work.
//!
//! Each key has its own way: one that is `Live` comes into force with a reload, one that needs a restart waits and is named. What is wrong with
//! one key keeps no other from coming into force, so that a right is taken away at once whatever else stands in the file. The keys together,
//! those that wait as they were, are checked as a file is: what the old state and the new directories would open between them is held back.

use std::path::Path;

use super::{
    Config, Environment, Settings, Source, ground,
    key::{At, Change, When, Wrong},
    reading::{Misread, bytes_of},
    written::Written,
};

/// What came of a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The keys that have changed and are in force.
    pub in_force: Vec<String>,
    /// The keys that have changed and wait for a restart.
    pub waiting: Vec<String>,
    /// What is wrong, and stays as it was.
    pub wrong: Vec<String>,
}

impl Config {
    /// Reads the file again that these settings are of, and takes up what it can.
    pub fn reload(&mut self, source: &Source, default: &Path, environment: &Environment) -> Outcome {
        let (file, before) = match (source, &self.written) {
            (Source::File(file), Some(written)) => (file.as_path(), written),
            (Source::Flags(_), Some(written)) => (default, written),
            // a trial has no file; one that has been written since is for the next start
            (_, None) => {
                let waiting = if rustix::fs::stat(default).is_ok() {
                    vec![format!("{}, which was not there before,", default.display())]
                } else {
                    vec![]
                };
                return Outcome { waiting, ..Outcome::default() };
            }
        };
        let whole = |misread: Misread| Outcome { wrong: vec![misread.of(file)], ..Outcome::default() };
        let bytes = match bytes_of(file) {
            Ok(bytes) => bytes,
            Err(misread) => return whole(misread),
        };
        let read = match Written::of(&bytes, before) {
            Ok(read) => read,
            Err(misread) => return whole(misread),
        };
        let mut outcome = Outcome::default();
        outcome.wrong.extend(read.misread.iter().map(|misread| misread.of(file)));
        let path = std::path::absolute(file).ok();
        if let Err((at, why)) = read.written.settings(environment, path.clone()) {
            outcome.wrong.push(Misread::at(read.place_of(at), why).of(file));
        }
        match composed(before, &read.written, environment, path.as_deref()) {
            Ok(composed) => {
                for change in &composed.changes {
                    match change.when {
                        When::Restart => outcome.waiting.push(change.at.to_string()),
                        When::Live if composed.held.iter().any(|(at, _)| *at == change.at) => (),
                        When::Live => outcome.in_force.push(change.at.to_string()),
                    }
                }
                let held = composed.held.iter().map(|(at, why)| format!("{at} stays as it was: {why}"));
                outcome.wrong.extend(held);
                (self.written, self.settings) = (Some(composed.written), composed.settings);
            }
            Err((at, why)) => outcome.wrong.push(format!("all keys stay as they were: {at}: {why}")),
        }
        outcome
    }
}

/// What is in force from now on.
struct Composed {
    written: Written,
    settings: Settings,
    /// The keys that are otherwise in the file than they were in force.
    changes: Vec<Change>,
    /// Those of them that cannot come into force beside what waits for a restart, and why.
    held: Vec<(At, String)>,
}

/// Of `new` what can come into force, the rest as it was `before`; an error if even that does not stand.
fn composed(
    before: &Written,
    new: &Written,
    environment: &Environment,
    file: Option<&Path>,
) -> Result<Composed, Wrong> {
    let mut held: Vec<(At, String)> = vec![];
    loop {
        let except: Vec<At> = held.iter().map(|(at, _)| *at).collect();
        let mut written = before.clone();
        let changes = written.take(new, &except);
        let (at, why) = match written.settings(environment, file.map(Path::to_owned)) {
            Ok(settings) => return Ok(Composed { written, settings, changes, held }),
            Err(wrong) => wrong,
        };
        let can_be_held = |one: &At| {
            changes.iter().any(|change| change.at == *one && change.when == When::Live) && !except.contains(one)
        };
        let earlier = held.len();
        // what is said to be wrong need not be what has changed
        let these = if can_be_held(&at) { vec![at] } else { ground::KEYS.to_vec() };
        held.extend(these.into_iter().filter(can_be_held).map(|one| (one, why.clone())));
        if held.len() == earlier {
            return Err((at, why));
        }
    }
}
