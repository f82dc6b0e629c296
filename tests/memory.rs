//! What strangers, and callers with a token, can make the server hold: in a memory cgroup of its own, at the configured limits.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rights::scope::Scope;
use rustix::{
    net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt::set_socket_recv_buffer_size},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use serde_json::{Value, json};

use crate::common::{
    Key, Program, Request, Scratch, Server, Setup, Wire, eventually, from, ignored, needs_root, words,
};

/// What the packaged unit has, and what the template's `pct create --memory 128` has, in bytes.
const UNIT: u64 = 512 << 20;
const TEMPLATE: u64 = 128 << 20;

/// Runs a program in the cgroup of the environment.
const ENTER: &str = "echo $$ >\"$CGROUP/cgroup.procs\"";

/// Addresses that the attack comes from, and one that it does not come from.
const ATTACKERS: [&str; 3] = ["127.0.0.2:0", "127.0.0.3:0", "127.0.0.4:0"];
const OTHER: &str = "127.0.0.9:0";

/// These take much of the machine's memory and all of its sockets' room: one at a time.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A memory cgroup, of whichever version is mounted, gone when dropped.
struct Cgroup {
    path: PathBuf,
    version: u8,
}

impl Cgroup {
    /// One that limits its processes to so many bytes. `None`: this test cannot make one, and has said why.
    fn of(bytes: u64) -> Option<Self> {
        if !needs_root() {
            return None;
        }
        let made = Self::made(bytes);
        if let Err(why) = &made {
            ignored(&format!("it needs a memory cgroup: {why}"));
        }
        made.ok()
    }

    fn made(bytes: u64) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (parent, version) = parent()?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("smcp-test-{}-{number}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let cgroup = Self { path, version };
        let limit = if version == 1 { "memory.limit_in_bytes" } else { "memory.max" };
        fs::write(cgroup.path.join(limit), bytes.to_string()).map_err(|error| format!("{limit}: {error}"))?;
        // without it the kernel would swap where it is to kill
        let swap = if version == 1 { ("memory.swappiness", "0") } else { ("memory.swap.max", "0") };
        let _ = fs::write(cgroup.path.join(swap.0), swap.1);
        Ok(cgroup)
    }

    /// How many processes the kernel has killed for want of memory.
    fn killed(&self) -> u64 {
        let file = if self.version == 1 { "memory.oom_control" } else { "memory.events" };
        let text = fs::read_to_string(self.path.join(file)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        line.map_or(0, |count| count.trim().parse().unwrap())
    }

    fn setup(&self, setup: Setup) -> Setup {
        Setup { mounts: Some(ENTER), environment: vec![("CGROUP", self.path.display().to_string())], ..setup }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // its processes may be on their way out
        let mut tries = 0;
        while fs::remove_dir(&self.path).is_err() && tries < 500 {
            tries += 1;
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Where a memory cgroup can be made, and its version.
fn parent() -> Result<(PathBuf, u8), String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let (mounts, own) = (read("/proc/self/mounts")?, read("/proc/self/cgroup")?);
    let mounted = |kind: &str, option: &str| {
        let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let found =
            mounts.find(|mount| mount[2] == kind && mount[3].split(',').any(|one| option.is_empty() || one == option));
        found.map(|mount| PathBuf::from(mount[1]))
    };
    if let Some(mount) = mounted("cgroup", "memory") {
        let path = own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            parts.next()?.split(',').any(|one| one == "memory").then(|| parts.next()).flatten()
        });
        let path = mount.join(path.unwrap_or("/").trim_start_matches('/'));
        return Ok((if path.is_dir() { path } else { mount }, 1));
    }
    let mount = mounted("cgroup2", "").ok_or("no cgroup is mounted")?;
    fs::write(mount.join("cgroup.subtree_control"), "+memory").map_err(|error| format!("+memory: {error}"))?;
    Ok((mount, 2))
}

/// Raises the test's own limit of open files.
fn many_files() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
}

/// A server alone in a cgroup, attacked.
struct Attacked {
    server: Server,
    cgroup: Cgroup,
    shown: Scratch,
    _alone: std::sync::MutexGuard<'static, ()>,
}

