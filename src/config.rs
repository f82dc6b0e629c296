//! The configuration: what may be written in the file, and [`Settings`], what it means once checked.
//!
//! Everything is checked before anything is opened. An error names file, line, column and what was expected; it never
//! quotes the file, which may hold a secret in the wrong place. That is why every value is read by a visitor that says
//! what it expects, and `fault` drops what was found.

mod address;
mod environment;
mod fault;
mod files;
mod ground;
mod init;
mod lane;
mod listener;
mod trial;
mod value;
mod written;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::Mode;
use serde::{Deserialize, de::DeserializeOwned};

pub use environment::Environment;
pub use files::{Directory, Files};
pub use init::{Given, INIT_FILE, Init};
pub use listener::{Listener, Service, Who};
pub use trial::Flags;

use crate::{
    audit::Sink,
    docker,
    grant::Grants,
    lane::{PerLane, Room},
    root::read_own,
};
use written::Written;

/// The configuration read if none is named and it is there.
pub const DEFAULT_FILE: &str = "/etc/systemmanager-mcp/config.ron";

/// A file larger than this is not a configuration.
const LARGEST: usize = 1024 * 1024;

/// What is wrong with a configuration, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file; `None` for the flags of a trial.
    pub file: Option<PathBuf>,
    /// Line and column, counted from 1, where they can be known.
    pub place: Option<(usize, usize)>,
    /// What was expected.
    pub why: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}:", file.display())?;
            if let Some((line, column)) = self.place {
                write!(f, "{line}:{column}:")?;
            }
            f.write_str(" ")?;
        }
        f.write_str(&self.why)
    }
}

impl std::error::Error for ConfigError {}

/// Where settings come from: never from both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// This file.
    File(PathBuf),
    /// The command line, or nothing at all.
    Flags(Flags),
}

/// Whose credentials are let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tokens {
    /// The tokens of this token file.
    Store(PathBuf),
    /// One token, read from this file or put there if it is missing; without one, made and shown at every start.
    Trial(Option<PathBuf>),
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

/// The certificate chain and its key, PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The chain, the server's own first.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// What callers can use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What each lane lets in.
    pub lanes: PerLane<Room>,
    /// The longest a call may take.
    pub deadline: Duration,
    /// The largest request body, in bytes.
    pub body_bytes: usize,
    /// The longest a request's header may take to arrive.
    pub header: Duration,
    /// The longest a request's body may take to arrive.
    pub body: Duration,
    /// How long a connection may rest.
    pub idle: Duration,
    /// Connections open at once.
    pub connections: usize,
    /// Connections open at once from one address.
    pub connections_per_peer: usize,
}

/// The configuration's meaning, checked and complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The file that they were read from.
    pub file: Option<PathBuf>,
    /// Where callers come in; never empty.
    pub listeners: Vec<Listener>,
    /// What a Host header may say: "name" (any port) or "name:port"; loopback names and listeners included.
    pub allowed_hosts: Vec<String>,
    /// What an Origin header may say: "scheme://host:port", with * for any port.
    pub allowed_origins: Vec<String>,
    /// Where state is kept.
    pub state_directory: PathBuf,
    /// What stands for the machine's /.
    pub root: PathBuf,
    /// Whose credentials are let in.
    pub tokens: Tokens,
    /// What may be done with a trial's token.
    pub grants: Grants,
    /// Where calls are recorded.
    pub audit: Sink,
    /// What callers can use up.
    pub limits: Limits,
    /// How the Docker Engine is asked, and for what.
    pub docker: docker::Settings,
    /// Which directories callers may see.
    pub files: Files,
    /// How much the program says about itself.
    pub log: Level,
}

