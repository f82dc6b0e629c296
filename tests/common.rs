//! The program under test, started for real, and a client that decides over every byte it sends.
//!
//! The program is the one that cargo built beside the tests. Under root it runs as uid 65532 without groups, with a soft limit
//! of 1,024 open files: what is denied must be seen to be denied. It ends, by its pid, when its [`Server`] is dropped.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    os::{
        fd::OwnedFd,
        unix::{
            fs::{PermissionsExt, chown},
            net::UnixStream,
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, OnceLock, Weak,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use argon2::{Argon2, PasswordHasher};
use auth::token::Token;
use rights::scope::Scope;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, connect, getsockname, socket_with, sockopt::set_socket_reuseaddr,
};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// Who the program runs as, when the tests run as root.
pub(crate) const USER: u32 = 65_532;

/// Longer than anything takes on a machine that is busy with other things. No test waits that long unless it fails.
pub(crate) const PATIENCE: Duration = Duration::from_mins(4);

/// Asks until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "it did not come to this: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Says that a test did nothing, and why. It goes past what the test runner keeps back of a test that passes.
pub(crate) fn ignored(why: &str) {
    let test = thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(io::stderr(), "ignored: {test}: {why}");
}

/// Whether this test runs as root. If not, says that it is ignored.
pub(crate) fn needs_root() -> bool {
    if !is_root() {
        ignored("it needs root");
    }
    is_root()
}

/// A port of this machine that nobody else is given while this is held, and that a server can listen at: it is bound and does not listen,
/// with SO_REUSEADDR, as servers bind theirs.
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    _held: OwnedFd,
}

impl Port {
    pub(crate) fn new() -> Self {
        let held = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
        set_socket_reuseaddr(&held, true).unwrap();
        bind(&held, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Self { address: getsockname(&held).unwrap().try_into().unwrap(), _held: held }
    }
}

/// What the tools of one test count and wait for. A call names it by its number, so that no two tests share one. When dropped, nothing waits
/// for it any more.
pub(crate) struct Sign {
    pub(crate) number: usize,
    state: Arc<Awaited>,
}

/// How many calls have begun, and a semaphore without permits that is closed once they may end.
pub(crate) struct Awaited(AtomicUsize, Semaphore);

static SIGNS: Mutex<BTreeMap<usize, Arc<Awaited>>> = Mutex::new(BTreeMap::new());

impl Sign {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let (number, state) =
            (NEXT.fetch_add(1, Ordering::Relaxed), Arc::new(Awaited(AtomicUsize::new(0), Semaphore::new(0))));
        SIGNS.lock().unwrap().insert(number, Arc::clone(&state));
        Self { number, state }
    }

    pub(crate) fn begun(&self) -> usize {
        self.state.0.load(Ordering::SeqCst)
    }

