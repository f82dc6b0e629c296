//! `token`: make, list and revoke the tokens that callers show.

use std::{
    io::{self, IsTerminal},
    path::Path,
    time::SystemTime,
};

use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    io::Errno,
};

use super::{
    Error, complain,
    control::{self, Answer, TOKENS},
    say,
};
use crate::{
    auth::{
        store::{Store, Wanted},
        token::Token,
        trusted::{self, Whom},
    },
    grant::{self, Grant},
    root::read_own,
};

/// Makes a token and prints it, the only time it can be seen. A server at work lets it in before that.
pub(super) fn new(file: &Path, state_directory: &Path, wanted: Wanted) -> Result<(), Error> {
    let (token, record) = Store::add(file, wanted, SystemTime::now()).map_err(Error::other)?;
    let told = tell(file, state_directory);
    if io::stdout().is_terminal() {
        say(&format!("{}\n", token.expose()))?;
        let until = record.expires.map_or("for ever".to_owned(), |until| format!("until {}", until_text(until.get())));
        complain(&format!(
            "Token {} ({}) is good {until}, for {}. It is shown this once; only its argon2id hash is kept, in {}.\n\
             {}",
            record.id,
            record.name,
            record.grants,
            file.display(),
            match told {
                Told::Now => "The server at work lets it in from now on.".to_owned(),
                Told::No(why) => format!("No server has said that it lets it in: {why}."),
            }
        ));
        Ok(())
    } else {
        say(token.expose())
    }
}

/// Lists them, without anything that is secret.
pub(super) fn list(file: &Path) -> Result<(), Error> {
    let store = Store::look(file).map_err(Error::other)?;
    if store.records.is_empty() {
        return say(&format!("There is no token in {}. Make one: systemmanager-mcp token new NAME", file.display()));
    }
    let now = SystemTime::now();
    let mut table = "ID        EXPIRES               NAME, AND BELOW IT WHAT IT MAY\n".to_owned();
    for record in &store.records {
        let expires = match record.expires.map(|until| until.get()) {
            None => "never".to_owned(),
            Some(until) if until <= now => "expired".to_owned(),
            Some(until) => until_text(until),
        };
        let from: Vec<String> = record.sources.iter().map(ToString::to_string).collect();
        let from = if from.is_empty() { String::new() } else { format!("  from {}", from.join(", ")) };
        table += &format!("{}  {expires:20}  {}{from}\n", record.id, record.name);
        let (whole, part): (Vec<&Grant>, Vec<&Grant>) = record.grants.iter().partition(|grant| grant.is_whole());
        let whole = match (whole.is_empty(), part.is_empty()) {
            (true, true) => Some("nothing".to_owned()),
            (true, false) => None,
            (false, _) => Some(grant::list(whole.into_iter())),
        };
        for line in whole.into_iter().chain(part.into_iter().map(ToString::to_string)) {
            table += &format!("{:32}{line}\n", "");
        }
    }
    say(table.trim_end())
}

/// Takes one back. A server at work has let it go before this ends.
pub(super) fn revoke(file: &Path, state_directory: &Path, which: &str) -> Result<(), Error> {
    let record = Store::revoke(file, which).map_err(Error::other)?;
    let what = format!("Token {} ({}) is revoked.", record.id, record.name);
    match tell(file, state_directory) {
        Told::Now => say(&format!("{what} The server at work lets it in no more.")),
        Told::No(why) => say(&format!("{what} No server has said that it lets it in no more: {why}.")),
    }
}

/// What the server at work says of a change of its tokens.
enum Told {
    /// It has read this file since.
    Now,
    /// It has not, or there is none.
    No(String),
}

/// Has the server that is at work with this token file read it.
fn tell(file: &Path, state_directory: &Path) -> Told {
    match control::ask(state_directory, TOKENS) {
        Ok(Answer { is_good: false, words, .. }) => Told::No(words),
        Ok(Answer { token_file: Some(own), .. }) if is_same(&own, file) => Told::Now,
        Ok(Answer { token_file, .. }) => {
            let file = token_file.map_or("no token file".to_owned(), |own| own.display().to_string());
            Told::No(format!("the one at work reads {file}"))
        }
        Err(error) => Told::No(control::unanswered(state_directory, &error).to_string()),
    }
}

fn is_same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| rustix::fs::stat(path).ok().map(|stat| (stat.st_dev, stat.st_ino));
    one == other || identity(one).is_some_and(|one| Some(one) == identity(other))
}

/// The token in a trial's `--token-file`. A file that is not there is made, for its owner alone.
pub(super) fn read_or_create(file: &Path) -> Result<Token, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::Other(format!("the token file {}: {error}", file.display()));
    match openat(
        CWD,
        file,
        OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::RUSR | Mode::WUSR,
    ) {
        Ok(fd) => {
            let token = Token::generate().map_err(Error::other)?;
            let line = format!("{}\n", token.expose());
            let written = io::Write::write_all(&mut std::fs::File::from(fd), line.as_bytes());
            written.map_err(|error| {
                // half a token would be read as a broken one at the next start
                let _ = rustix::fs::unlink(file);
                failed(&error)
            })?;
            Ok(token)
        }
        Err(Errno::EXIST) => {
            let stat = rustix::fs::stat(file).map_err(|error| failed(&error))?;
            if stat.st_mode & 0o077 != 0 {
                return Err(failed(&format!("others may read it; run: chmod 600 {}", file.display())));
            }
            trusted::check(file, &stat, Whom::Me).map_err(|doubt| failed(&doubt))?;
            let bytes = read_own(file, 4096).map_err(|error| failed(&error))?;
            let text = String::from_utf8_lossy(&bytes);
            Token::parse(text.trim()).map_err(|_| failed(&"what is in it is not a token; delete it to have one made"))
        }
        Err(error) => Err(failed(&error)),
    }
}

fn until_text(until: SystemTime) -> String {
    humantime::format_rfc3339_seconds(until).to_string()
}