impl Settings {
    /// Settings from the file given; else from `default` if that file is there, and flags beside it are refused, as there is one
    /// source of truth; else a trial's, from the flags.
    pub fn of(source: &Source, default: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        match source {
            Source::File(file) => Self::read(file, environment),
            // a file that may not be looked at is there, and says more than a trial may
            Source::Flags(flags) if matches!(rustix::fs::stat(default), Err(rustix::io::Errno::NOENT)) => {
                Self::trial(flags, environment)
            }
            Source::Flags(flags) if *flags == Flags::default() => Self::read(default, environment),
            Source::Flags(_) => Err(ConfigError {
                file: Some(default.into()),
                place: None,
                why: "is there, and says what this server may do; write it there instead of on the command line".into(),
            }),
        }
    }

    /// The addresses that are listened on.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().map(|listener| listener.bind).collect()
    }

    /// Settings from a file.
    pub fn read(file: &Path, environment: &Environment) -> Result<Self, ConfigError> {
        let failed = |(place, why)| ConfigError { file: Some(file.into()), place, why };
        let bytes = bytes_of(file)?;
        Self::understand(&bytes, environment, std::path::absolute(file).ok()).map_err(failed)
    }

    /// Settings from a file's content; or the place and what was expected there.
    pub fn parse(bytes: &[u8], environment: &Environment) -> Result<Self, Misread> {
        Self::understand(bytes, environment, None)
    }

    fn understand(bytes: &[u8], environment: &Environment, file: Option<PathBuf>) -> Result<Self, Misread> {
        let (written, text) = understood::<Written>(bytes)?;
        let settings = written.check(environment).map(|settings| Self { file, ..settings });
        let checked = settings.and_then(|settings| settings.check_ground().map(|()| settings));
        checked.map_err(|(key, why)| (Some(fault::place_of(text, key)), why))
    }
}

/// A line and a column, where they can be known, and what was expected there.
pub type Misread = (Option<(usize, usize)>, String);

/// A file's content. It says who may do what, so it may not be anybody's to change.
fn bytes_of(file: &Path) -> Result<Vec<u8>, ConfigError> {
    let failed = |why: String| ConfigError { file: Some(file.into()), place: None, why };
    let bytes = read_own(file, LARGEST).map_err(|error| failed(format!("cannot be read: {error}")))?;
    if rustix::fs::stat(file).is_ok_and(|stat| Mode::from_raw_mode(stat.st_mode).contains(Mode::WOTH)) {
        return Err(failed(format!("everybody may write to it: chmod o-w {}", file.display())));
    }
    Ok(bytes)
}

/// What is written there, and the text itself; or the place and what was expected there.
fn understood<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, &str), Misread> {
    if bytes.len() > LARGEST {
        return Err((None, "is larger than 1 MiB".into()));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        (Some(fault::place_after(&before)), "expected UTF-8".to_owned())
    })?;
    let options = ron::Options::default().with_default_extension(ron::extensions::Extensions::IMPLICIT_SOME);
    let written = options.from_str(text).map_err(|error| {
        // the span reaches from the last thing understood to where reading stopped
        let at = if error.code == ron::Error::Eof { error.span.end } else { error.span.start };
        (Some((at.line, at.col)), fault::expectation(&error.code))
    })?;
    Ok((written, text))
}

#[cfg(test)]
mod tests {
    use super::{value::As, written::WrittenTls, *};
    use crate::{
        jail::{Access, Allowed},
        lane::Lane,
    };

    const EXAMPLE: &str = include_str!("../images/config.example.ron");

    fn environment() -> Environment {
        Environment { state_directory: Some("/state:/other".into()), ..Environment::default() }
    }

    fn read(text: &str) -> Result<Settings, (Option<(usize, usize)>, String)> {
        Settings::parse(text.as_bytes(), &environment())
    }

    #[test]
    fn the_example_is_the_defaults() {
        assert_eq!(ron::from_str::<Written>(EXAMPLE).unwrap(), Written::default());
        assert_eq!(read(EXAMPLE), read("()"));
    }

