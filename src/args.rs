//! The command line, text in and [`Command`] out. One table says which commands and flags there are: the parser takes
//! nothing that is not in it, and the help is printed from it.
//!
//! No flag takes a secret: other users see the arguments of every process.

use std::{
    ffi::{OsStr, OsString},
    net::SocketAddr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use lexopt::Arg;
use serde_json::{Map, Value};

use crate::{
    audit::Sink,
    config::{Directory, Flags, Source},
    guard,
};
use auth::store::{self, Network};
use engine::{self, registries::Registries};
use jail::{Access, Allowed};
use rights::{
    grant::{Grant, Grants},
    scope::Scope,
};

/// The exit code of a command line that makes no sense (EX_USAGE).
pub const EXIT_USAGE: u8 = 64;

/// What is asked of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Answer over HTTP.
    Serve(Source),
    /// Answer over stdin and stdout.
    Stdio {
        /// Where settings come from.
        source: Source,
        /// What the client may do: whoever starts the program says so, whatever its settings are.
        grants: Grants,
    },
    /// Call one tool and print its answer.
    Call {
        /// Which.
        tool: String,
        /// Its arguments.
        arguments: Map<String, Value>,
        /// Whether to print the structured answer instead of the text.
        json: bool,
        /// Where settings come from.
        source: Source,
        /// What may be done.
        grants: Grants,
    },
    /// List the tools.
    Tools {
        /// As the table in the README.
        markdown: bool,
    },
    /// Check a configuration file.
    CheckConfig(PathBuf),
    /// Have the running server read this configuration again, or the default one.
    Reload(Option<PathBuf>),
    /// Make a token.
    TokenNew {
        /// What its owner calls it.
        name: String,
        /// What it may do.
        grants: Grants,
        /// How long it lives; `None` is for ever.
        lifetime: Option<Duration>,
        /// Where it may come from; none means anywhere.
        sources: Vec<Network>,
        /// Which token file.
        file: TokenFile,
    },
    /// List the tokens.
    TokenList(TokenFile),
    /// Remove a token.
    TokenRevoke {
        /// Its id, or its name if no other has it.
        which: String,
        /// Which token file.
        file: TokenFile,
    },
    /// Say what works here.
    Doctor(Source),
    /// Ask a running server whether it is alive.
    Healthcheck(Health),
    /// Guard the Engine's socket.
    DockerGuard {
        /// What to guard, and how.
        settings: guard::Settings,
        /// Where to listen.
        listen: PathBuf,
        /// Where to record.
        audit: Sink,
    },
    /// Be the first process of a container.
    Init,
    /// Print this text.
    Help(String),
    /// Print the version.
    Version,
}

/// The token file to work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenFile {
    /// This one.
    At(PathBuf),
    /// The one of this configuration.
    Config(PathBuf),
    /// That of the default configuration if there is one, else the one in the state directory.
    Default,
}

/// The server to ask for its health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// At this address.
    At(SocketAddr),
    /// Of this configuration.
    Config(PathBuf),
    /// Of the default configuration, else of a trial.
    Default,
}

/// A command line that makes no sense: what is wrong and what would be right.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

struct Spec {
    /// The words that name it.
    words: &'static [&'static str],
    /// What follows them.
    operands: &'static [Operand],
    flags: &'static [&'static [Flag]],
    about: &'static str,
    build: fn(&mut Given) -> Result<Command, UsageError>,
}

struct Operand {
    name: &'static str,
    required: bool,
}

#[derive(Clone, Copy, PartialEq)]
struct Flag {
    name: &'static str,
    value: Option<&'static str>,
    repeats: bool,
    about: &'static str,
}

const fn flag(name: &'static str, value: &'static str, about: &'static str) -> Flag {
    Flag { name, value: Some(value), repeats: false, about }
}

const fn repeated(name: &'static str, value: &'static str, about: &'static str) -> Flag {
    Flag { name, value: Some(value), repeats: true, about }
}

const fn switch(name: &'static str, about: &'static str) -> Flag {
    Flag { name, value: None, repeats: false, about }
}

const fn needed(name: &'static str) -> Operand {
    Operand { name, required: true }
}

const fn optional(name: &'static str) -> Operand {
    Operand { name, required: false }
}

const CONFIG: &[Flag] =
    &[flag("config", "FILE", "read the settings there; default: /etc/systemmanager-mcp/config.ron if it is there")];

/// Of a trial's token; or of whoever starts the program to speak to it, beside any other settings.
const GRANTS: &[Flag] = &[
    flag(
        "scopes",
        "LIST",
        "what may be done: scopes, separated by commas; default without --allow: all tools that only read",
    ),
    repeated("allow", "GRANT", "what may be done, like 'docker:control(restart)=web-*'; can be repeated"),
];

