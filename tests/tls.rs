//! The same over TLS, and what happens without it where it is needed.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path, process::Command, sync::Arc};

use serde_json::json;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

use crate::common::{Request, Scratch, Server, Setup, Wire, eventually, run};

/// Makes a certificate that signs itself, and its key, in `scratch`.
fn certificate(scratch: &Scratch, name: &str) {
    let (certificate, key) = (scratch.path(&format!("{name}.crt")), scratch.path(&format!("{name}.key")));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    openssl.args(["-subj", &format!("/CN={name}"), "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    let made = openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    for path in [certificate, key] {
        let text = std::fs::read(&path).unwrap();
        scratch.write(path.file_name().unwrap().to_str().unwrap(), text);
    }
}

fn keys(scratch: &Scratch) -> String {
    let path = |name: &str| scratch.path(name).display().to_string();
    format!("tls: (certificate: \"{}\", key: \"{}\")", path("live.crt"), path("live.key"))
}

fn server() -> Server {
    let scratch = Scratch::new();
    certificate(&scratch, "live");
    Setup { config: keys(&scratch), scratch, ..Setup::default() }.start()
}

/// A connection that trusts this one certificate. `None`: it was shown another.
fn connect(server: &Server, trusted: &Path) -> Option<Wire> {
    connect_to(server.address, trusted)
}

fn connect_to(address: SocketAddr, trusted: &Path) -> Option<Wire> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::from(address.ip());
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = Wire::tcp(address);
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).ok()?;
    }
    Some(Wire::over(StreamOwned::new(connection, stream)))
}

#[test]
fn https_works_and_the_token_is_asked_for() {
    let server = server();
    let list = Request::rpc("tools/list", json!({}));
    let mut wire = connect(&server, &server.scratch.path("live.crt")).expect("its certificate");
    assert_eq!(wire.ask(&list).status, 401);
    let answer = wire.ask(&list.token(server.token()));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(server.log().contains("scheme=\"https\""), "{}", server.log());
}

#[test]
fn plain_http_is_refused_and_others_are_served() {
    let server = server();
    for bytes in
        ["GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", "\0", "\x16\x03\x01\0\x05hello", "\r\n\r\n\r\n\r\n"]
    {
        let mut wire = server.connect();
        wire.send(bytes).unwrap();
        if bytes.len() < 5 {
            continue; // half a record is waited for
        }
        // an alert of TLS may come, an answer of HTTP may not
        let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wire.answer()));
        assert!(!matches!(answer, Ok(Some(_))), "{bytes:?} was answered in plain text");
    }
    let mut wire = connect(&server, &server.scratch.path("live.crt")).unwrap();
    assert_eq!(wire.ask(&Request::new("GET", "/healthz")).status, 200);
}

#[test]
fn a_health_check_asks_for_life_and_takes_any_certificate() {
    let server = server();
    let config = server.scratch.path("config.ron").display().to_string();
    let right = server.scratch.read("config.ron").replace("127.0.0.1:0", &server.address.to_string());
    server.scratch.write("config.ron", &right);
    let check = || run(&server.scratch, &["healthcheck", "--config", &config]);
    crate::cli::healthy("it is healthy", check);

    // plain text to a server of TLS
    let said = run(&server.scratch, &["healthcheck", "--listen", &server.address.to_string()]);
    assert_eq!(said.code, Some(1), "{}", said.out);

    // a new certificate is on disk, and SIGHUP has not come yet
    certificate(&server.scratch, "next");
    server.scratch.write("live.crt", server.scratch.read("next.crt"));
    server.scratch.write("live.key", server.scratch.read("next.key"));
    crate::cli::healthy("it is healthy still", check);
}

#[test]
fn a_new_certificate_is_taken_up_and_a_broken_one_is_not() {
    let server = server();
    let old = server.scratch.write("old.crt", server.scratch.read("live.crt"));
    let mut open = connect(&server, &old).unwrap();
    certificate(&server.scratch, "next");
    let (next, key) = (server.scratch.read("next.crt"), server.scratch.read("next.key"));

    // a certificate without its key, and no certificate at all
    for broken in [next.as_str(), "", "hunter2", "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n"] {
        server.scratch.write("live.crt", broken);
        let said = server.reload();
        assert!(said.starts_with("failed") && said.contains("live.crt") && !said.contains("hunter2"), "{said}");
        assert!(connect(&server, &old).is_some(), "the old one is gone");
    }

    server.scratch.write("live.crt", &next);
    server.scratch.write("live.key", &key);
    assert!(server.reload().starts_with("ok"));
    assert!(connect(&server, &old).is_none(), "the old one is still shown");
    let mut wire = connect(&server, &server.scratch.path("next.crt")).expect("the new one");
    assert_eq!(wire.ask(&Request::rpc("tools/list", json!({})).token(server.token())).status, 200);
    assert_eq!(open.ask(&Request::new("GET", "/healthz")).status, 200, "who is connected stays so");
}

