use std::time::Duration;

use super::*;
use jail::{Access, Allowed};
use lanes::lane::Lane;

const EXAMPLE: &str = include_str!("../../images/config.example.ron");

fn environment() -> Environment {
    Environment { state_directory: Some("/state:/other".into()), ..Environment::default() }
}

/// The settings, or the first thing that is wrong.
fn read(text: &str) -> Result<Settings, (Option<(usize, usize)>, String)> {
    Settings::parse(text.as_bytes(), &environment()).map_err(|mut all| {
        let Misread { place, why } = all.swap_remove(0);
        (place, why)
    })
}

#[test]
fn the_example_is_the_defaults() {
    assert_eq!(Written::of(EXAMPLE.as_bytes(), &Written::default()).map(|read| read.written), Ok(Written::default()));
    assert_eq!(read(EXAMPLE), read("()"));
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let told = |text: &str| {
        let wrong = Settings::parse(text.as_bytes(), &environment()).unwrap_err();
        let error = ConfigError { file: Some("/c".into()), wrong }.to_string();
        error.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let text = "(\n listen: 7,\n lisen: [],\n files: (deny: 7, denny: []),\n limits: (machine: 7))";
    assert_eq!(told(text), ["/c:2:10:", "/c:3:2:", "/c:4:16:", "/c:4:19:", "/c:5:20:"]);
    // what contradicts itself is looked for in what reads well
    let text = "(\n listen: [],\n docker: (binds: [\"/a\", \"/a\"]),\n files: (directories: [(path: \"/a\"), (path: \"/a\")]))";
    assert_eq!(told(text), ["/c:2:2:", "/c:3:11:", "/c:4:10:"]);
    // what is no key of ours is not quoted, however often it stands there
    let twice = read("(hunter2: 1, hunter2: 2)").unwrap_err().1;
    assert!(!twice.contains("hunter2"), "{twice}");
    assert!(
        Settings::parse(format!("({})", "a: 1,".repeat(50_000)).as_bytes(), &environment()).unwrap_err().len() == 1
    );
    assert_eq!(read("(docker: (off: true, socket: \"/s\"))").unwrap().docker.socket, engine::Socket::None);
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
    for key in ["listen", "tls", "plain_text", "allowed_hosts", "root", "token_file", "audit", "files", "limits", "log"]
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
    let wrong = Settings::parse(b"(\n\xc3\xa9\xff", &environment()).unwrap_err();
    assert_eq!(wrong, [Misread::at((2, 2), "expected UTF-8")]);
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