/// Instead of a configuration file.
const TRIAL: &[Flag] = &[
    repeated("listen", "ADDR:PORT", "listen there; default: 127.0.0.1:8080; can be repeated"),
    flag("root", "DIR", "the directory that stands for /"),
    flag("token-file", "FILE", "read the trial's token there, or create it"),
    repeated("allow-host", "NAME", "a name clients may call this server by; can be repeated"),
    switch("plain-text", "listen beyond loopback without TLS"),
    flag("audit", "FILE|stderr", "where to record calls; default: audit.jsonl in the state directory"),
    flag("docker", "SOCKET", "the Docker Engine's socket; default: $DOCKER_HOST, else where it usually is"),
    repeated(
        "files",
        "DIR[:ro|:rw]",
        "a directory whose files may be seen, or changed (rw, with the scope files:write); can be repeated; \
         default: /var/log, /etc, /srv and /opt, to be read",
    ),
];

const TOKEN_FILE: &[Flag] = &[
    flag("config", "FILE", "work on the token file of this configuration"),
    flag("token-file", "FILE", "work on this one; default: tokens.ron in the state directory"),
];

const COMMANDS: &[Spec] = &[
    Spec {
        words: &["serve"],
        operands: &[],
        flags: &[CONFIG, GRANTS, TRIAL],
        about: "answer MCP clients over HTTP; without a configuration, a trial on loopback",
        build: |given| Ok(Command::Serve(given.source()?)),
    },
    Spec {
        words: &["stdio"],
        operands: &[],
        flags: &[GRANTS, CONFIG, TRIAL],
        about: "answer the one MCP client that started this program",
        build: |given| Ok(Command::Stdio { source: given.settings(None)?, grants: given.local_grants()? }),
    },
    Spec {
        words: &["call"],
        operands: &[needed("TOOL"), optional("JSON")],
        flags: &[&[switch("json", "print the structured answer instead of the text")], GRANTS, CONFIG, TRIAL],
        about: "call one tool with these arguments and print its answer",
        build: |given| {
            let tool = given.word("TOOL")?;
            let arguments = given.operand().map_or(Ok(Map::new()), json_object)?;
            let (source, grants) = (given.settings(None)?, given.local_grants()?);
            Ok(Command::Call { tool, arguments, json: given.has("json"), source, grants })
        },
    },
    Spec {
        words: &["tools"],
        operands: &[],
        flags: &[&[switch("markdown", "as a table for a README")]],
        about: "list the tools",
        build: |given| Ok(Command::Tools { markdown: given.has("markdown") }),
    },
    Spec {
        words: &["check-config"],
        operands: &[needed("FILE")],
        flags: &[],
        about: "check a configuration file and change nothing",
        build: |given| Ok(Command::CheckConfig(given.needed("FILE")?.into())),
    },
    Spec {
        words: &["reload"],
        operands: &[],
        flags: &[&[flag("config", "FILE", "of the running server; default: /etc/systemmanager-mcp/config.ron")]],
        about: "have the running server read config, tokens and certificates again; tell the result",
        build: |given| Ok(Command::Reload(given.one("config").map(Into::into))),
    },
    Spec {
        words: &["token", "new"],
        operands: &[needed("NAME")],
        flags: &[
            &[
                flag("expires", "TIME|never", "how long it lives; default: 90d"),
                repeated("source", "CIDR", "a network it may come from; can be repeated; default: anywhere"),
            ],
            GRANTS,
            TOKEN_FILE,
        ],
        about: "make a token and print it, this once",
        build: |given| {
            let sources = given.all("source").into_iter().map(|text| parsed("--source", text));
            Ok(Command::TokenNew {
                name: given.word("NAME")?,
                grants: given.local_grants()?,
                sources: sources.collect::<Result<_, _>>()?,
                lifetime: given.one("expires").map_or(Ok(Some(store::LIFETIME)), lifetime)?,
                file: given.token_file()?,
            })
        },
    },
    Spec {
        words: &["token", "list"],
        operands: &[],
        flags: &[TOKEN_FILE],
        about: "list the tokens, without their secrets",
        build: |given| Ok(Command::TokenList(given.token_file()?)),
    },
    Spec {
        words: &["token", "revoke"],
        operands: &[needed("ID")],
        flags: &[TOKEN_FILE],
        about: "remove the token with this id, or the only one with this name",
        build: |given| Ok(Command::TokenRevoke { which: given.word("ID")?, file: given.token_file()? }),
    },
    Spec {
        words: &["doctor"],
        operands: &[],
        flags: &[CONFIG, GRANTS, TRIAL],
        about: "say what works on this machine, and what to do about the rest",
        build: |given| Ok(Command::Doctor(given.source()?)),
    },
    Spec {
        words: &["healthcheck"],
        operands: &[],
        flags: &[&[
            flag("config", "FILE", "ask the server of this configuration"),
            flag("listen", "ADDR:PORT", "ask the server at this address"),
        ]],
        about: "ask a running server whether it is alive; the exit status says",
        build: |given| {
            Ok(Command::Healthcheck(match (given.one("config"), given.one("listen")) {
                (Some(_), Some(_)) => return Err(UsageError("give --config or --listen, not both".into())),
                (Some(file), None) => Health::Config(file.into()),
                (None, Some(address)) => Health::At(parsed_address(address)?),
                (None, None) => Health::Default,
            }))
        },
    },
    Spec {
        words: &["docker-guard"],
        operands: &[],
        flags: &[&[
            flag("listen", "SOCKET", "make a Unix socket there, for this user and group; needed"),
            flag("docker", "SOCKET", "the Docker Engine's own socket; default: /run/docker.sock"),
            switch("read-only", "let nothing through that changes anything"),
            repeated("bind", "DIR", "a directory of the machine that a new container may be given; can be repeated"),
            repeated(
                "registry",
                "HOST[:PORT]",
                "a registry that images may be pulled from, or * for all with a public name; can be repeated; default: *",
            ),
            switch("update-privileged", "let containers be updated that may do more than a new one may"),
            flag("audit", "FILE|stderr", "where to record what is refused and what acts; default: stderr"),
        ]],
        about: "let through to Docker what this server asks of it, and docker ps; refuse everything else",
        build: |given| {
            let binds = given.all("bind").into_iter().map(PathBuf::from).collect::<Vec<_>>();
            engine::policy::directories(&binds).map_err(|why| UsageError(format!("--bind: {why}")))?;
            let registries = given.all("registry").into_iter().map(|text| parsed("--registry", text));
            let registries = registries.collect::<Result<Vec<_>, _>>()?;
            Ok(Command::DockerGuard {
                settings: guard::Settings {
                    docker: given.one("docker").map_or_else(|| "/run/docker.sock".into(), PathBuf::from),
                    read_only: given.has("read-only"),
                    binds,
                    registries: if registries.is_empty() { Registries::default() } else { Registries(registries) },
                    update_privileged: given.has("update-privileged"),
                    own: None,
                },
                listen: given.one("listen").ok_or_else(|| UsageError("--listen is missing".into()))?.into(),
                audit: given.sink().unwrap_or(Sink::Stderr),
            })
        },
    },
    Spec {
        words: &["init"],
        operands: &[],
        flags: &[],
        about: "be the first process of a container: mounts, network, and serve as a user of its own",
        build: |_| Ok(Command::Init),
    },
    Spec {
        words: &["help"],
        operands: &[optional("COMMAND"), optional("SUBCOMMAND")],
        flags: &[],
        about: "print this, or what a command takes",
        build: |given| {
            let words: Vec<_> = given.operands.drain(..).collect();
            let about = |spec: &&Spec| !words.is_empty() && words.iter().eq(spec.words.iter().take(words.len()));
            let found: Vec<_> = COMMANDS.iter().filter(about).map(Spec::help).collect();
            match (words.first(), found.is_empty()) {
                (None, _) => Ok(Command::Help(overview())),
                (Some(_), false) => Ok(Command::Help(found.join("\n"))),
                (Some(word), true) => Err(unknown_command(word)),
            }
        },
    },
    Spec {
        words: &["version"],
        operands: &[],
        flags: &[],
        about: "print the version",
        build: |_| Ok(Command::Version),
    },
];