    /// Waits until so many calls have begun.
    pub(crate) async fn until_begun(&self, calls: usize) {
        let wait = async {
            while self.begun() < calls {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("the calls begin");
    }

    pub(crate) fn release(&self) {
        self.state.1.close();
    }

    /// For a tool: it has begun. There is no such sign if its call names none, or its test has ended.
    pub(crate) fn begin(number: usize) -> Option<Arc<Awaited>> {
        let state = SIGNS.lock().unwrap().get(&number).cloned()?;
        state.0.fetch_add(1, Ordering::SeqCst);
        Some(state)
    }

    /// For a tool: it has begun, and waits until it is released.
    pub(crate) async fn wait(number: usize) {
        if let Some(state) = Self::begin(number) {
            let _ = state.1.acquire().await;
        }
    }

    /// The same on a thread, which nobody can call back.
    pub(crate) fn wait_on_thread(number: usize) {
        if let Some(state) = Self::begin(number) {
            while !state.1.is_closed() {
                thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

impl Drop for Sign {
    fn drop(&mut self) {
        self.release();
        SIGNS.lock().unwrap().remove(&self.number);
    }
}

/// A directory that the program may use, gone when dropped.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("smcp-test-{}-{count}", std::process::id()));
        fs::create_dir(&path).unwrap();
        own(&path);
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file that is the program's own.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        own(&path);
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.path(name)).unwrap_or_default()).into_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn own(path: &Path) {
    if is_root() {
        chown(path, Some(USER), Some(USER)).unwrap();
    }
}

/// The program, at a place where its user can execute it.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    _copy: Option<Scratch>,
}

impl Program {
    pub(crate) fn get() -> Arc<Self> {
        static SHARED: Mutex<Weak<Program>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap();
        if let Some(program) = shared.upgrade() {
            return program;
        }
        let built = Self::built();
        let program = if !is_root() || Self::is_reachable(&built) {
            Self { path: built, _copy: None }
        } else {
            let copy = Scratch::new();
            let path = copy.path("systemmanager-mcp");
            fs::copy(&built, &path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
            Self { path, _copy: Some(copy) }
        };
        let program = Arc::new(program);
        *shared = Arc::downgrade(&program);
        program
    }

    fn built() -> PathBuf {
        env!("CARGO_BIN_EXE_systemmanager-mcp").into()
    }

    /// Whether its user may execute it where it was built. Home directories are often closed to others.
    fn is_reachable(path: &Path) -> bool {
        static REACHABLE: OnceLock<bool> = OnceLock::new();
        *REACHABLE.get_or_init(|| {
            let mut test = dropped();
            test.arg("test").arg("-x").arg(path).status().unwrap().success()
        })
    }

    /// A command that runs it as its user, with `files` as its limit of open files (soft, hard).
    pub(crate) fn command(&self, files: (u64, Option<u64>)) -> Command {
        let (soft, hard) = files;
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={soft}:{}", hard.map_or(String::new(), |hard| hard.to_string())));
        if is_root() {
            command.args(words(&dropped()));
        }
        command.arg(&self.path);
        // nothing of the tester's surroundings: no state directory, no colours
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }
}

/// A command whose arguments are a command to run as the program's user.
fn dropped() -> Command {
    let mut command = Command::new("setpriv");
    let uid = format!("--reuid={USER}");
    command.args([&uid, &format!("--regid={USER}"), "--clear-groups", "--inh-caps=-all", "--no-new-privs", "--"]);
    command
}

/// A command as words, to be put behind another.
pub(crate) fn words(command: &Command) -> Vec<std::ffi::OsString> {
    std::iter::once(command.get_program()).chain(command.get_args()).map(Into::into).collect()
}

/// What a command said and how it ended.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Runs the program to its end, with its state in `scratch`.
pub(crate) fn run(scratch: &Scratch, arguments: &[&str]) -> Said {
    let mut command = Program::get().command((1024, None));
    command.env("STATE_DIRECTORY", scratch.path("state"));
    let output = command.args(arguments).stdin(Stdio::null()).output().unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A token for the token file, whose hash costs next to nothing: these tests start a server each, and `token new` has its own.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) token: Token,
    pub(crate) name: String,
    scopes: String,
    expires: Option<&'static str>,
    source: Option<&'static str>,
    cost: u32,
    slow: bool,
}

impl Key {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            token: Token::generate().unwrap(),
            name: name.to_owned(),
            scopes: "\"system:read\"".to_owned(),
            expires: None,
            source: None,
            cost: 64,
            slow: false,
        }
    }

    pub(crate) fn without_scopes(self) -> Self {
        Self { scopes: String::new(), ..self }
    }

    /// With these, as a token file has them.
    pub(crate) fn with_scopes(self, scopes: &[Scope]) -> Self {
        let scopes: Vec<_> = scopes.iter().map(|scope| format!("{:?}", scope.name())).collect();
        Self { scopes: scopes.join(", "), ..self }
    }

    /// With these grants.
    pub(crate) fn with_grants(self, grants: &[&str]) -> Self {
        let grants: Vec<_> = grants.iter().map(|grant| format!("{grant:?}")).collect();
        Self { scopes: grants.join(", "), ..self }
    }

    pub(crate) fn with_all_scopes(self) -> Self {
        self.with_scopes(Scope::ALL)
    }

    pub(crate) fn expired(self) -> Self {
        Self { expires: Some("2001-01-01T00:00:00Z"), ..self }
    }

    pub(crate) fn only_from(self, source: &'static str) -> Self {
        Self { source: Some(source), ..self }
    }

    /// With a hash as dear as a real one.
    pub(crate) fn dear(self) -> Self {
        Self { cost: 19_456, ..self }
    }

    /// With a hash that takes as long as the server allows, and is no token's: nobody gets in with it.
    pub(crate) fn that_takes_long(self) -> Self {
        Self { slow: true, ..self }
    }

    pub(crate) fn text(&self) -> &str {
        self.token.expose()
    }

    fn record(&self) -> String {
        let argon2: Argon2<'_> = argon2::Params::new(self.cost, 1, 1, None).unwrap().into();
        let salt = self.token.id().repeat(2);
        let mut hash = argon2.hash_password_with_salt(self.text().as_bytes(), salt.as_bytes()).unwrap().to_string();
        if self.slow {
            hash = hash.replace("$m=64,t=1,p=1$", "$m=65536,t=10,p=1$");
        }
        let quoted = |text: Option<&str>| text.map_or(String::new(), |text| format!("{text:?}"));
        format!(
            "(id: {:?}, name: {:?}, scopes: [{}], created: \"2026-01-01T00:00:00Z\", expires: {}, sources: [{}], hash: \"{hash}\")",
            self.token.id(),
            self.name,
            self.scopes,
            self.expires.map_or("None".to_owned(), |time| format!("Some({time:?})")),
            quoted(self.source),
        )
    }
}

/// The text of a token file.
/// The records of an audit file; none if it is not there.
pub(crate) fn records(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

pub(crate) fn token_file(keys: &[&Key]) -> String {
    format!("[{}]", keys.iter().map(|key| key.record()).collect::<Vec<_>>().join(",\n"))
}

/// How a server is to be started.
pub(crate) struct Setup {
    pub(crate) keys: Vec<Key>,
    /// Keys of the config beside those every server here has.
    pub(crate) config: String,
    /// Keys of the config's `limits`.
    pub(crate) limits: String,
    pub(crate) listen: String,
    /// The limit of open files, soft and hard.
    pub(crate) files: (u64, Option<u64>),
    /// Commands that run as root before the program, in a mount namespace of its own. `$SCRATCH` is its directory.
    pub(crate) mounts: Option<&'static str>,
    /// Variables of its environment, which has hardly any.
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) scratch: Scratch,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            keys: vec![Key::new("agent")],
            config: String::new(),
            limits: String::new(),
            listen: "127.0.0.1:0".to_owned(),
            files: (1024, None),
            mounts: None,
            environment: vec![],
            scratch: Scratch::new(),
        }
    }
}

