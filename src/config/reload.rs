//! What of a changed file comes into force while the server runs.
//!
//! A right that is taken away is gone at once, whatever else stands in the file. What a file gives comes into force at once only if all of it
//! can: nothing in it is wrong, and nothing waits for a restart. Otherwise what is new and what is old would open between them what neither
//! does: new directories below the old root, or around the place of the next start's tokens; rules for containers whose key is misspelt.

use std::path::Path;

use super::{
    Config, Environment, Source,
    key::When,
    reading::{Misread, bytes_of},
    written::Written,
};

/// The result of a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The keys that have changed and are in force.
    pub in_force: Vec<String>,
    /// The keys that have changed and of which only that is in force which takes rights away.
    pub narrowed: Vec<String>,
    /// The keys that have changed and wait for a restart.
    pub waiting: Vec<String>,
    /// What is wrong.
    pub wrong: Vec<String>,
}

impl Config {
    /// Reads the file again that these settings are of, and takes up what it can.
    pub fn reload(&mut self, source: &Source, default: &Path, environment: &Environment) -> Outcome {
        let (file, before) = match (source, &self.written) {
            (Source::File(file), Some(written)) => (file.as_path(), written),
            (Source::Flags(_), Some(written)) => (default, written),
            // a trial has no file; one that was written since is for the next start
            (_, None) => {
                let is_there = rustix::fs::stat(default).is_ok();
                let waiting = is_there.then(|| default.display().to_string()).into_iter().collect();
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
        let path = || self.settings.file.clone();
        // what the file would be refused for at the next start
        let faults = read.written.settings(environment, path()).err().unwrap_or_default();
        outcome.wrong.extend(faults.iter().map(|(at, why)| Misread::at(read.place_of(*at), why.as_str()).of(file)));
        self.coming = read.written.own(environment);

        let mut live = before.clone();
        let changes = live.take(&read.written);
        let waiting = changes.iter().filter(|change| change.when == When::Restart);
        outcome.waiting.extend(waiting.map(|change| change.at.to_string()));
        let changes = changes.iter().filter(|change| change.when == When::Live);
        if outcome.wrong.is_empty() && outcome.waiting.is_empty() {
            // and what comes back of those that were narrowed
            let again = std::mem::take(&mut self.narrowed);
            outcome.in_force.extend(changes.map(|change| change.at.to_string()));
            let again: Vec<String> = again.into_iter().filter(|key| !outcome.in_force.contains(key)).collect();
            outcome.in_force.extend(again);
            // it was refused for nothing above
            (live, self.settings) = live.sound(before, environment, path());
            self.written = Some(live);
            return outcome;
        }
        for change in changes {
            let opens_nothing = change.at.section == Some(LIMITS);
            let into = if opens_nothing { &mut outcome.in_force } else { &mut outcome.narrowed };
            into.push(change.at.to_string());
        }
        for key in &outcome.narrowed {
            if !self.narrowed.contains(key) {
                self.narrowed.push(key.clone());
            }
        }
        let (_, meaning) = live.sound(before, environment, path());
        self.settings.without_what_is_taken_by(&meaning);
        self.settings.limits = meaning.limits;
        outcome.wrong.extend(self.settings.close_what_has_no_ground());
        self.written = Some(Written { limits: live.limits, ..before.clone() });
        outcome
    }
}

/// The section whose keys open nothing to anybody.
const LIMITS: &str = "limits";