impl Attacked {
    fn new(bytes: u64) -> Option<Self> {
        let alone = alone();
        let cgroup = Cgroup::of(bytes)?;
        many_files();
        let shown = Scratch::new();
        let keys = ["attacker", "other", "second", "third", "fourth"];
        let keys = keys.map(|name| Key::new(name).with_scopes(&[Scope::SystemRead, Scope::FilesRead]));
        let config = format!("files: (directories: [(path: {:?})])", shown.0);
        let server = cgroup.setup(Setup { keys: keys.into(), config, ..Setup::default() }).start();
        let attacked = Self { server, cgroup, shown, _alone: alone };
        attacked.others_are_answered();
        Some(attacked)
    }

    fn attacker(&self) -> &str {
        self.server.keys[0].text()
    }

    /// Opens so many connections, from these addresses in turn, and sends each the same bytes, or as many as the server takes.
    fn send(&self, count: usize, addresses: &[&str], bytes: &[u8]) -> Vec<TcpStream> {
        let address = self.server.address;
        many(count, |number| {
            let stream = from(addresses[number % addresses.len()], address);
            stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
            // the server may close it, or read no further, before it has all
            let _ = (&stream).write_all(bytes);
            stream
        })
    }

    /// A call whose answer is long.
    fn long_answer(&self) -> Request {
        let text: String =
            (0..20_000).map(|line| format!("line {line} {}\n", "of a text that is read and read ".repeat(2))).collect();
        let path = self.shown.path("text");
        fs::write(&path, text).unwrap();
        let call = Request::call("file_read", json!({ "path": path, "lines": 1000 }));
        let whole = self.server.ask(&call.clone().token(self.attacker()));
        assert!(whole.status == 200 && whole.body.len() > 50_000, "{} {}", whole.status, whole.body.len());
        call
    }

    /// How many bytes wait to be sent on the server's side of each connection, also of those that it has closed.
    fn untaken(&self) -> Vec<u64> {
        let port = format!(":{:04X}", self.server.address.port());
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        // but those that nobody has accepted yet
        let own = lines.filter(|words| words.len() > 4 && words[1].ends_with(&port) && words[3] != "0A");
        own.filter_map(|words| u64::from_str_radix(words[4].split(':').next()?, 16).ok()).collect()
    }

    /// Another caller from another address has an answer, and no refusal.
    fn others_are_answered(&self) {
        self.answered_from(OTHER);
    }

    fn answered_from(&self, address: &str) {
        let request = Request::call("memory", json!({})).token(self.server.keys[1].text());
        let answer = Wire::over(from(address, self.server.address)).ask(&request);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.rpc()["result"]["isError"], false, "{}", answer.text());
    }

    fn lives(mut self) {
        self.others_are_answered();
        assert_eq!(self.cgroup.killed(), 0, "it was killed for want of memory");
        assert!(self.server.is_running());
    }
}

/// So many connections, opened by a few threads.
fn many(count: usize, one: impl Fn(usize) -> TcpStream + Copy + Send) -> Vec<TcpStream> {
    const AT_ONCE: usize = 32;
    thread::scope(|scope| {
        let opening: Vec<_> = (0..AT_ONCE)
            .map(|first| scope.spawn(move || (first..count).step_by(AT_ONCE).map(one).collect::<Vec<_>>()))
            .collect();
        opening.into_iter().flat_map(|opened| opened.join().unwrap()).collect()
    })
}

/// A connection whose client's kernel takes next to nothing.
fn narrow(ours: &str, theirs: SocketAddr) -> TcpStream {
    let fd = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    set_socket_recv_buffer_size(&fd, 2048).unwrap();
    bind(&fd, &ours.parse::<SocketAddr>().unwrap()).unwrap();
    connect(&fd, &theirs).unwrap();
    let stream = TcpStream::from(fd);
    stream.set_read_timeout(Some(Duration::from_secs(300))).unwrap();
    stream
}

/// A request whose body is as long as may be and lacks its last byte.
fn half_body(token: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = Request::post(body).token(token).bytes();
    bytes.pop();
    bytes
}