impl Setup {
    fn config(&self) -> String {
        let directory = self.scratch.0.display();
        // without an address the config says where
        let listen = if self.listen.is_empty() { String::new() } else { format!("{:?}", self.listen) };
        format!(
            "(listen: [{listen}], state_directory: \"{directory}/state\", token_file: \"{directory}/tokens.ron\", limits: ({}),\n{})",
            self.limits, self.config
        )
    }

    pub(crate) fn start(self) -> Server {
        let config = self.scratch.write("config.ron", self.config());
        self.scratch.write("tokens.ron", token_file(&self.keys.iter().collect::<Vec<_>>()));
        let arguments = ["serve".to_owned(), "--config".to_owned(), config.display().to_string()];
        let program = Program::get();
        let mut command = program.command(self.files);
        command.args(&arguments);
        if let Some(mounts) = self.mounts {
            let mut unshared = Command::new("unshare");
            unshared.args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-ec",
                &format!("{mounts}\nexec \"$@\""),
                "sh",
            ]);
            unshared.args(words(&command)).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
            unshared.env("SCRATCH", &self.scratch.0);
            command = unshared;
        }
        command.envs(self.environment);
        Server::start(command, self.scratch, self.keys, program)
    }
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) scratch: Scratch,
    pub(crate) keys: Vec<Key>,
    _program: Arc<Program>,
}

impl Server {
    /// With one token, and the defaults.
    pub(crate) fn new() -> Self {
        Setup::default().start()
    }

    pub(crate) fn limited(limits: &str) -> Self {
        Setup { limits: limits.to_owned(), ..Setup::default() }.start()
    }

