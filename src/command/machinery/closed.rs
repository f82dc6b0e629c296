//! No configuration opens what one of its keys closes, and no reload does.
//!
//! What a key closes is what is not open with it alone, where every other key is as open as can be. Configurations are made of random values,
//! the same ones every time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

use super::files;
use crate::config::{Config, Environment, Settings, Source};
use engine::{Socket, allow::Allow, image::Reference, model::Summary};
use jail::Jail;
use rights::scope::Scope;

/// What a key can close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum About {
    Files,
    Docker,
    Binds,
    Wire,
}

/// A key, what it can close, whether a reload takes it up, its widest value, and those that are tried; `@` is the directory.
struct Key {
    name: &'static str,
    about: &'static [About],
    live: bool,
    widest: Option<&'static str>,
    values: &'static [&'static str],
}

const KEYS: &[Key] = &[
    Key {
        name: "files.directories",
        about: &[About::Files, About::Binds],
        live: true,
        widest: Some("[(path: \"@\", access: Rw, mounts: true), (path: \"@/link\", access: Rw)]"),
        values: &[
            "[]",
            "[(path: \"@\")]",
            "[(path: \"@\", access: Rw), (path: \"@/srv\")]",
            "[(path: \"@/srv\", access: Rw), (path: \"@/srv/deep\"), (path: \"@/srv/deep/rw\", access: Rw)]",
            "[(path: \"@/srv/deep\", access: Rw), (path: \"@/log\")]",
            "[(path: \"@/keys\", access: Rw), (path: \"@/srv\")]",
            "[(path: \"@/link\", access: Rw)]",
            "[(path: \"@\", access: Rw), (path: \"@/link\")]",
            "[(path: \"@/link\", access: Rw), (path: \"@/srv/deep\")]",
        ],
    },
    Key {
        name: "files.deny",
        about: &[About::Files],
        live: true,
        widest: Some("[]"),
        values: &["[\"*.txt\"]", "[\".env\", \"@/srv/private\"]", "[\"**/deep/**\"]", "[\"@/link/a.txt\", \"*.log\"]"],
    },
    Key {
        name: "files.default_deny",
        about: &[About::Files],
        live: true,
        widest: Some("false"),
        values: &["true", "false"],
    },
    Key {
        name: "state_directory",
        about: &[About::Files, About::Binds],
        live: false,
        widest: Some("\"/nowhere/state\""),
        values: &["\"@/state\"", "\"@/srv/private\"", "\"@/keys\""],
    },
    Key {
        name: "token_file",
        about: &[About::Files, About::Binds],
        live: false,
        widest: Some("\"/nowhere/tokens\""),
        values: &["\"@/log/c.log\"", "\"@/srv/.env\""],
    },
    Key {
        name: "audit",
        about: &[About::Files, About::Binds],
        live: false,
        widest: Some("Stderr"),
        values: &["File(\"@/srv/a.txt\")", "Stderr"],
    },
    Key {
        name: "tls",
        about: &[About::Files, About::Binds, About::Wire],
        live: false,
        widest: Some("None"),
        values: &["(certificate: \"@/keys/note\", key: \"@/keys/tls.key\")"],
    },
    Key {
        name: "listen",
        about: &[About::Wire],
        live: false,
        widest: Some("[\"0.0.0.0:0\"]"),
        values: &["[\"127.0.0.1:0\"]", "[\"0.0.0.0:0\"]"],
    },
    Key { name: "plain_text", about: &[About::Wire], live: false, widest: Some("true"), values: &["true", "false"] },
    Key {
        name: "docker.off",
        about: &[About::Docker, About::Binds],
        live: true,
        widest: None,
        values: &["true", "false"],
    },
    Key {
        name: "docker.allow",
        about: &[About::Docker],
        live: true,
        widest: Some("[]"),
        values: &[
            "[(scope: \"docker:read\", names: [\"web-*\"])]",
            "[(scope: \"docker:control\", names: [\"web-1\"], labels: [\"agent=yes\"])]",
            "[(scope: \"docker:control\", labels: [\"agent\"]), (scope: \"docker:read\", names: [\"*-1\"])]",
            "[(scope: \"docker:logs\", names: [\"db\"]), (scope: \"docker:deploy\", names: [\"none\"])]",
        ],
    },
    Key {
        name: "docker.binds",
        about: &[About::Binds],
        live: true,
        widest: None,
        values: &["[]", "[\"@/log\"]", "[\"@/state\"]", "[\"@/srv/private\", \"@/other\"]"],
    },
    Key {
        name: "docker.registries",
        about: &[About::Docker],
        live: true,
        widest: Some("[\"*\", \"nas.lan:5000\"]"),
        values: &["[]", "[\"*\"]", "[\"nas.lan:5000\"]"],
    },
    Key {
        name: "docker.update_privileged",
        about: &[About::Docker],
        live: true,
        widest: Some("true"),
        values: &["true", "false"],
    },
];

/// Each directory that can be for containers, by itself.
const BINDS: &[&str] = &["[\"@/srv/private\"]", "[\"@/log\"]", "[\"@/other\"]", "[\"@/state\"]"];