fn longest_body() -> Vec<u8> {
    let mut body =
        br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"memory","arguments":{"x":""#.to_vec();
    body.resize((256 << 10) - 10, b'a');
    body.extend_from_slice(br#""}}}"#);
    body
}

#[test]
fn half_heads_from_three_addresses_leave_it_alive_in_128_mib() {
    let Some(attacked) = Attacked::new(TEMPLATE) else { return };
    let head = format!("POST /mcp HTTP/1.1\r\nHost: x\r\nX: {}", "a".repeat(15_900));
    // a head that is too long is refused: so is one that is just not
    for length in [head.len(), 8_100] {
        let held = attacked.send(4_090, &ATTACKERS, &head.as_bytes()[..length]);
        attacked.others_are_answered();
        drop(held);
    }
    attacked.lives();
}

#[test]
fn held_bodies_leave_it_alive_and_do_not_keep_others_out() {
    for bytes in [UNIT, TEMPLATE] {
        let Some(attacked) = Attacked::new(bytes) else { return };
        let held = attacked.send(2_040, &ATTACKERS[..1], &half_body(attacked.attacker(), &longest_body()));
        for _ in 0..4 {
            attacked.others_are_answered();
        }
        drop(held);
        attacked.lives();
    }
}

#[test]
fn small_bodies_that_are_late_do_not_keep_others_out_wherever_they_come_from() {
    let Some(attacked) = Attacked::new(UNIT) else { return };
    let late = half_body(attacked.attacker(), b"{\"a\":1");
    let held = attacked.send(2_200, &ATTACKERS[..2], &late);
    for _ in 0..4 {
        attacked.others_are_answered();
    }
    drop(held);
    // behind a proxy all have one address
    let held = attacked.send(2_060, &[OTHER], &late);
    for _ in 0..4 {
        attacked.answered_from(OTHER);
    }
    drop(held);
    attacked.lives();
}

#[test]
fn bodies_of_many_values_leave_it_alive() {
    for bytes in [UNIT, TEMPLATE] {
        let Some(attacked) = Attacked::new(bytes) else { return };
        // with as many values as there may be, and with as many as there is room for
        for values in [16_000, 130_000] {
            let list = "0,".repeat(values);
            let arguments = format!("{{\"x\":[{}0]}}", list);
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"memory","arguments":{arguments}}}}}"#
            );
            let request = Request::post(body).token(attacked.attacker()).bytes();
            let held = attacked.send(1_000, &ATTACKERS, &request);
            attacked.others_are_answered();
            drop(held);
        }
        attacked.lives();
    }
}

#[test]
fn answers_that_nobody_reads_leave_it_alive() {
    for bytes in [UNIT, TEMPLATE] {
        let Some(attacked) = Attacked::new(bytes) else { return };
        let call = attacked.long_answer();
        // twenty at a time on each, so that the kernel's buffers are full; of as many tokens as there are quarters
        let held: Vec<_> = [0, 2, 3, 4]
            .iter()
            .flat_map(|key| {
                let call = call.clone().token(attacked.server.keys[*key].text());
                attacked.send(1_000, &ATTACKERS, &call.bytes().repeat(20))
            })
            .collect();
        attacked.others_are_answered();
        attacked.others_are_answered();
        drop(held);
        attacked.lives();
    }
}

#[test]
fn requests_in_one_go_that_nobody_reads_the_answers_of_leave_it_alive() {
    let Some(attacked) = Attacked::new(TEMPLATE) else { return };
    for request in [
        Request::new("GET", "/healthz"),
        Request::new("POST", "/mcp"),
        Request::rpc("tools/list", json!({})).token(attacked.attacker()),
    ] {
        let held = attacked.send(4_090, &ATTACKERS, &request.bytes().repeat(400));
        attacked.others_are_answered();
        drop(held);
    }
    attacked.lives();
}

/// What a client does not read waits in the kernel's memory, which cgroups of version 2 count: of one connection only so much.
#[test]
fn answers_that_nobody_reads_wait_in_little_of_the_kernel_s_memory() {
    const MOST: u64 = 96 << 10;
    let Some(attacked) = Attacked::new(UNIT) else { return };
    let call = Request::rpc("tools/list", json!({})).token(attacked.attacker());
    let whole = attacked.server.ask(&call).body.len();
    assert!(whole > 30_000, "{whole}");
    let _held = attacked.send(1, &ATTACKERS, &call.bytes().repeat(60));
    let mut seen = 0;
    let mut looks = 0;
    eventually("its answers wait", || {
        seen = seen.max(attacked.untaken().into_iter().max().unwrap_or(0));
        looks = if seen > 0 { looks + 1 } else { 0 };
        // it has had the time to hold more, if it is ever going to
        (looks > 100).then_some(())
    });
    assert!(seen <= MOST, "{seen} bytes of one connection");
    attacked.lives();
}