    #[test]
    fn the_example_shows_every_key() {
        fn keys(value: &serde_json::Value, into: &mut Vec<String>) {
            for (key, value) in value.as_object().into_iter().flatten() {
                into.push(key.clone());
                keys(value, into);
            }
        }
        let tls = WrittenTls { certificate: As("/a".into()), key: As("/b".into()) };
        let all = serde_json::to_value(Written { tls: Some(tls), ..Written::default() }).unwrap();
        let mut names = Vec::new();
        keys(&all, &mut names);
        assert_eq!(names.len(), 66);
        for name in names {
            assert!(EXAMPLE.contains(&format!("{name}: ")), "{name}");
        }
    }

    #[test]
    fn an_empty_file_of_parentheses_is_loopback_with_state_where_systemd_says() {
        let settings = read("()").unwrap();
        assert_eq!(settings.addresses(), ["127.0.0.1:8080".parse().unwrap()]);
        assert_eq!(settings.tokens, Tokens::Store("/state/tokens.ron".into()));
        assert_eq!(settings.audit, Sink::File("/state/audit.jsonl".into()));
        assert_eq!(settings.allowed_hosts, ["localhost", "127.0.0.1", "[::1]"]);
        assert_eq!((settings.limits.body_bytes, settings.limits.deadline), (262_144, Duration::from_secs(30)));
    }