/// Reads a whole command line, the program's name first. As /sbin/init, where a kernel or a container's runtime looks for its first process,
/// it is `init`, whatever else they say.
pub fn parse_as(line: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let mut line = line.into_iter();
    match line.next() {
        Some(name) if Path::new(&name).file_name() == Some(OsStr::new("init")) => Ok(Command::Init),
        _ => parse(line),
    }
}

/// Reads the arguments behind the program's name. No command is `serve`: a trial starts by itself.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let named = |spec: &&Spec| {
        arguments.len() >= spec.words.len() && spec.words.iter().zip(&arguments).all(|(word, given)| given == word)
    };
    let (spec, skip) = match (COMMANDS.iter().find(named), arguments.first()) {
        (Some(spec), _) => (spec, spec.words.len()),
        (None, Some(first)) if !first.as_encoded_bytes().starts_with(b"-") => {
            return if first == "token" && arguments.get(1).is_some_and(|second| second == "--help" || second == "-h") {
                Ok(Command::Help(of_group("token").collect::<Vec<_>>().join("\n")))
            } else {
                Err(unknown_command(first))
            };
        }
        (None, _) => (&COMMANDS[0], 0),
    };
    let mut parser = lexopt::Parser::from_args(arguments.into_iter().skip(skip));
    let mut given = Given { flags: Vec::new(), operands: Vec::new().into() };
    while let Some(argument) = parser.next().map_err(|error| spec.usage(error.to_string()))? {
        match argument {
            Arg::Long("help") | Arg::Short('h') if skip == 0 => return Ok(Command::Help(overview())),
            Arg::Long("help") | Arg::Short('h') => return Ok(Command::Help(spec.help())),
            Arg::Long("version") | Arg::Short('V') => return Ok(Command::Version),
            Arg::Value(value) => given.operands.push_back(value),
            Arg::Short(short) => return Err(spec.usage(format!("there is no flag -{}", short.escape_debug()))),
            Arg::Long(name) => {
                let Some(flag) = spec.flags().find(|flag| flag.name == name) else {
                    return Err(spec.usage(format!("there is no flag --{}", name.escape_debug())));
                };
                if !flag.repeats && given.has(flag.name) {
                    return Err(spec.usage(format!("--{} is given twice", flag.name)));
                }
                let value = match flag.value {
                    Some(what) => {
                        let value = parser.value().map_err(|_| spec.usage(format!("--{} needs {what}", flag.name)))?;
                        if value.is_empty() {
                            return Err(spec.usage(format!("--{} needs {what}", flag.name)));
                        }
                        value
                    }
                    // the parser refuses a value that a switch leaves untaken
                    None => OsString::new(),
                };
                given.flags.push((flag.name, value));
            }
        }
    }
    if let Some(extra) = given.operands.get(spec.operands.len()) {
        return Err(spec.usage(format!("{extra:?} is one too many")));
    }
    (spec.build)(&mut given).map_err(|UsageError(why)| spec.usage(why))
}