/// One answer fits into the kernel's buffers whole, and the server never waits for its client: the connection looks idle.
#[test]
fn one_long_answer_that_nobody_reads_on_each_connection_leaves_little_in_the_kernel() {
    // a seventh of what there is to spare, and 4 KiB of each connection
    const MOST: u64 = 12 << 20;
    let Some(attacked) = Attacked::new(TEMPLATE) else { return };
    let address = attacked.server.address;
    let keys = [0, 2, 3].map(|key| attacked.server.keys[key].text());
    let requests = keys.map(|key| Request::rpc("tools/list", json!({})).token(key).bytes());
    let whole = attacked.server.ask(&Request::rpc("tools/list", json!({})).token(keys[0])).body.len();
    assert!(whole > 30_000, "{whole}");
    let held = many(1_200, |number| {
        let stream = narrow(ATTACKERS[number % ATTACKERS.len()], address);
        // it may be closed before it has its answer
        let _ = (&stream).write_all(&requests[number % requests.len()]).and_then(|()| stream.peek(&mut [0; 1]));
        stream
    });
    // those that are too many are reset, and not only closed: their answers would stay in the kernel
    let mut reset = 0;
    eventually("few are left, and little waits", || {
        reset += held.iter().filter(|stream| stream.take_error().unwrap().is_some()).count();
        (reset > 600 && attacked.untaken().iter().sum::<u64>() <= MOST).then_some(())
    });
    attacked.others_are_answered();
    drop(held);
    attacked.lives();
}

/// A client at the other end of a pipe that writes and does not read.
#[test]
fn answers_that_nobody_reads_from_a_pipe_are_not_kept_without_bound() {
    const CALLS: usize = 6_000;
    let _alone = alone();
    let Some(cgroup) = Cgroup::of(TEMPLATE) else { return };
    let (scratch, program) = (Scratch::new(), Program::get());
    let text: String =
        (0..20_000).map(|line| format!("line {line} {}\n", "of a text that is read and read ".repeat(2))).collect();
    let path = scratch.write("text", text);
    let config =
        format!("(state_directory: {:?}, files: (directories: [(path: {:?})]))", scratch.path("state"), scratch.0);
    let config = scratch.write("config.ron", config);
    let mut command = std::process::Command::new("sh");
    let mut stdio = program.command((1024, None));
    stdio.args(["stdio", "--scopes", "system:read,files:read", "--config"]).arg(&config);
    command.args(["-ec", &format!("{ENTER}\nexec \"$@\""), "sh"]).args(words(&stdio));
    command.env("CGROUP", &cgroup.path);
    let stderr = fs::File::create(scratch.path("stderr")).unwrap();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
    let (mut stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut send = move |message: Value| -> io::Result<()> { stdin.write_all(format!("{message}\n").as_bytes()) };
    let client = json!({ "name": "hostile pipe", "version": "0" });
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
    send(json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params })).unwrap();
    let written = Arc::new(AtomicUsize::new(0));
    let writing = thread::spawn({
        let (written, path) = (Arc::clone(&written), path.clone());
        move || {
            for id in 1..=CALLS {
                let arguments = json!({ "path": path, "lines": 1000 });
                let params = json!({ "name": "file_read", "arguments": arguments });
                if send(json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })).is_err() {
                    // it has ended
                    break;
                }
                written.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    // it has read all, or reads no more; if it only paused, the test sees less and does not fail
    let (mut before, mut still) = (0, 0);
    eventually("it has read all, or reads no more", || {
        thread::sleep(Duration::from_millis(100));
        let now = written.load(Ordering::SeqCst);
        still = if now == before { still + 1 } else { 0 };
        before = now;
        (now == CALLS || (now > 0 && still > 50)).then_some(())
    });
    assert_eq!((cgroup.killed(), child.try_wait().unwrap()), (0, None), "it was killed for want of memory");
    // it goes on as soon as it is read
    let mut lines = BufReader::new(stdout).lines();
    for _ in 0..200 {
        let message: Value = serde_json::from_str(&lines.next().expect("it answers").unwrap()).unwrap();
        assert!(message["result"].is_object(), "{message}");
    }
    assert_eq!(cgroup.killed(), 0, "it was killed for want of memory");
    child.kill().unwrap();
    child.wait().unwrap();
    writing.join().unwrap();
}