/// What is open, and what could close it.
type Open = BTreeSet<(About, String)>;

type Values = BTreeMap<&'static str, &'static str>;

struct World(PathBuf);

impl World {
    #[expect(clippy::disallowed_methods, reason = "makes the files to be looked for")]
    fn new(name: &str) -> Self {
        let at = fs::canonicalize(std::env::temp_dir()).unwrap().join(format!("closed-{name}-{}", std::process::id()));
        for file in Self::FILES {
            let file = at.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let _ = std::os::unix::fs::symlink("srv", at.join("link"));
        Self(at)
    }

    const FILES: &[&str] = &[
        "srv/a.txt",
        "srv/.env",
        "srv/private/x.txt",
        "srv/deep/d.txt",
        "srv/deep/rw/b",
        "log/c.log",
        "other/o",
        "state/tokens.ron",
        "state/audit.jsonl",
        "keys/tls.key",
        "keys/note",
    ];

    fn text(&self, values: &Values) -> String {
        let mut parts: BTreeMap<&str, String> = BTreeMap::new();
        for (name, value) in values {
            let (section, key) = name.split_once('.').unwrap_or(("", name));
            *parts.entry(section).or_default() += &format!("{key}: {value}, ");
        }
        let parts = parts.iter().map(|(section, keys)| match *section {
            "" => keys.clone(),
            section => format!("{section}: ({keys}), "),
        });
        format!("({})", parts.collect::<String>()).replace('@', self.0.to_str().unwrap())
    }

    /// What is open with these, of what they can close; nothing, where they are refused.
    fn open(&self, values: &Values) -> Open {
        let settings = Settings::parse(self.text(values).as_bytes(), &environment());
        settings.map(|settings| self.opened(&settings, own(&settings))).unwrap_or_default()
    }

    fn opened(&self, settings: &Settings, own: Vec<PathBuf>) -> Open {
        let mut open = BTreeSet::new();
        let jail = Jail::new(files(&settings.files, &settings.root, own));
        for file in Self::FILES {
            for way in ["", "link/"] {
                let Some(file) = (if way.is_empty() { Some(*file) } else { file.strip_prefix("srv/") }) else {
                    continue;
                };
                let path = self.0.join(way).join(file).to_str().unwrap().to_owned();
                if jail.find(&path).is_ok_and(|found| found.open().is_ok()) {
                    open.insert((About::Files, format!("read {path}")));
                }
                if jail.find_parent(&path).is_ok() {
                    open.insert((About::Files, format!("change {path}")));
                }
            }
        }
        let docker = &settings.docker;
        for bind in &docker.binds {
            open.insert((About::Binds, format!("bind {}", bind.display())));
        }
        for listener in &settings.listeners {
            if listener.tls.is_none() && !listener.bind.ip().is_loopback() {
                open.insert((About::Wire, format!("plain {}", listener.bind)));
            }
        }
        if docker.socket == Socket::None {
            return open;
        }
        let allow = Allow::from(docker.allow.clone());
        for (name, labels) in [("web-1", &["agent"][..]), ("web-2", &[]), ("db", &["agent"]), ("db-1", &[])] {
            let labels = labels.iter().map(|key| ((*key).to_owned(), "yes".to_owned())).collect();
            let container = Summary { names: vec![format!("/{name}")], labels, ..Summary::default() };
            for scope in [Scope::DockerRead, Scope::DockerLogs, Scope::DockerControl, Scope::DockerDeploy] {
                if allow.permits(scope, None, &container) {
                    open.insert((About::Docker, format!("{scope} {name}")));
                }
            }
        }
        for image in ["alpine", "nas.lan:5000/a", "ghcr.example/a/b", "10.0.0.1:5000/a"] {
            if docker.registries.check(&Reference::parse(image).unwrap()).is_ok() {
                open.insert((About::Docker, format!("pull {image}")));
            }
        }
        if docker.update_privileged {
            open.insert((About::Docker, "update what is privileged".to_owned()));
        }
        open
    }

    /// What is open with this value of a key (`None`: it is left out), of one thing that it can close, where all others are at their widest.
    fn alone(&self, key: &Key, value: Option<&'static str>, about: About) -> Open {
        // where files are changed no directory can be for containers, and of these one must not speak for the others
        let in_the_way = if about == About::Binds { "files.directories" } else { "docker.binds" };
        let others = KEYS.iter().filter(|one| one.name != key.name && one.name != in_the_way);
        let mut widest: Values = others.filter_map(|one| one.widest.map(|widest| (one.name, widest))).collect();
        widest.extend(value.map(|value| (key.name, value)));
        if widest.get("tls").is_some_and(|tls| *tls != "None") {
            // the two contradict each other
            widest.remove("plain_text");
        }
        let each = if about == About::Binds && key.name != "docker.binds" { BINDS } else { &[""] };
        let open = each.iter().flat_map(|bind| {
            let mut values = widest.clone();
            if !bind.is_empty() {
                values.insert("docker.binds", bind);
            }
            self.open(&values)
        });
        open.filter(|(of, _)| *of == about).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn own(settings: &Settings) -> Vec<PathBuf> {
    settings.own().into_iter().map(Path::to_owned).collect()
}

fn environment() -> Environment {
    Environment { state_directory: Some("/nowhere/state".into()), ..Environment::default() }
}

/// xorshift: the same numbers every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % most
    }

    fn values(&mut self) -> Values {
        let mut values = Values::new();
        for key in KEYS {
            let at = self.below(key.values.len() + 1);
            values.extend(key.values.get(at).map(|value| (key.name, *value)));
        }
        values
    }
}

/// What is open with each key's value alone, as it is asked for.
struct Closed<'a> {
    world: &'a World,
    known: HashMap<(&'static str, Option<&'static str>, About), Open>,
}

