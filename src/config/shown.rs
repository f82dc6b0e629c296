//! The example and the options of NixOS, written from the sections. `UPDATE=1 cargo test config::shown` writes them.

use std::{net::SocketAddr, path::PathBuf};

use serde_json::{Map, Value, json};

use super::{
    docker::DockerScope,
    files::{Directory, Pattern, WrittenAccess},
    key::When,
    limits::{self, InLane},
    listeners::{Service, Services, Who},
    log::Level,
    own::WrittenSink,
    value::{As, UpTo},
    web::{Host, Origin},
    written::Written,
};
use engine::registries::Registry;

/// What may stand behind a key.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    Bool,
    /// From 1 to this.
    Number(u32),
    Text,
    Path,
    OneOf(&'static [&'static str]),
    /// `None`, or this.
    Maybe(Box<Kind>),
    List(Box<Kind>),
    Keys(Vec<Key>),
    /// `File("/path")` or `Stderr`.
    Sink,
}

/// A key and what is said of it.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    /// The lines of its words.
    pub(super) about: Vec<&'static str>,
    pub(super) kind: Kind,
    /// Whether it may not be left out.
    pub(super) is_needed: bool,
    /// Of a section's key: when a change comes into force.
    pub(super) when: Option<When>,
}

/// A type that a key has.
pub(super) trait Typed {
    fn kind() -> Kind;
}

/// A section.
pub(super) trait Shown {
    fn keys() -> Vec<Key>;
}

/// A section with its defaults.
pub(super) struct Part {
    /// The name before the parentheses, if it has some.
    name: Option<&'static str>,
    keys: Vec<Key>,
    defaults: Map<String, Value>,
}

impl Part {
    pub(super) fn new(name: Option<&'static str>, keys: Vec<Key>, defaults: &impl serde::Serialize) -> Self {
        let Value::Object(defaults) = serde_json::to_value(defaults).unwrap() else { panic!() };
        Self { name, keys, defaults }
    }

    /// The names of its keys, with its own before them.
    pub(super) fn names(&self) -> Vec<String> {
        let name = |key: &Key| self.name.map_or_else(|| key.name.to_owned(), |name| format!("{name}.{}", key.name));
        self.keys.iter().map(name).collect()
    }
}

macro_rules! typed {
    ($($type:ty: $kind:expr;)*) => {
        $(impl Typed for $type {
            fn kind() -> Kind {
                $kind
            }
        })*
    };
}

typed! {
    bool: Kind::Bool;
    String: Kind::Text;
    As<PathBuf>: Kind::Path;
    As<Directory>: Kind::Path;
    As<SocketAddr>: Kind::Text;
    As<Host>: Kind::Text;
    As<Origin>: Kind::Text;
    As<Pattern>: Kind::Text;
    As<Registry>: Kind::Text;
    As<DockerScope>: Kind::Text;
    Level: Kind::OneOf(&["Error", "Warn", "Info", "Debug", "Trace"]);
    WrittenAccess: Kind::OneOf(&["Ro", "Rw"]);
    Service: Kind::OneOf(&["Mcp", "Metrics"]);
    Services: Kind::List(Box::new(Service::kind()));
    Who: Kind::OneOf(&["Tokens"]);
    WrittenSink: Kind::Sink;
}

impl<T: Typed> Typed for Option<T> {
    fn kind() -> Kind {
        Kind::Maybe(Box::new(T::kind()))
    }
}

impl<T: Typed> Typed for Vec<T> {
    fn kind() -> Kind {
        Kind::List(Box::new(T::kind()))
    }
}

impl<const MAX: u32> Typed for UpTo<MAX> {
    fn kind() -> Kind {
        Kind::Number(MAX)
    }
}

impl<const LANE: usize> Typed for InLane<LANE> {
    fn kind() -> Kind {
        let key = |name: &&'static str| {
            let (most, about) = match *name {
                "running" => (Self::spec().most_running(), "Calls that run at the same time."),
                "waiting" => (limits::MOST_WAITING, "Calls that wait for a place."),
                _ => (limits::MOST_PER_MINUTE, "Calls of one token in a minute."),
            };
            Key { name, about: vec![about], kind: Kind::Number(most), is_needed: false, when: None }
        };
        Kind::Keys(limits::keys(Self::spec()).iter().map(key).collect())
    }
}

/// The longest that a value is written on one line.
const WIDTH: usize = 100;

impl Kind {
    /// A value of this kind as the file has it.
    fn ron(&self, value: &Value, indent: usize) -> String {
        match (self, value) {
            (Self::Maybe(_), Value::Null) => "None".to_owned(),
            (Self::Maybe(kind), value) => kind.ron(value, indent),
            (Self::OneOf(_), Value::String(name)) => name.clone(),
            (Self::List(kind), Value::Array(all)) => {
                let all: Vec<String> = all.iter().map(|one| kind.ron(one, indent)).collect();
                let line = format!("[{}]", all.join(", "));
                if line.len() > WIDTH {
                    let (inner, outer) = (" ".repeat(indent + 4), " ".repeat(indent));
                    let all: String = all.iter().map(|one| format!("{inner}{one},\n")).collect();
                    return format!("[\n{all}{outer}]");
                }
                line
            }
            (Self::Keys(keys), Value::Object(all)) => {
                let one = |key: &Key| format!("{}: {}", key.name, key.kind.ron(&all[key.name], indent));
                format!("({})", keys.iter().map(one).collect::<Vec<_>>().join(", "))
            }
            (Self::Bool | Self::Number(_) | Self::Text | Self::Path, value) => value.to_string(),
            (kind, value) => panic!("{kind:?}: {value}"),
        }
    }