/// What stood on the command line.
struct Given {
    flags: Vec<(&'static str, OsString)>,
    operands: std::collections::VecDeque<OsString>,
}

impl Given {
    fn has(&self, name: &str) -> bool {
        self.flags.iter().any(|(given, _)| *given == name)
    }

    fn all(&self, name: &str) -> Vec<OsString> {
        self.flags.iter().filter(|(given, _)| *given == name).map(|(_, value)| value.clone()).collect()
    }

    fn one(&self, name: &str) -> Option<OsString> {
        self.all(name).pop()
    }

    fn operand(&mut self) -> Option<OsString> {
        self.operands.pop_front()
    }

    fn needed(&mut self, name: &str) -> Result<OsString, UsageError> {
        self.operand().filter(|value| !value.is_empty()).ok_or_else(|| UsageError(format!("{name} is missing")))
    }

    fn word(&mut self, name: &str) -> Result<String, UsageError> {
        self.needed(name).and_then(|value| utf8(name, value))
    }

    /// What `--scopes` and `--allow` say together, if either is given.
    fn grants(&self) -> Result<Option<Grants>, UsageError> {
        if !self.has("scopes") && !self.has("allow") {
            return Ok(None);
        }
        let scopes = self.one("scopes").map(|list| utf8("--scopes", list)).transpose()?.unwrap_or_default();
        if scopes.contains(['(', '=']) {
            return Err(UsageError(
                "--scopes takes whole scopes; give a grant with actions or a target by --allow".into(),
            ));
        }
        let scopes = scopes.split(',').map(str::trim).filter(|name| !name.is_empty());
        let scopes = scopes.map(|name| {
            let scope = name.parse::<Scope>().map_err(|error| UsageError(format!("--scopes: {error}")))?;
            Ok(Grant::from(scope))
        });
        let allowed = self.all("allow").into_iter().map(|grant| {
            let text = utf8("--allow", grant)?;
            let is_list = text.split('(').next().is_some_and(|before| before.contains(','));
            let hint = if is_list { "; give --allow once for each grant" } else { "" };
            text.parse().map_err(|error| UsageError(format!("--allow: {error}{hint}")))
        });
        let all: Vec<Grant> = scopes.chain(allowed).collect::<Result<_, _>>()?;
        Self::check_each_adds(&all)?;
        Grants::new(all).map(Some).map_err(|error| UsageError(format!("--allow: {error}")))
    }

    /// Refuses what would give nothing: an operator who writes it expects that it narrows.
    fn check_each_adds(all: &[Grant]) -> Result<(), UsageError> {
        let included = |one: &Grant| all.iter().find(|other| *other != one && other.includes(one));
        match all.iter().find_map(|one| Some((one, included(one)?))) {
            None => Ok(()),
            Some((one, other)) => Err(UsageError(format!(
                "--allow {one} gives nothing that {other} does not: grants add up, so leave one out"
            ))),
        }
    }

    /// The grants of who speaks to this very process, or of a token that is made.
    fn local_grants(&self) -> Result<Grants, UsageError> {
        Ok(self.grants()?.unwrap_or_else(Grants::usual))
    }

