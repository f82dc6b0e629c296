//! A server under test: started, asked, looked at, ended.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::Options;

/// A running server, ended when dropped.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    /// What it is shown, if it asks.
    pub token: Option<String>,
}

impl Server {
    /// Ours with the shipped defaults: a token from the token file, every call audited to a file, every limit in force.
    pub fn ours(options: &Options) -> Self {
        Self::configured(options, &[], "")
    }

    /// The same, asking the Docker Engine at `socket`.
    pub fn asking(options: &Options, socket: &Path) -> Self {
        let scopes = ["--scopes", "system:read,docker:read,docker:logs"];
        Self::configured(options, &scopes, &format!(", docker: (socket: {socket:?})"))
    }

    /// The same, whose callers may see the files below `directory`.
    pub fn showing(options: &Options, directory: &Path) -> Self {
        let scopes = ["--scopes", "system:read,files:read"];
        Self::configured(options, &scopes, &format!(", files: (directories: [(path: {directory:?})])"))
    }

    fn configured(options: &Options, scopes: &[&str], keys: &str) -> Self {
        let state = fresh_directory(&options.scratch, "state");
        let token = new_token(options, &state, "bench", scopes);
        Self::started(Command::new(&options.server), &state, keys, token)
    }

    /// For a caller that may only look at the machine, and `callers` more, whose tokens are given too: they may change the files below
    /// `directory`, where `dead` is a file server that hangs, and ask the Engine at `socket`. Needs root.
    pub fn crowded(options: &Options, directory: &Path, socket: &Path, callers: usize) -> (Self, Vec<String>) {
        let state = fresh_directory(&options.scratch, "state");
        let token = new_token(options, &state, "bench", &["--scopes", "system:read"]);
        let scopes = ["--scopes", "docker:read,files:read,files:write"];
        let others =
            (0..callers).map(|number| new_token(options, &state, &format!("other-{number}"), &scopes)).collect();
        let mount = "exec 9<>/dev/fuse; mount -i -t fuse -o fd=9,rootmode=40755,user_id=0,group_id=0 dead \"$1\"; shift; exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-ec", mount, "sh"]);
        command.arg(directory.join("dead")).arg(&options.server);
        let keys = format!(
            ", docker: (socket: {socket:?}), files: (directories: [(path: {directory:?}, access: Rw, mounts: true)]),
             limits: (search: (per_minute: 6000), write: (per_minute: 6000))"
        );
        (Self::started(command, &state, &keys, token), others)
    }

    fn started(mut command: Command, state: &Path, keys: &str, token: String) -> Self {
        let config = state.join("config.ron");
        fs::write(&config, format!("(listen: [\"127.0.0.1:0\"], state_directory: Some({state:?}){keys})\n"))
            .expect("config");
        let mut child = command
            .args(["serve", "--config"])
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server");
        // it says where it listens in its log
        let mut log = BufReader::new(child.stderr.take().expect("its log"));
        let address = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).expect("its log") > 0, "the server ended");
            if let Some(address) = line.split_once("address=").and_then(|(_, rest)| rest.split_whitespace().next()) {
                break address.parse().expect("an address");
            }
        };
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::stderr()));
        let server = Self { child, address, token: Some(token) };
        // the token is proven by argon2 once; the second sample of the counters comes after half a second, and rates with it
        let _ = server.call("memory", json!({}));
        std::thread::sleep(Duration::from_millis(600));
        server
    }

    /// The stack alone, answering what ours has just answered.
    pub fn ceiling(options: &Options, ours: &Self, tools: &[&str]) -> Self {
        let answers: serde_json::Map<_, _> =
            tools.iter().map(|tool| ((*tool).to_owned(), ours.call(tool, json!({})).expect("an answer"))).collect();
        let file = options.scratch.join("answers.json");
        fs::write(&file, Value::Object(answers).to_string()).expect("the answers");
        let mut child = Command::new(&options.ceiling).arg(&file).stdout(Stdio::piped()).spawn().expect("the ceiling");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("its address");
        Self { child, address: line.trim().parse().expect("an address"), token: None }
    }

    /// Ours as a trial at an address that was free just now; does not wait for it.
    pub fn trial(options: &Options, token_file: &Path) -> Self {
        let address = free_address();
        let child = Command::new(&options.server)
            .args(["serve", "--listen", &address.to_string(), "--token-file"])
            .arg(token_file)
            .arg("--audit")
            .arg(options.scratch.join("trial.jsonl"))
            .env("STATE_DIRECTORY", &options.scratch)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server");
        Self { child, address, token: fs::read_to_string(token_file).ok().map(|token| token.trim().to_owned()) }
    }

    /// One request of the newest revision, whole.
    pub fn request(&self, id: usize, method: &str, name: Option<&str>, params: Value) -> Vec<u8> {
        self.request_of(self.token.as_deref(), id, method, name, params)
    }

    /// The same of another caller.
    pub fn request_of(
        &self,
        token: Option<&str>,
        id: usize,
        method: &str,
        name: Option<&str>,
        params: Value,
    ) -> Vec<u8> {
        let mut params = params;
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "bench", "version": "1" },
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let body = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string();
        let token = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
        let name = name.map_or(String::new(), |name| format!("Mcp-Name: {name}\r\n"));
        format!(
            "POST /mcp HTTP/1.1\r\nHost: {}\r\n{token}Content-Type: application/json\r\nAccept: application/json, \
             text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\nMcp-Method: {method}\r\n{name}Content-Length: {}\
             \r\n\r\n{body}",
            self.address,
            body.len(),
        )
        .into_bytes()
    }

    /// A request that calls a tool.
    pub fn calling(&self, id: usize, tool: &str, arguments: Value) -> Vec<u8> {
        self.request(id, "tools/call", Some(tool), json!({ "name": tool, "arguments": arguments }))
    }

    /// The result of a tool, or what was said instead.
    pub fn call(&self, tool: &str, arguments: Value) -> Result<Value, String> {
        let result = self.ask(&self.calling(1, tool, arguments))?;
        if result["isError"] == true { Err(result["content"][0]["text"].to_string()) } else { Ok(result) }
    }

    /// The names of the tools it shows.
    pub fn tools(&self) -> Vec<Value> {
        let list = self.ask(&self.request(1, "tools/list", None, json!({}))).expect("a list of tools");
        list["tools"].as_array().cloned().unwrap_or_default()
    }

    /// The result of one request on a connection of its own.
    pub fn ask(&self, request: &[u8]) -> Result<Value, String> {
        let mut stream = TcpStream::connect(self.address).map_err(|error| error.to_string())?;
        let _ = stream.set_read_timeout(Some(Duration::from_secs(30)));
        stream.write_all(request).map_err(|error| error.to_string())?;
        let mut answer = vec![];
        let mut part = vec![0; 64 << 10];
        loop {
            let length = stream.read(&mut part).map_err(|error| error.to_string())?;
            answer.extend(&part[..length]);
            if length == 0 {
                return Err(format!("broken off: {}", String::from_utf8_lossy(&answer)));
            }
            if let Some(head) = crate::load::Head::of(&answer)
                && answer.len() >= head.end + head.body
            {
                let body = &answer[head.end..head.end + head.body];
                let mut message: Value = serde_json::from_slice(body)
                    .map_err(|error| format!("{error}: {} {}", head.status, String::from_utf8_lossy(&answer)))?;
                return match message["result"].take() {
                    Value::Null => Err(message.to_string()),
                    result => Ok(result),
                };
            }
        }
    }

    /// Tries to connect until it listens.
    pub fn wait_until_listening(&self) {
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "the server does not listen");
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// What its threads, those that ended too, have spent on the processor.
    pub fn cpu_time(&self) -> Duration {
        let mut clock = 0;
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: both pointers are to variables of ours
        let failed = unsafe {
            libc::clock_getcpuclockid(self.pid().cast_signed(), &raw mut clock) != 0
                || libc::clock_gettime(clock, &raw mut time) != 0
        };
        assert!(!failed, "the server ended");
        Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec as u32)
    }

    /// A figure of /proc/PID/status, from kB to bytes.
    pub fn memory(&self, name: &str) -> f64 {
        memory(&self.pid().to_string(), name)
    }

    /// Forgets the peak of its resident memory.
    pub fn forget_peak(&self) {
        let _ = fs::write(format!("/proc/{}/clear_refs", self.pid()), "5");
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A new token of the token file in `state`.
fn new_token(options: &Options, state: &Path, name: &str, scopes: &[&str]) -> String {
    let made = Command::new(&options.server)
        .args(["token", "new", name, "--token-file"])
        .arg(state.join("tokens.ron"))
        .args(scopes)
        .stderr(Stdio::inherit())
        .output()
        .expect("token new");
    let printed = String::from_utf8_lossy(&made.stdout).into_owned();
    printed.split_whitespace().find(|word| word.starts_with("smcp_")).expect("a token").to_owned()
}

/// A figure of a process's status, from kB to bytes.
pub fn memory(pid: &str, name: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok()).map_or(f64::NAN, |kb| kb * 1024.0)
}

/// An empty directory for its owner alone.
pub fn fresh_directory(scratch: &Path, name: &str) -> PathBuf {
    use std::os::unix::fs::DirBuilderExt;
    let directory = scratch.join(name);
    let _ = fs::remove_dir_all(&directory);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory).expect("a directory");
    directory
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port")
}