#[test]
fn each_listener_has_a_certificate_of_its_own_or_none() {
    let scratch = Scratch::new();
    for name in ["one", "two"] {
        certificate(&scratch, name);
    }
    let path = |name: &str| scratch.path(name).display().to_string();
    let tls = |name: &str| {
        let (certificate, key) = (path(&format!("{name}.crt")), path(&format!("{name}.key")));
        format!("(bind: \"127.0.0.1:0\", tls: (certificate: \"{certificate}\", key: \"{key}\"))")
    };
    let config = format!("listeners: [{}, (bind: \"127.0.0.1:0\"), {}],", tls("one"), tls("two"));
    let server = Setup { listen: String::new(), config, scratch, ..Setup::default() }.start();
    let addresses = eventually("it listens on all", || Some(server.addresses()).filter(|all| all.len() == 3));
    let list = || Request::rpc("tools/list", json!({})).token(server.token());
    let (one, two) = (server.scratch.path("one.crt"), server.scratch.path("two.crt"));
    assert_eq!(connect_to(addresses[0], &one).expect("its own").ask(&list()).status, 200);
    assert!(connect_to(addresses[0], &two).is_none() && connect_to(addresses[2], &one).is_none());
    assert_eq!(Wire::to(addresses[1]).ask(&list()).status, 200);
    // a new certificate for one of them
    let old = server.scratch.write("old.crt", server.scratch.read("two.crt"));
    certificate(&server.scratch, "next");
    for end in ["crt", "key"] {
        server.scratch.write(&format!("two.{end}"), server.scratch.read(&format!("next.{end}")));
    }
    assert!(server.reload().starts_with("ok"));
    assert!(connect_to(addresses[2], &old).is_none() && connect_to(addresses[0], &one).is_some());
    assert_eq!(connect_to(addresses[2], &two).expect("the new one").ask(&list()).status, 200);
}

#[test]
fn a_key_that_others_may_read_or_change_is_not_used() {
    let server = server();
    let key = server.scratch.path("live.key");
    for mode in [0o644, 0o604, 0o620, 0o602] {
        fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
        let said = server.reload();
        assert!(said.starts_with("failed") && said.contains("chmod 640"), "{mode:o}: {said}");
        let config = server.scratch.path("config.ron").display().to_string();
        let said = run(&server.scratch, &["serve", "--config", &config]);
        assert!(said.code == Some(1) && said.err.contains("chmod 640"), "{mode:o}: {}", said.err);
    }
    // for the group of those who may use it
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(server.reload().starts_with("ok"));
}

#[test]
fn a_handshake_that_never_ends_keeps_nobody_out() {
    let server = server();
    let _halves: Vec<Wire> = (0..50)
        .map(|_| {
            let mut wire = server.connect();
            wire.send(b"\x16\x03\x01\x02\x00\x01").unwrap();
            wire
        })
        .collect();
    let mut wire = connect(&server, &server.scratch.path("live.crt")).unwrap();
    assert_eq!(wire.ask(&Request::new("GET", "/healthz")).status, 200);
}

#[test]
fn without_tls_it_does_not_start_where_others_can_reach_it() {
    let scratch = Scratch::new();
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let config = scratch.write("config.ron", format!("(\n  listen: [\"{listen}\"],\n)"));
        let said = run(&scratch, &["serve", "--config", &config.display().to_string()]);
        assert_eq!(said.code, Some(78), "{listen}: {}", said.err);
        assert!(said.err.contains("config.ron:2:3: "), "{}", said.err);
        for way in ["tls", "plain_text"] {
            assert!(said.err.contains(way), "it does not say that {way} would do: {}", said.err);
        }
        let said = run(&scratch, &["serve", "--listen", listen]);
        assert_eq!(said.code, Some(78), "{listen}: {}", said.err);
        assert!(said.err.contains("--plain-text"), "{}", said.err);
    }
}

#[test]
fn plain_text_said_out_loud_is_served_with_a_warning() {
    let config = "plain_text: true".to_owned();
    let scratch = Scratch::new();
    let mut server = Setup { config, listen: "0.0.0.0:0".to_owned(), scratch, ..Setup::default() }.start();
    server.address = ([127, 0, 0, 1], server.address.port()).into();
    server.answers();
    eventually("it warns", || server.log().contains("plain text").then_some(()));
}