    /// For Nix.
    fn json(&self) -> Value {
        match self {
            Self::Bool => json!("bool"),
            Self::Number(most) => json!({ "number": most }),
            Self::Text => json!("text"),
            Self::Path => json!("path"),
            Self::OneOf(names) => json!({ "one_of": names }),
            Self::Maybe(kind) => kind.json(),
            Self::List(kind) => json!({ "list": kind.json() }),
            Self::Keys(keys) => json!({ "keys": keys.iter().map(|key| key.json(None)).collect::<Vec<_>>() }),
            Self::Sink => json!("sink"),
        }
    }
}

impl Key {
    fn json(&self, default: Option<&Value>) -> Value {
        let mut json = json!({ "name": self.name, "type": self.kind.json() });
        if !self.about.is_empty() {
            let words =
                self.about.iter().filter(|line| !line.starts_with("   ")).copied().collect::<Vec<_>>().join(" ");
            // in Nix a value that is left out is null, and a sink is a string
            let words =
                words.replace("Default: None, which is", "Default:").replace("Default: None, no", "Default: no");
            json["about"] = words.replace("File(\"/path\"), or Stderr.", "a path, or `stderr` for the journal.").into();
        }
        if self.is_needed {
            json["needed"] = true.into();
        }
        if let Some(default) = default {
            json["default"] = default.clone();
        }
        json
    }
}

const HEAD: &str = "\
// The configuration of systemmanager-mcp, every key with its default.
// Check it with: systemmanager-mcp check-config FILE
// A key left out has its default; a key this program does not know is refused. Paths are absolute.
// `systemmanager-mcp reload` puts changes in force. Keys marked `restart` wait for the next start.
";

fn example() -> String {
    let mut text = format!("{HEAD}(\n");
    for part in Written::shown() {
        let indent = if part.name.is_some() { 8 } else { 4 };
        if let Some(name) = part.name {
            text += &format!("    {name}: (\n");
        }
        let pad = " ".repeat(indent);
        for key in &part.keys {
            for line in &key.about {
                text += format!("{pad}// {line}").trim_end();
                text += "\n";
            }
            let restart = if key.when == Some(When::Restart) { " // restart" } else { "" };
            text += &format!("{pad}{}: {},{restart}\n", key.name, key.kind.ron(&part.defaults[key.name], indent));
            if part.name.is_none() {
                text += "\n";
            }
        }
        if part.name.is_some() {
            text += "    ),\n\n";
        }
    }
    format!("{}\n)\n", text.trim_end())
}

fn options() -> String {
    let keys = |part: &Part| part.keys.iter().map(|key| key.json(Some(&part.defaults[key.name]))).collect::<Vec<_>>();
    let mut all = vec![];
    for part in Written::shown() {
        match part.name {
            Some(name) => all.push(json!({ "name": name, "section": true, "type": { "keys": keys(&part) } })),
            None => all.extend(keys(&part)),
        }
    }
    format!("{:#}\n", Value::Array(all))
}

#[test]
#[expect(clippy::disallowed_methods, reason = "reads and writes files of the source")]
fn the_example_and_the_options_of_nixos_are_written_from_the_sections() {
    for (file, text) in [("images/config.example.ron", example()), ("nix/settings.json", options())] {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(there == text, "{file} is not what the sections say: UPDATE=1 cargo test config::shown writes it");
    }
}

/// What a key is said to take, it takes, and nothing else.
#[test]
fn every_key_takes_what_it_is_said_to_take() {
    let read = |text: &str| super::Settings::parse(text.as_bytes(), &super::Environment::default());
    let mut tried = 0;
    for part in Written::shown() {
        for key in &part.keys {
            let file = |value: &str| match part.name {
                Some(name) => format!("({name}: ({}: {value}))", key.name),
                None => format!("({}: {value})", key.name),
            };
            let mut kind = &key.kind;
            if let Kind::Maybe(inner) = kind {
                read(&file("None")).unwrap();
                kind = inner;
            }
            // a list is tried by what stands in it
            let (open, close) = if let Kind::List(inner) = kind {
                kind = inner;
                ("[", "]")
            } else {
                ("", "")
            };
            let said = |value: &str| read(&file(&format!("{open}{value}{close}"))).err().map(|all| all[0].why.clone());
            let is_expected = |value: &str, expected: &str| {
                let said = said(value).unwrap_or_default();
                assert!(said.contains(expected), "{}: {value}: {said}", key.name);
            };
            match kind {
                Kind::Bool => is_expected("7", "true or false"),
                Kind::Number(most) => {
                    is_expected(&(most + 1).to_string(), &format!("from 1 to {most}"));
                    assert_eq!(said(&most.to_string()), None);
                }
                Kind::Text | Kind::Path => is_expected("7", "a string in"),
                Kind::OneOf(names) => {
                    is_expected("Hunter", &format!("expected one of {}", names.join(", ")));
                    assert!(names.iter().all(|name| said(name).is_none()), "{}", key.name);
                }
                Kind::Keys(keys) => {
                    let names: Vec<_> = keys.iter().map(|key| key.name).collect();
                    is_expected("(hunter: 1)", &format!("there is {}", names.join(", ")));
                }
                Kind::Sink => is_expected("Syslog", "File, Stderr"),
                Kind::Maybe(_) | Kind::List(_) => panic!("{kind:?} in {}", key.name),
            }
            tried += 1;
        }
    }
    assert!(tried >= 35, "{tried}");
}