    pub(crate) fn start(mut command: Command, scratch: Scratch, keys: Vec<Key>, program: Arc<Program>) -> Self {
        let to = |name: &str| fs::File::create(scratch.path(name)).unwrap();
        let child = command.stdin(Stdio::null()).stdout(to("stdout")).stderr(to("stderr")).spawn().unwrap();
        let mut server = Self { child, address: ([0, 0, 0, 0], 0).into(), scratch, keys, _program: program };
        server.address = eventually("the server listens", || {
            let log = server.log();
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("the server ended with {status}: {log}");
            }
            let (_, rest) = log.split_once("listening address=")?;
            rest.split_once(' ')?.0.parse().ok()
        });
        server
    }

    /// All addresses that it listens on, in the order of its config.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let log = self.log();
        let said = log.split("listening address=").skip(1);
        said.filter_map(|rest| rest.split_once(' ')?.0.parse().ok()).collect()
    }

    pub(crate) fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Lowers its limit of open files while it runs, as its own user: who is root here may yet lack the right.
    pub(crate) fn limit_files(&self, limit: u64) -> ExitStatus {
        let mut command = if is_root() { dropped() } else { Command::new("env") };
        command.args([
            "prlimit",
            &format!("--pid={}", self.pid().as_raw_nonzero()),
            &format!("--nofile={limit}:{limit}"),
        ]);
        command.status().unwrap()
    }

    /// All it wrote to stderr so far.
    pub(crate) fn log(&self) -> String {
        self.scratch.read("stderr")
    }

    /// Both files of the audit log.
    pub(crate) fn audit_text(&self) -> String {
        self.scratch.read("state/audit.jsonl") + &self.scratch.read("state/audit.jsonl.actions")
    }

    /// The audit log's records of what changed nothing. A call's is written before its answer is sent, a refusal's soon after.
    pub(crate) fn audit(&self) -> Vec<Value> {
        records(&self.scratch.path("state/audit.jsonl"))
    }

    /// Those of them that are not of a list of tools, such as [`Self::answers`] asks for.
    pub(crate) fn calls(&self) -> Vec<Value> {
        self.audit().into_iter().filter(|record| record["tool"] != "tools/list").collect()
    }

    /// The audit log's records of attempts and their results.
    pub(crate) fn actions(&self) -> Vec<Value> {
        records(&self.scratch.path("state/audit.jsonl.actions"))
    }

    /// The `kind` of each record.
    pub(crate) fn kinds(&self) -> Vec<String> {
        self.audit().iter().map(|record| record["kind"].as_str().unwrap_or_default().to_owned()).collect()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    /// Has it read config, tokens and certificates again, and gives what it answers: `ok` or `failed`, and the result.
    pub(crate) fn reload(&self) -> String {
        let mut control = UnixStream::connect(self.scratch.path("state/control.sock")).unwrap();
        let config = self.scratch.path("config.ron");
        control.write_all(format!("reload {}\n", config.display()).as_bytes()).unwrap();
        let mut said = String::new();
        control.read_to_string(&mut said).unwrap();
        said
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        eventually("the server ends", || self.child.try_wait().unwrap())
    }

    /// The first token.
    pub(crate) fn token(&self) -> &str {
        self.keys[0].text()
    }

    pub(crate) fn connect(&self) -> Wire {
        Wire::to(self.address)
    }

    /// Sends one request on a connection of its own.
    pub(crate) fn ask(&self, request: &Request) -> Answer {
        self.connect().ask(request)
    }

    /// Sends these bytes on a connection of their own, and reads one answer. `None`: it was closed without one.
    pub(crate) fn ask_raw(&self, bytes: impl AsRef<[u8]>) -> Option<Answer> {
        let mut wire = self.connect();
        // it may refuse before it has read all
        let _ = wire.send(bytes);
        wire.answer()
    }

    /// A call by the first token, in the modern form.
    pub(crate) fn call(&self, tool: &str, arguments: Value) -> Value {
        self.ask(&Request::call(tool, arguments).token(self.token())).rpc()
    }

    /// Fails unless a new client with a good token gets an answer.
    pub(crate) fn answers(&self) {
        let answer = self.ask(&Request::rpc("tools/list", json!({})).token(self.token()));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.rpc()["result"]["tools"].is_array(), "{}", answer.text());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            // it tells what no assertion can
            let _ = writeln!(io::stderr(), "--- the server's log\n{}", self.log());
        }
    }
}