    #[test]
    fn a_full_file_is_understood_with_and_without_some() {
        for (some, end) in [("", ""), ("Some(", ")")] {
            let text = format!(
                "#![enable(implicit_some)]\n(listen: [\"0.0.0.0:8443\", \"[2001:db8::1]:8443\"],
                tls: {some}(certificate: \"/c\", key: \"/k\"){end}, allowed_hosts: [\"Box.Example\", \"a:1\", \"[::2]:3\"],
                allowed_origins: [\"https://Box.example\"], state_directory: {some}\"/s\"{end},
                token_file: {some}\"/t\"{end}, audit: {some}Stderr{end}, limits: (machine: (running: 1)), log: Trace)"
            );
            let settings = read(&text).unwrap();
            let tls = Tls { certificate: "/c".into(), key: "/k".into() };
            assert!(settings.listeners.iter().all(|listener| listener.tls.as_ref() == Some(&tls)), "{settings:?}");
            let hosts = ["box.example", "a:1", "[::2]:3", "localhost", "127.0.0.1", "[::1]", "[2001:db8::1]"];
            assert_eq!(settings.allowed_hosts, hosts);
            assert_eq!(settings.allowed_origins, ["https://box.example"]);
            assert_eq!((settings.tokens, settings.audit), (Tokens::Store("/t".into()), Sink::Stderr));
            let machine = settings.limits.lanes[Lane::Machine];
            assert_eq!((machine.running, machine.waiting), (1, 1024));
            assert_eq!(settings.limits.lanes[Lane::Docker], Lane::Docker.spec().usual());
            assert_eq!(tracing::Level::from(settings.log), tracing::Level::TRACE);
        }
    }

    #[test]
    fn a_listener_has_its_own_encryption_and_services() {
        let text = "(listeners: [
            (bind: \"127.0.0.1:8080\"),
            (bind: \"0.0.0.0:8443\", tls: (certificate: \"/c\", key: \"/k\"), serves: [Mcp]),
            (bind: \"192.0.2.1:9100\", plain_text: true, serves: [Metrics], who: Tokens),
        ])";
        let settings = read(text).unwrap();
        let told: Vec<_> =
            settings.listeners.iter().map(|one| (one.bind.port(), one.tls.is_some(), one.serves.as_slice())).collect();
        let (mcp, metrics) = (&[Service::Mcp][..], &[Service::Metrics][..]);
        assert_eq!(told, [(8080, false, &Service::ALL[..]), (8443, true, mcp), (9100, false, metrics)]);
        assert_eq!(settings.allowed_hosts, ["localhost", "127.0.0.1", "[::1]", "192.0.2.1"]);
        assert!(settings.own().contains(&Path::new("/k")), "the key is kept from callers");
        // the short form is the long one, written once for all
        let short = read("(listen: [\"127.0.0.1:1\", \"[::1]:1\"])").unwrap();
        let long = read("(listeners: [(bind: \"127.0.0.1:1\"), (bind: \"[::1]:1\")])").unwrap();
        assert_eq!(short, long);
        assert_eq!(read("(listen: [], listeners: [(bind: \"127.0.0.1:1\")])").unwrap().addresses().len(), 1);
    }

    #[test]
    fn what_would_be_open_or_contradicts_itself_is_refused_at_its_key() {
        for (text, place, why) in [
            ("(\n  listen: [\"0.0.0.0:1\"])", (2, 3), "needs tls"),
            ("(\n  /* listen: */ listen: [\"[::]:1\"])", (2, 17), "needs tls"),
            ("(root: \"/listen:\", // listen:\n listen: [\"[::ffff:192.0.2.1]:1\"])", (2, 2), "needs tls"),
            ("(listen: [])", (1, 2), "at least one"),
            ("(listen: [\"127.0.0.1:1\", \"127.0.0.1:1\"])", (1, 2), "twice"),
            ("(tls: (certificate: \"/c\", key: \"/k\"),\n\n plain_text: true)", (3, 2), "contradict"),
            ("(\n listeners: [(bind: \"0.0.0.0:1\")])", (2, 2), "needs its tls"),
            ("(listeners: [(bind: \"[::]:1\"), (bind: \"127.0.0.1:1\")])", (1, 2), "needs its tls"),
            ("(listeners: [(bind: \"127.0.0.1:1\"), (bind: \"127.0.0.1:1\")])", (1, 2), "twice"),
            ("(listeners: [(bind: \"127.0.0.1:1\", serves: [])])", (1, 2), "expected Mcp or Metrics"),
            (
                "(listeners: [(bind: \"127.0.0.1:1\", plain_text: true, tls: (certificate: \"/c\", key: \"/k\"))])",
                (1, 2),
                "contradict",
            ),
            ("(listen: [\"127.0.0.1:1\"], listeners: [(bind: \"127.0.0.1:2\")])", (1, 27), "leave out listen"),
            ("(plain_text: true, listeners: [(bind: \"127.0.0.1:2\")])", (1, 20), "leave out listen"),
            ("(\n files: (directories: [(path: \"/a\"), (path: \"//a/\")]))", (2, 10), "the same directory"),
        ] {
            let (at, said) = read(text).unwrap_err();
            assert!(said.contains(why), "{said}");
            assert_eq!(at, Some(place), "{text}");
        }
        assert!(read("(listen: [\"0.0.0.0:1\"], plain_text: true)").is_ok());
        assert!(read("(listen: [\"127.0.0.1:0\", \"127.0.0.1:0\", \"[::ffff:127.0.0.1]:1\"])").is_ok());
    }

    #[test]
    fn each_wrong_value_is_placed_and_told_what_was_expected() {
        for (text, place, why) in [
            ("(\n listen: [\"8080\"])", (2, 11), "127.0.0.1:8080"),
            ("(\n root: \"etc\")", (2, 8), "absolute path"),
            ("(\n root: 7)", (2, 8), "string"),
            ("(\n limits: (machine: (running: 0)))", (2, 30), "from 1 to 256"),
            ("(\n limits: (files: (running: 129)))", (2, 28), "from 1 to 128"),
            ("(\n limits: (files: (per_minute: 1)))", (2, 19), "there is running, waiting"),
            ("(\n limits: (pull: (running: 1, running: 2)))", (2, 30), "second time"),
            ("(\n limits: (pull: 4))", (2, 16), "(keys: and values)"),
            ("(\n limits: (running: 64))", (2, 11), "one of each lane, as in machine: (running"),
            ("(\n limits: (acting_per_minute: 1))", (2, 11), "write: (per_minute"),
            ("(\n docker: (running: 1))", (2, 11), "there is off, socket"),
            ("(\n limits: (body_bytes: 262145))", (2, 23), "from 1 to 262144"),
            ("(\n limits: (machine: (running: -1)))", (2, 30), "whole number"),
            ("(\n limits: (machine: (running: 1.5)))", (2, 30), ""),
            ("(\n log: info)", (2, 7), "Error, Warn, Info, Debug, Trace"),
            ("(\n plain_text: 1)", (2, 14), "true or false"),
            ("(\n lisen: [])", (2, 2), "listen, tls, plain_text"),
            ("(\n limits: (machin: (running: 1)))", (2, 11), "machine, process, docker, files"),
            ("(\n tls: (certificate: \"/c\"))", (2, 25), "key key"),
            ("(\n log: Info,\n log: Info)", (3, 2), "second time"),
            ("(\n audit: File(\"a\"))", (2, 14), "absolute path"),
            ("(\n audit: Syslog)", (2, 9), "File, Stderr"),
            ("(\n allowed_hosts: [\"http://a\"])", (2, 18), "without a scheme"),
            ("(\n allowed_origins: [\"a\"])", (2, 20), "without a path"),
            ("(\n limits: (search: (per_minute: 0)))", (2, 33), "from 1 to 6000"),
            ("(\n docker: (registries: [\"https://r.example\"]))", (2, 24), "a registry's host"),
            ("(\n docker: (registries: [\"dir:5\"]))", (2, 24), "a registry's host"),
            ("(\n files: (allowed: []))", (2, 10), "directories, deny, default_deny"),
            ("(\n files: (directories: [\"/a\"]))", (2, 24), "(keys: and values)"),
            ("(\n files: (directories: [(path: \"a\")]))", (2, 31), "absolute path"),
            ("(\n files: (directories: [(path: \"/a/../b\")]))", (2, 31), "without .."),
            ("(\n files: (directories: [(access: Rw)]))", (2, 35), "the key path"),
            ("(\n files: (directories: [(path: \"/a\", access: rw)]))", (2, 45), "Ro, Rw"),
            ("(\n files: (directories: [(path: \"/a\", mount: true)]))", (2, 37), "path, access, mounts"),
            ("(\n files: (deny: [\"*.bak\", \"[a\"]))", (2, 26), "a name like"),
            ("(\n files: (deny: [\"/a/\"]))", (2, 17), "a / at its end"),
            ("(\n files: (default_deny: Some(1)))", (2, 24), "true or false"),
            ("(\n", (2, 1), ""),
            ("", (1, 1), ""),
        ] {
            let (at, said) = read(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
            let (line, column) = at.unwrap();
            assert_eq!(line, place.0, "{text}: {said}");
            assert!(column.abs_diff(place.1) <= 1, "{text}: column {column}, {said}");
        }
    }

    #[test]
    fn no_error_quotes_the_file_wherever_a_secret_stands() {
        let secret = "hunter2";
        let mut tried = 0;
        let lines: Vec<_> = EXAMPLE.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let whole = lines.join("\n");
        // in place of every key, every value, and between any two tokens, as a word, a string and half a string
        let ends: Vec<_> = whole.char_indices().filter(|(_, c)| !c.is_alphanumeric() && *c != '_').collect();
        for (at, _) in ends {
            for form in [
                "hunter2",
                "\"hunter2\"",
                "\"hunter2",
                "hunter2:",
                "hunter2(",
                "'h'",
                "hunter2\"",
                "r#hunter2",
                "\\u{hunter2}",
                "Some(hunter2",
                "#![enable(hunter2)]",
            ] {
                for skip in [0, 1] {
                    let text = format!("{}{form}{}", &whole[..at], &whole[at + skip..]);
                    if let Err((_, said)) = read(&text) {
                        tried += 1;
                        assert!(!said.contains(secret), "{said}\n{text}");
                    }
                }
            }
        }
        for key in
            ["listen", "tls", "plain_text", "allowed_hosts", "root", "token_file", "audit", "files", "limits", "log"]
        {
            for value in [
                "hunter2",
                "\"hunter2\"",
                "[\"hunter2\"]",
                "(hunter2: 1)",
                "(\"hunter2\")",
                "hunter2(1)",
                "{hunter2: 1}",
                "b\"hunter2\"",
                "Some(\"hunter2\")",
                "File(\"hunter2\")",
                "(certificate: \"hunter2\")",
                "(deny: [\"[hunter2\"])",
                "(deny: [\"/hunter2/\"])",
                "(directories: [(path: \"hunter2\")])",
                "(directories: [(path: \"/hunter2/..\")])",
                "(directories: [(path: \"/hunter2\"), (path: \"/hunter2\")])",
                "(directories: [(path: \"/a\", access: hunter2)])",
            ] {
                if let Err((_, said)) = read(&format!("({key}: {value})")) {
                    tried += 1;
                    assert!(!said.contains(secret), "{key}: {value}: {said}");
                }
            }
        }
        assert!(tried > 1000, "{tried}");
    }

    #[test]
    fn no_directory_may_be_seen_that_is_not_named_and_none_changed_that_is_not_said() {
        assert_eq!(read("()").unwrap().files, Files::default());
        assert!(Files::default().allowed.is_empty());
        let text = "(files: (directories: [(path: \"/srv/\", access: Rw, mounts: true), (path: \"/var//log\")], deny: [\"*.bak\"]))";
        let files = read(text).unwrap().files;
        assert_eq!(
            files.allowed,
            [
                Allowed { path: "/srv".into(), access: Access::Rw, mounts: true },
                Allowed { path: "/var/log".into(), access: Access::Ro, mounts: false },
            ]
        );
        assert_eq!(files.allowed[1].path.to_str(), Some("/var/log"), "as a human would type it");
        let denied = |files: &Files, path: &str| files.deny.of(Path::new(path), Path::new("/srv")).map(str::to_owned);
        assert_eq!(denied(&files, "/srv/a.bak/b").as_deref(), Some("*.bak"));
        assert!(denied(&files, "/srv/.env").is_some());
        let bare = read("(files: (deny: [\"*.bak\"], default_deny: false))").unwrap().files;
        assert!(denied(&bare, "/srv/a.bak").is_some() && denied(&bare, "/srv/.env").is_none());
    }

    #[test]
    fn hostile_files_are_refused_without_panic() {
        for text in
            ["(".repeat(100_000), "/*".repeat(1000), "[".repeat(10_000), "(listen: [\"é".into(), "\u{feff}()".into()]
        {
            assert!(read(&text).is_err());
        }
        let (at, why) = Settings::parse(b"(\n\xc3\xa9\xff", &environment()).unwrap_err();
        assert_eq!((at, why.as_str()), (Some((2, 2)), "expected UTF-8"));
        assert!(Settings::parse(&vec![b' '; 2 << 20], &environment()).is_err());
        let error = Settings::read(Path::new("/nowhere/config.ron"), &environment()).unwrap_err();
        assert!(error.to_string().starts_with("/nowhere/config.ron: cannot be read"), "{error}");
    }

    #[test]
    fn without_file_and_flags_the_default_file_is_read_if_it_is_there() {
        let nowhere = Path::new("/nowhere/config.ron");
        let nothing = Source::Flags(Flags::default());
        let trial = Settings::of(&nothing, nowhere, &environment()).unwrap();
        assert_eq!(trial.tokens, Tokens::Trial(None));
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/images/config.example.ron");
        let installed = Settings::of(&nothing, Path::new(example), &environment()).unwrap();
        assert_eq!(installed.tokens, Tokens::Store("/state/tokens.ron".into()));
        assert!(Settings::of(&Source::File(nowhere.into()), Path::new(example), &environment()).is_err());
    }
}
