//! `token`: make, list and revoke the tokens that callers show.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
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
use auth::{
    store::{Store, Wanted},
    token::Token,
    trusted::{self, Whom},
};
use kernel::root::read_own;
use rights::grant::{self, Grant};

/// Makes a token and prints it, the only time it can be seen. A running server accepts it before that.
pub(super) fn new(file: &Path, places: &[PathBuf], wanted: Wanted) -> Result<(), Error> {
    let (token, record) = Store::add(file, wanted, SystemTime::now()).map_err(Error::other)?;
    let told = tell(file, places);
    if !io::stdout().is_terminal() {
        say(token.expose())?;
        match told {
            Told::Applied | Told::Nobody => (),
            Told::Other(own) => {
                complain(&format!("the running server does not accept it: {} is its token file", own.display()))
            }
            Told::Not(why) => complain(&format!("the running server does not accept it: {why}")),
        }
        return Ok(());
    }
    say(&format!("{}\n", token.expose()))?;
    let until = record.expires.map_or("for ever".to_owned(), |until| format!("until {}", until_text(until.get())));
    complain(&format!(
        "Token {} ({}) is good {until}, for {}. It is shown this once; only its argon2id hash is kept, in {}.\n{}",
        record.id,
        record.name,
        record.grants,
        file.display(),
        match told {
            Told::Applied => "The running server accepts it from now on.".to_owned(),
            Told::Nobody => "No server was reached; one that reads this file accepts it within two seconds.".to_owned(),
            Told::Other(own) => format!("A server is running, and its token file is {}.", own.display()),
            Told::Not(why) => format!("The running server does not accept it: {why}"),
        }
    ));
    Ok(())
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

/// Takes one back. A running server no longer accepts it when this ends.
pub(super) fn revoke(file: &Path, places: &[PathBuf], which: &str) -> Result<(), Error> {
    let record = Store::revoke(file, which).map_err(Error::other)?;
    let what = format!("Token {} ({}) is revoked.", record.id, record.name);
    match tell(file, places) {
        Told::Applied => say(&format!("{what} The running server no longer accepts it.")),
        Told::Nobody => {
            say(&format!("{what} No server was reached; one that reads this file forgets it within two seconds."))
        }
        Told::Other(own) => say(&format!("{what} A server is running, and its token file is {}.", own.display())),
        Told::Not(why) => Err(Error::Other(format!("{what} The running server has not confirmed that: {why}"))),
    }
}

/// What the running server says of a change of its tokens.
enum Told {
    /// It has read this file since.
    Applied,
    /// There is none.
    Nobody,
    /// It reads another file.
    Other(PathBuf),
    /// It has not.
    Not(String),
}

/// Has the running server read its tokens.
fn tell(file: &Path, places: &[PathBuf]) -> Told {
    match control::ask(places, TOKENS.as_bytes()) {
        Ok(None) => Told::Nobody,
        Ok(Some(Answer { token_file: Some(own), is_ok: true, .. })) if control::is_same(&own, file) => Told::Applied,
        Ok(Some(Answer { token_file: Some(own), is_ok: true, .. })) => Told::Other(own),
        Ok(Some(Answer { words, .. })) => Told::Not(words),
        Err(error) => Told::Not(error.to_string()),
    }
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