/// A request, whose every part a test can bend.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(method: &str, target: &str) -> Self {
        let headers = vec![("Host".to_owned(), "localhost".to_owned())];
        Self { method: method.to_owned(), target: target.to_owned(), headers, body: vec![] }
    }

    /// A POST to /mcp with this body and what both eras need of headers.
    pub(crate) fn post(body: impl AsRef<[u8]>) -> Self {
        let mut request = Self::new("POST", "/mcp")
            .header("Content-Type", "application/json")
            .header("Accept", "application/json, text/event-stream");
        request.body = body.as_ref().to_vec();
        request.header("Content-Length", &body.as_ref().len().to_string())
    }

    /// A legacy request, which needs no initialize.
    pub(crate) fn legacy(id: impl Into<Value>, method: &str, params: Value) -> Self {
        Self::post(json!({ "jsonrpc": "2.0", "id": id.into(), "method": method, "params": params }).to_string())
    }

    /// A modern request.
    pub(crate) fn modern(id: impl Into<Value>, method: &str, mut params: Value) -> Self {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": { "name": "hostile", "version": "0" },
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let name = params["name"].as_str().map(str::to_owned);
        let request =
            Self::legacy(id, method, params).header("MCP-Protocol-Version", "2026-07-28").header("Mcp-Method", method);
        match name {
            // what cannot stand in a header cannot be sent in this form
            Some(name) => request.header("Mcp-Name", &name),
            None => request,
        }
    }

    pub(crate) fn rpc(method: &str, params: Value) -> Self {
        Self::modern(1, method, params)
    }

    pub(crate) fn call(tool: &str, arguments: Value) -> Self {
        Self::rpc("tools/call", json!({ "name": tool, "arguments": arguments }))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        self.without(name).header(name, value)
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend(format!("{name}: {value}\r\n").into_bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A connection.
pub(crate) struct Wire {
    stream: BufReader<Box<dyn Stream>>,
    head_only: bool,
}

impl Wire {
    pub(crate) fn to(address: SocketAddr) -> Self {
        Self::over(Self::tcp(address))
    }

    /// A bare socket that does not wait for ever.
    pub(crate) fn tcp(address: SocketAddr) -> TcpStream {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    pub(crate) fn over(stream: impl Read + Write + Send + 'static) -> Self {
        Self { stream: BufReader::new(Box::new(stream)), head_only: false }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes.as_ref())?;
        stream.flush()
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Answer {
        self.head_only = request.method == "HEAD";
        // it may refuse before it has read all
        let _ = self.send(request.bytes());
        self.answer().unwrap_or_else(|| panic!("no answer to {} {}", request.method, request.target))
    }

    /// The next answer; `None` if the connection was closed before the end of it. Panics if neither comes.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        match self.read_answer() {
            Ok(answer) => Some(answer),
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => None,
            Err(error) => panic!("neither an answer nor the end of the connection: {error}"),
        }
    }

    fn read_answer(&mut self) -> io::Result<Answer> {
        let line = self.read_line()?;
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("{line:?}"));
        let mut headers = vec![];
        while let Some((name, value)) = self.read_line()?.trim_end().split_once(':') {
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: vec![] };
        if self.head_only || status == 100 {
            return Ok(answer);
        }
        if answer.header("transfer-encoding").is_some_and(|coding| coding == "chunked") {
            loop {
                let size = usize::from_str_radix(self.read_line()?.trim(), 16).unwrap();
                let mut chunk = vec![0; size + 2];
                self.stream.read_exact(&mut chunk)?;
                answer.body.extend(&chunk[..size]);
                if size == 0 {
                    break;
                }
            }
        } else if let Some(length) = answer.header("content-length") {
            answer.body = vec![0; length.parse().unwrap()];
            self.stream.read_exact(&mut answer.body)?;
        } else {
            self.stream.read_to_end(&mut answer.body)?;
        }
        Ok(answer)
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line),
        }
    }

    /// Whether the server closes it. Panics if it does nothing, and if it says something first.
    pub(crate) fn is_closed(&mut self) {
        match self.stream.fill_buf() {
            Ok([]) => (),
            Ok(more) => panic!("it goes on: {:?}", String::from_utf8_lossy(more)),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => (),
            Err(error) => panic!("it is still open: {error}"),
        }
    }
}

/// A connection from an address of our choice.
pub(crate) fn from(ours: &str, theirs: SocketAddr) -> TcpStream {
    let fd = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    bind(&fd, &ours.parse::<SocketAddr>().unwrap()).unwrap();
    connect(&fd, &theirs).unwrap();
    let stream = TcpStream::from(fd);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The JSON-RPC message in it.
    pub(crate) fn rpc(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }
}

/// The words of a tool's answer.
pub(crate) fn words_of(answer: &Value) -> &str {
    answer["result"]["content"][0]["text"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

/// The words of a tool's refusal.
pub(crate) fn refusal(answer: &Value) -> &str {
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert!(answer["result"].get("structuredContent").is_none(), "clients hold it to the output schema: {answer}");
    words_of(answer)
}