impl Closed<'_> {
    /// Fails if something is open that the value of this key closes.
    fn holds(&mut self, open: &Open, key: &Key, value: Option<&'static str>, what: &str) {
        for about in key.about {
            let world = self.world;
            let alone = self.known.entry((key.name, value, *about)).or_insert_with(|| world.alone(key, value, *about));
            let more: Vec<_> = open.iter().filter(|(of, _)| of == about).filter(|one| !alone.contains(*one)).collect();
            assert!(more.is_empty(), "{}: {value:?} closes {more:?}, and they are open with\n{what}", key.name);
        }
    }
}

#[test]
fn no_configuration_opens_what_one_of_its_keys_closes() {
    let world = World::new("alone");
    let (mut closed, mut dice) = (Closed { world: &world, known: HashMap::new() }, Dice(0x2545_f491_4f6c_dd1d));
    let (mut read, mut seen) = (0, BTreeSet::new());
    for _ in 0..400 {
        let values = dice.values();
        let open = world.open(&values);
        read += usize::from(!open.is_empty());
        for key in KEYS {
            closed.holds(&open, key, values.get(key.name).copied(), &world.text(&values));
        }
        seen.extend(open);
    }
    // what is never open shows nothing
    assert!(read > 100 && seen.len() > 40, "{read}, {}", seen.len());
}

#[test]
#[expect(clippy::disallowed_methods, reason = "writes the file that is read again")]
fn no_reload_opens_what_the_new_file_closes_or_what_still_waits_for_a_restart() {
    let world = World::new("reload");
    let (mut closed, mut dice) = (Closed { world: &world, known: HashMap::new() }, Dice(0x9e37_79b9_7f4a_7c15));
    let (file, nowhere) = (world.0.join("config.ron"), Path::new("/nowhere/config.ron"));
    let source = Source::File(file.clone());
    const TRIES: usize = 250;
    let (mut tried, mut narrowed) = (0, 0);
    while tried < TRIES {
        let (old, new) = (dice.values(), dice.values());
        fs::write(&file, world.text(&old)).unwrap();
        let Ok(mut config) = Config::of(&source, nowhere, &environment()) else { continue };
        tried += 1;
        // in every other one a key is wrong
        let wrong = (dice.below(2) == 0).then(|| KEYS[dice.below(KEYS.len())].name);
        let mut written = new.clone();
        written.extend(wrong.map(|name| (name, "(hunter: 2)")));
        let text = world.text(&written);
        fs::write(&file, &text).unwrap();
        let outcome = config.reload(&source, nowhere, &environment());
        let open = world.opened(&config.settings, config.own());
        let said = outcome.wrong.join("\n");
        assert!(wrong.is_none() || !said.is_empty(), "{text}");
        let narrowed_now = !outcome.narrowed.is_empty();
        narrowed += usize::from(narrowed_now);
        if !outcome.wrong.is_empty() || !outcome.waiting.is_empty() {
            let more: Vec<_> = open.difference(&world.open(&old)).cloned().collect();
            assert!(more.is_empty(), "{more:?} is opened by\n{}\n{text}\n{outcome:?}", world.text(&old));
        }
        for key in KEYS {
            // a default that a wrong key stands for is not what the operator wants
            let is_new = key.live && wrong != Some(key.name);
            let value = if is_new { &new } else { &old }.get(key.name).copied();
            // where directories are not in force, no directory for containers is in their way
            let open = if key.name == "files.directories" && narrowed_now { &of_files(&open) } else { &open };
            closed.holds(open, key, value, &format!("{}\n{text}\n{outcome:?}", world.text(&old)));
        }
    }
    assert!(narrowed > 20, "{narrowed}");
}

fn of_files(open: &Open) -> Open {
    open.iter().filter(|(about, _)| *about == About::Files).cloned().collect()
}

/// A key that is not here and could open something would not be tried.
#[test]
fn every_key_is_tried_or_opens_nothing_to_callers() {
    // the long form of keys that are; what names are answered to, which tests/reload.rs tries; the machine that is looked at; the Engine
    const NOT_TRIED: &[&str] = &["listeners", "allowed_hosts", "allowed_origins", "root", "docker.socket", "log"];
    let tried = KEYS.iter().map(|key| key.name).chain(NOT_TRIED.iter().copied());
    let all = crate::config::keys().into_iter().filter(|name| !name.starts_with("limits."));
    assert_eq!(all.collect::<BTreeSet<_>>(), tried.map(str::to_owned).collect());
}
