//! What one caller's calls cost another: the 99th percentile of its `overview`, beside what it is when nobody else calls. Needs root, for
//! a file server that hangs.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::net::UnixListener,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    Options,
    figures::{median, ms, row, spread, verdict},
    load::{self, Pace},
    server::{Server, fresh_directory},
};

/// Callers that flood or hang.
const OTHERS: usize = 4;

const FLOODS: usize = 5;

/// What they do: each of these requests, on so many connections, in one go.
struct Flood {
    name: &'static str,
    connections: usize,
    requests: Vec<Vec<u8>>,
}

/// Ten clients that call ten times a second each, under each flood.
pub fn run(options: &Options) {
    let directory = fresh_directory(&options.scratch, "shown");
    fs::create_dir(directory.join("dead")).expect("a directory");
    let huge = directory.join("huge");
    fs::File::create(&huge).and_then(|file| file.set_len(1 << 40)).expect("a file without blocks");
    let engines = fresh_directory(&std::env::temp_dir(), "smcp-bench-engine");
    let socket = engines.join("docker.sock");
    hang(UnixListener::bind(&socket).expect("a socket"));
    let start = || Server::crowded(options, &directory, &socket, OTHERS);
    let mut quiet = vec![];
    let mut under: Vec<(&str, Vec<f64>)> = vec![];
    for round in 0..options.rounds {
        eprintln!("lanes: round {} of {}", round + 1, options.rounds);
        quiet.push(p99(options, &start().0));
        for number in 0..FLOODS {
            let (server, tokens) = start();
            let flood = &floods(&server, &tokens, &directory.display().to_string())[number];
            let held = flood.begin(&server);
            let p99 = p99(options, &server);
            drop(held);
            match under.get_mut(number) {
                Some((_, values)) => values.push(p99),
                None => under.push((flood.name, vec![p99])),
            }
        }
    }
    let _ = fs::remove_dir_all(engines);
    for (name, values) in under {
        let times = median(&values) / median(&quiet);
        row(
            &format!("`overview` of another caller, p99, under {name}"),
            &spread(&values, ms),
            &format!("quiet: {}", spread(&quiet, ms)),
            &format!("{times:.1} times"),
            &verdict("within twice", times <= 2.0),
        );
    }
}

fn p99(options: &Options, server: &Server) -> f64 {
    // the first one gives the file server that hangs its second
    let _ = server.call("overview", json!({}));
    let pace = Pace::Every(Duration::from_millis(100));
    let outcome = load::run(server, "overview", 10, pace, options.wait(options.seconds));
    assert_eq!(outcome.failed, 0, "another caller is not answered");
    outcome.percentile(0.99)
}

fn floods(server: &Server, tokens: &[String], directory: &str) -> [Flood; FLOODS] {
    let ask = |token: &str, method: &str, name: Option<&str>, params: Value| {
        server.request_of(Some(token), 1, method, name, params)
    };
    let calls = |tool: &str, arguments: Value| -> Vec<Vec<u8>> {
        let params = json!({ "name": tool, "arguments": arguments });
        tokens.iter().map(|token| ask(token, "tools/call", Some(tool), params.clone())).collect()
    };
    let one = |requests: Vec<Vec<u8>>| requests.into_iter().take(1).collect::<Vec<_>>();
    let dead = format!("{directory}/dead/file");
    let lists = tokens.iter().map(|token| ask(token, "tools/list", None, json!({})));
    [
        Flood {
            name: "400 checksums of a terabyte by one token",
            connections: 400,
            requests: one(calls("file_info", json!({ "path": format!("{directory}/huge"), "checksum": true }))),
        },
        Flood {
            name: "24,000 `tools/list` by one token, in one go",
            connections: 600,
            requests: one(lists.map(|list| list.repeat(40)).collect()),
        },
        Flood {
            name: "16 `file_read` that hang",
            connections: 4,
            requests: calls("file_read", json!({ "path": dead })),
        },
        Flood {
            name: "16 `file_write` that hang",
            connections: 4,
            requests: calls("file_write", json!({ "path": dead, "content": "x", "create": true })),
        },
        Flood { name: "32 questions to an Engine that hangs", connections: 8, requests: calls("images", json!({})) },
    ]
}

impl Flood {
    /// Sends all of it; reads nothing.
    fn begin(&self, server: &Server) -> Vec<TcpStream> {
        let mut held = vec![];
        for request in &self.requests {
            for _ in 0..self.connections {
                let mut stream = TcpStream::connect(server.address).expect("a connection");
                let _ = stream.set_write_timeout(Some(Duration::from_millis(50)));
                // what the server does not take is its own part of the bargain
                let _ = stream.write(request);
                held.push(stream);
            }
        }
        held
    }
}

/// Takes every request and answers none.
fn hang(listener: UnixListener) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || stream.read_to_end(&mut vec![]));
        }
    });
}