    /// The settings of a command whose grants are those of a trial's token.
    fn source(&self) -> Result<Source, UsageError> {
        if let Some(name) = ["scopes", "allow"].into_iter().find(|name| self.has("config") && self.has(name)) {
            return Err(UsageError(format!("--{name} cannot stand beside --config: there each token has its own")));
        }
        self.settings(self.grants()?)
    }

    fn settings(&self, grants: Option<Grants>) -> Result<Source, UsageError> {
        if let Some(file) = self.one("config") {
            let other = TRIAL.iter().find(|flag| self.has(flag.name));
            return other.map_or(Ok(Source::File(file.into())), |flag| {
                Err(UsageError(format!(
                    "--{} cannot stand beside --config: the file is the one source of truth; write it there",
                    flag.name
                )))
            });
        }
        let texts = |name: &'static str| self.all(name).into_iter();
        Ok(Source::Flags(Flags {
            listen: texts("listen").map(parsed_address).collect::<Result<_, _>>()?,
            root: self.one("root").map(PathBuf::from),
            token_file: self.one("token-file").map(PathBuf::from),
            grants,
            allow_hosts: texts("allow-host").map(|name| utf8("--allow-host", name)).collect::<Result<_, _>>()?,
            plain_text: self.has("plain-text"),
            audit: self.sink(),
            docker: self.one("docker").map(PathBuf::from),
            files: texts("files").map(allowed).collect::<Result<_, _>>()?,
        }))
    }

    fn sink(&self) -> Option<Sink> {
        self.one("audit").map(|sink| if sink == "stderr" { Sink::Stderr } else { Sink::File(sink.into()) })
    }

