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

use super::{Error, complain, say};
use crate::{
    auth::{
        store::{Store, Wanted},
        token::Token,
        trusted::{self, Whom},
    },
    grant::{self, Grant},
    root::read_own,
};

/// Makes a token and prints it, the only time it can be seen.
pub(super) fn new(file: &Path, wanted: Wanted) -> Result<(), Error> {
    let (token, record) = Store::add(file, wanted, SystemTime::now()).map_err(Error::other)?;
    if io::stdout().is_terminal() {
        say(&format!("{}\n", token.expose()))?;
        let until = record.expires.map_or("for ever".to_owned(), |until| format!("until {}", until_text(until.get())));
        complain(&format!(
            "Token {} ({}) is good {until}, for {}. It is shown this once; only its argon2id hash is kept, in {}.\n\
             A server that runs already takes it up on SIGHUP (systemctl reload systemmanager-mcp).",
            record.id,
            record.name,
            record.grants,
            file.display()
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

/// Takes one back.
pub(super) fn revoke(file: &Path, which: &str) -> Result<(), Error> {
    let record = Store::revoke(file, which).map_err(Error::other)?;
    say(&format!("Token {} ({}) is revoked. A server that runs already learns it on SIGHUP.", record.id, record.name))
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