    fn token_file(&self) -> Result<TokenFile, UsageError> {
        match (self.one("config"), self.one("token-file")) {
            (Some(_), Some(_)) => Err(UsageError("give --config or --token-file, not both".into())),
            (Some(file), None) => Ok(TokenFile::Config(file.into())),
            (None, Some(file)) => Ok(TokenFile::At(file.into())),
            (None, None) => Ok(TokenFile::Default),
        }
    }
}

fn utf8(what: &str, value: OsString) -> Result<String, UsageError> {
    value.into_string().map_err(|value| UsageError(format!("{what}: {value:?} is not UTF-8")))
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(what: &str, value: OsString) -> Result<T, UsageError> {
    utf8(what, value)?.parse().map_err(|error| UsageError(format!("{what}: {error}")))
}

fn parsed_address(value: OsString) -> Result<SocketAddr, UsageError> {
    utf8("--listen", value)?
        .parse()
        .map_err(|_| UsageError("--listen: expected an address and a port like 127.0.0.1:8080 or [::1]:8080".into()))
}

/// `DIR`, `DIR:ro` or `DIR:rw`. A directory with a colon in its name is written with one of the two.
fn allowed(value: OsString) -> Result<Allowed, UsageError> {
    let text = value.as_bytes();
    let (path, access) = match text.iter().rposition(|byte| matches!(byte, b':' | b'/')) {
        Some(at) if text[at] == b':' => match &text[at + 1..] {
            b"ro" => (&text[..at], Some(Access::Ro)),
            b"rw" => (&text[..at], Some(Access::Rw)),
            _ => (text, None),
        },
        _ => (text, Some(Access::Ro)),
    };
    match (Directory::of(Path::new(OsStr::from_bytes(path))), access) {
        (Some(Directory(path)), Some(access)) => Ok(Allowed { path, access, mounts: false }),
        _ => {
            Err(UsageError("--files: expected an absolute path without .., and :ro or :rw behind it or nothing".into()))
        }
    }
}

fn lifetime(value: OsString) -> Result<Option<Duration>, UsageError> {
    let text = utf8("--expires", value)?;
    if text == "never" {
        return Ok(None);
    }
    let read = humantime::parse_duration(&text).ok().filter(|lifetime| *lifetime >= Duration::from_secs(1));
    read.map(Some).ok_or_else(|| UsageError("--expires: expected a time like 90d, 12h or 1y, or never".into()))
}

fn json_object(value: OsString) -> Result<Map<String, Value>, UsageError> {
    let text = utf8("JSON", value)?;
    serde_json::from_str(&text)
        .map_err(|error| UsageError(format!("JSON: expected an object like '{{\"limit\": 5}}': {error}")))
}

fn unknown_command(word: &std::ffi::OsStr) -> UsageError {
    let words: Vec<_> = COMMANDS.iter().map(|spec| spec.words.join(" ")).collect();
    UsageError(format!("there is no command {word:?} like that; there is: {}", words.join(", ")))
}

fn of_group(word: &'static str) -> impl Iterator<Item = String> {
    COMMANDS.iter().filter(move |spec| spec.words.len() > 1 && spec.words[0] == word).map(Spec::help)
}

impl Spec {
    fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        self.flags.iter().copied().flatten()
    }

    /// One line: the words and what follows them.
    fn synopsis(&self) -> String {
        let operands = self.operands.iter().map(|operand| match operand.required {
            true => operand.name.to_owned(),
            false => format!("[{}]", operand.name),
        });
        self.words.iter().map(|word| (*word).to_owned()).chain(operands).collect::<Vec<_>>().join(" ")
    }

    fn help(&self) -> String {
        let options = if self.flags().next().is_some() { " [--FLAG …]" } else { "" };
        let mut text = format!("systemmanager-mcp {}{options}\n    {}\n", self.synopsis(), self.about);
        for flag in self.flags() {
            let left = flag.value.map_or(format!("--{}", flag.name), |value| format!("--{} {value}", flag.name));
            text += &format!("  {left:<21} {}\n", wrapped(flag.about, 24));
        }
        if self.flags.contains(&TRIAL) {
            text += "  Beside --config those below it are refused: the file is the one source of truth.\n";
        }
        text
    }

    /// What is wrong, and what this command takes.
    fn usage(&self, why: String) -> UsageError {
        let flags: Vec<_> = self.flags().map(|flag| format!("--{}", flag.name)).collect();
        let list = if flags.is_empty() { String::new() } else { format!("\nflags: {}", flags.join(" ")) };
        UsageError(format!("{why}\nusage: systemmanager-mcp {}{list}", self.synopsis()))
    }
}

/// Breaks a text before it passes column 100, and goes on `indent` columns in.
fn wrapped(text: &str, indent: usize) -> String {
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ') {
        if !line.is_empty() && indent + line.len() + 1 + word.len() > 100 {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    lines.push(line);
    lines.join(&format!("\n{:indent$}", ""))
}

fn overview() -> String {
    let mut text = String::from(
        "systemmanager-mcp lets an AI agent look after this machine, over the Model Context Protocol.\n\n",
    );
    for spec in COMMANDS {
        text += &format!("  {:<27} {}\n", spec.synopsis(), wrapped(spec.about, 30));
    }
    text + "\nNo command is serve. Each command says more: systemmanager-mcp help COMMAND\n"
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn read(line: &str) -> Result<Command, UsageError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn said(line: &str) -> String {
        read(line).unwrap_err().to_string()
    }

    #[test]
    fn no_command_is_a_trial() {
        assert_eq!(read(""), Ok(Command::Serve(Source::Flags(Flags::default()))));
        assert_eq!(read("--config /c"), Ok(Command::Serve(Source::File("/c".into()))));
    }

    #[test]
    fn flags_take_their_value_either_way_and_some_repeat() {
        let expected = Flags {
            listen: vec!["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()],
            root: Some("/r".into()),
            token_file: Some("/t".into()),
            grants: Some(Grants::all()),
            allow_hosts: vec!["a".into(), "b:1".into()],
            plain_text: true,
            audit: Some(Sink::Stderr),
            docker: Some("/d".into()),
            files: vec![
                Allowed { path: "/f".into(), access: Access::Ro, mounts: false },
                Allowed { path: "/g".into(), access: Access::Rw, mounts: false },
            ],
        };
        let line = format!(
            "--listen 127.0.0.1:1 --listen=[::1]:2 --root=/r --token-file /t --scopes={} --allow-host a --allow-host=b:1 \
             --plain-text --audit stderr --docker /d --files /f --files=/g:rw",
            Grants::all().to_string().replace(' ', "")
        );
        assert_eq!(read(&format!("serve {line}")), Ok(Command::Serve(Source::Flags(expected.clone()))));
        assert_eq!(read(&format!("doctor {line}")), Ok(Command::Doctor(Source::Flags(expected.clone()))));
        // these are of who starts it, and no setting
        let source = Source::Flags(Flags { grants: None, ..expected });
        assert_eq!(read(&format!("stdio {line}")), Ok(Command::Stdio { source, grants: Grants::all() }));
    }

    #[test]
    fn beside_a_config_file_every_other_setting_is_refused() {
        for other in TRIAL {
            let value = if other.value.is_some() { "=127.0.0.1:1" } else { "" };
            let said = said(&format!("serve --config /c --{}{value}", other.name));
            assert!(said.contains("one source of truth") && said.contains(other.name), "{said}");
        }
        assert!(said("serve --config /c --scopes system:read").contains("each token has its own"));
    }

    #[test]
    fn who_starts_it_says_what_may_be_done_beside_any_config_file() {
        let (source, scopes) = (Source::File("/c".into()), Grants::all());
        let line = format!("--config /c --scopes {}", scopes.to_string().replace(' ', ""));
        let stdio = Command::Stdio { source: source.clone(), grants: scopes.clone() };
        assert_eq!(read(&format!("stdio {line}")), Ok(stdio));
        let call = read(&format!("call memory {line}"));
        assert!(matches!(call, Ok(Command::Call { source: at, grants: of, .. }) if (&at, &of) == (&source, &scopes)));
        assert_eq!(read("stdio --config /c"), Ok(Command::Stdio { source, grants: Grants::usual() }));
    }

    #[test]
    fn an_allowed_directory_ends_in_what_may_be_done_there() {
        let files = |value: &str| match read(&format!("serve --files {value}")) {
            Ok(Command::Serve(Source::Flags(flags))) => {
                let [Allowed { path, access, mounts: false }] = &flags.files[..] else { panic!("{flags:?}") };
                Ok((path.to_str().unwrap().to_owned(), *access))
            }
            other => Err(other.unwrap_err().to_string()),
        };
        for (value, path, access) in [
            ("/srv", "/srv", Access::Ro),
            ("/srv:ro", "/srv", Access::Ro),
            ("/srv:rw", "/srv", Access::Rw),
            ("/", "/", Access::Ro),
            ("/:rw", "/", Access::Rw),
            ("//srv/./a/", "/srv/a", Access::Ro),
            ("/a:b:ro", "/a:b", Access::Ro),
            ("/a:b/c", "/a:b/c", Access::Ro),
        ] {
            assert_eq!(files(value), Ok((path.to_owned(), access)), "{value}");
        }
        for value in ["srv", "./srv:rw", ":rw", "~/x", "/srv/..", "/a/../b:ro", "/srv:", "/srv:wr", "/srv:RW", "/a:b"] {
            let said = files(value).unwrap_err();
            assert!(said.contains("--files") && said.contains(":ro or :rw"), "{value}: {said}");
        }
    }

    #[test]
    fn a_call_takes_its_arguments_as_an_object() {
        let json = OsString::from("{\"limit\": 5}");
        let call = parse(["call".into(), "overview".into(), json, "--json".into()]).unwrap();
        let Command::Call { tool, arguments, json, source, grants: scopes } = call else { panic!() };
        assert_eq!(scopes, Grants::usual());
        assert_eq!((tool.as_str(), json, source), ("overview", true, Source::Flags(Flags::default())));
        assert_eq!(arguments["limit"], 5);
        for wrong in ["[]", "5", "{", "nonsense"] {
            assert!(said(&format!("call overview {wrong}")).contains("expected an object"));
        }
        assert!(said("call").contains("TOOL is missing"));
        assert!(said("call a {} b").contains("\"b\" is one too many"));
    }

    #[test]
    fn tokens_are_made_listed_and_revoked() {
        let Ok(Command::TokenNew { name, grants: scopes, lifetime, sources, file }) =
            read("token new laptop --source 192.0.2.0/24 --source=::1 --expires 12h --token-file /t")
        else {
            panic!()
        };
        assert_eq!((name.as_str(), scopes, sources.len()), ("laptop", Grants::usual(), 2));
        assert_eq!((lifetime, file), (Some(Duration::from_secs(12 * 3600)), TokenFile::At("/t".into())));
        let lives = |line: &str| match read(line) {
            Ok(Command::TokenNew { lifetime, .. }) => lifetime,
            other => panic!("{other:?}"),
        };
        assert_eq!(lives("token new a"), Some(store::LIFETIME));
        assert_eq!(lives("token new a --expires 90d"), Some(store::LIFETIME));
        assert_eq!(lives("token new a --expires never"), None, "only when asked for");
        assert_eq!(read("token list --config /c"), Ok(Command::TokenList(TokenFile::Config("/c".into()))));
        let revoke = Command::TokenRevoke { which: "0123abcd".into(), file: TokenFile::Default };
        assert_eq!(read("token revoke 0123abcd"), Ok(revoke));
        for (line, why) in [
            ("token new", "NAME is missing"),
            ("token new a --expires soon", "90d"),
            ("token new a --expires 0s", "90d"),
            ("token new a --expires 99999999999999999999d", "90d"),
            ("token new a --source 192.0.2.1/24", "192.0.2.0/24"),
            ("token new a --scopes root", "system:read"),
            ("token list --config a --token-file b", "not both"),
            ("token", "token new"),
            ("token make", "token new"),
        ] {
            assert!(said(line).contains(why), "{line}: {}", said(line));
        }
    }

    #[test]
    fn the_other_commands_read() {
        assert_eq!(read("tools --markdown"), Ok(Command::Tools { markdown: true }));
        assert_eq!(read("check-config /c"), Ok(Command::CheckConfig("/c".into())));
        assert_eq!(read("reload"), Ok(Command::Reload(None)));
        assert_eq!(read("reload --config /c"), Ok(Command::Reload(Some("/c".into()))));
        assert_eq!(read("healthcheck"), Ok(Command::Healthcheck(Health::Default)));
        assert_eq!(read("healthcheck --config /c"), Ok(Command::Healthcheck(Health::Config("/c".into()))));
        let there = Health::At("127.0.0.1:1".parse().unwrap());
        assert_eq!(read("healthcheck --listen 127.0.0.1:1"), Ok(Command::Healthcheck(there)));
        let named = |name: &str| parse_as([name, "tools"].map(OsString::from)).unwrap();
        assert_eq!((read("init"), named("/sbin/init")), (Ok(Command::Init), Command::Init));
        assert_eq!(named("/usr/bin/systemmanager-mcp"), Command::Tools { markdown: false });
        for line in ["version", "--version", "-V", "serve --version"] {
            assert_eq!(read(line), Ok(Command::Version));
        }
    }

    #[test]
    fn docker_guard_is_told_what_the_server_is_told() {
        let guard = |flags: &str| match read(&format!("docker-guard --listen /g {flags}")) {
            Ok(Command::DockerGuard { settings, .. }) => settings,
            other => panic!("{flags}: {other:?}"),
        };
        let default = guard("");
        assert_eq!((default.registries, default.update_privileged), (Registries::default(), false));
        let told = guard("--registry * --registry nas.lan:5000 --update-privileged");
        let named = ["*", "nas.lan:5000"].map(|name| name.parse().unwrap());
        assert_eq!((told.registries, told.update_privileged), (Registries(named.to_vec()), true));
    }

    #[test]
    fn a_wrong_line_is_told_what_would_be_right() {
        for (line, why) in [
            ("sevre", "serve, stdio, call"),
            ("serve --lisen 127.0.0.1:1", "--listen"),
            ("serve --listen", "--listen needs ADDR:PORT"),
            ("serve --listen=", "--listen needs ADDR:PORT"),
            ("serve --listen 8080", "127.0.0.1:8080"),
            ("serve --root a --root b", "twice"),
            ("docker-guard --listen /g --registry https://r.example", "a registry's host"),
            ("docker-guard --listen /g --registry dir:5", "a registry's host"),
            ("serve --plain-text=yes", "plain-text"),
            ("serve extra", "one too many"),
            ("serve -x", "-x"),
            ("check-config", "FILE is missing"),
            ("healthcheck --config a --listen 127.0.0.1:1", "not both"),
            ("help nonsense", "serve, stdio"),
        ] {
            let said = said(line);
            assert!(said.contains(why), "{line}: {said}");
        }
    }

    #[test]
    fn every_command_has_help_that_names_each_of_its_flags_and_fits_the_screen() {
        let mut texts = vec![overview()];
        for spec in COMMANDS {
            let line = format!("{} --help", spec.words.join(" "));
            let Ok(Command::Help(text)) = read(&line) else { panic!("{line}") };
            assert!(spec.flags().all(|flag| text.contains(&format!("--{}", flag.name))), "{text}");
            assert!(overview().contains(&spec.synopsis()) && text.contains(spec.about), "{text}");
            let Ok(Command::Help(same)) = read(&format!("help {}", spec.words.join(" "))) else { panic!("{line}") };
            assert_eq!(same, text);
            texts.push(text);
        }
        for line in texts.iter().flat_map(|text| text.lines()) {
            assert!(line.chars().count() <= 100, "{line}");
        }
        assert_eq!(read("--help"), Ok(Command::Help(overview())));
        assert_eq!(read("help token"), read("token --help"));
    }

    #[test]
    fn what_is_not_utf8_is_a_path_or_an_error_and_no_panic() {
        let odd = || OsString::from_vec(b"/\xff".to_vec());
        let with = |words: &[&str], last: OsString| {
            parse(words.iter().map(OsString::from).chain([last])).map_err(|error| error.to_string())
        };
        assert_eq!(
            with(&["--root"], odd()).unwrap(),
            Command::Serve(Source::Flags(Flags { root: Some(odd().into()), ..Flags::default() }))
        );
        assert_eq!(with(&["check-config"], odd()).unwrap(), Command::CheckConfig(odd().into()));
        for flag in ["--listen", "--scopes", "--allow-host"] {
            assert!(with(&["serve", flag], odd()).unwrap_err().contains("not UTF-8"), "{flag}");
        }
        for flag in ["--expires", "--source"] {
            assert!(with(&["token", "new", "a", flag], odd()).unwrap_err().contains("not UTF-8"), "{flag}");
        }
        for words in [&[][..], &["call"], &["token"], &["token", "new"], &["help"], &["call", "a"]] {
            assert!(with(words, odd()).is_err(), "{words:?}");
        }
        for hostile in [&b"--\xff"[..], b"-\xff", b"--root\xff=a", b"--=", b"-", b"--", b"\x1b[2J", b"--\x1b[2J"] {
            if let Err(said) = with(&["serve"], OsString::from_vec(hostile.to_vec())) {
                assert!(!said.contains('\u{1b}'), "{said:?}");
            }
        }
    }
}
