//! Tools that no reviewer would let in, behind the real gate: what they do is their own trouble.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use auth::{Auth, Caller, token::Token};
use facts::host::{First, Host};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::{grant::Grants, scope::Scope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value, json};
use systemmanager_mcp::{
    audit::{Audit, RequestId, Sink},
    config::{Listener, Service, Who},
    gate::{Answer, Call, Gate, Limits, Refusal},
    server::{
        http::{Bounds, Hosts, Http},
        listen::{Door, Listeners, Most},
    },
};
use tokio_util::sync::CancellationToken;
use tools::tool::{Entry, Tool, Turn};

use crate::common::{PATIENCE, Request, Scratch, Sign, Wire, eventually, refusal};

const SECRET: &str = "hunter2-in-a-panic";

/// A report that may panic when it is written down.
#[derive(Debug, JsonSchema)]
struct Report(#[schemars(skip)] ());

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("{SECRET}, while the report was written")
    }
}

#[derive(Debug, Serialize, JsonSchema)]
struct Done {
    done: bool,
}

/// Panics.
#[derive(Debug, Deserialize, JsonSchema)]
struct Panics {
    at: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Panicked {
    report: Option<Report>,
}

impl Tool for Panics {
    const NAME: &'static str = "panics";
    const TITLE: &'static str = "Panics";
    const SCOPE: Scope = Scope::SystemRead;
    const LANE: Lane = Lane::Machine;
    type Output = Panicked;

    async fn run(self, turn: &Turn) -> Result<Panicked, Failure> {
        match self.at.as_str() {
            "start" => panic!("{SECRET}"),
            "thread" => turn.read(|_| panic!("{SECRET}, on a thread")).await,
            "await" => {
                tokio::task::yield_now().await;
                // an index nobody looked at, the usual way
                let rows: Vec<u8> = vec![];
                Ok(Panicked { report: (rows[self.at.len()] == 0).then_some(Report(())) })
            }
            "odd" => std::panic::panic_any(7_u8),
            _ => Ok(Panicked { report: Some(Report(())) }),
        }
    }
}

/// Panics where several wait for one answer.
#[derive(Debug, Deserialize, JsonSchema)]
struct SharedPanics {
    sign: usize,
}

impl Tool for SharedPanics {
    const NAME: &'static str = "shared_panics";
    const TITLE: &'static str = "Panics";
    const SCOPE: Scope = Scope::SystemRead;
    const LANE: Lane = Lane::Machine;
    const SHARED: bool = true;
    type Output = Done;

    async fn run(self, _: &Turn) -> Result<Done, Failure> {
        Sign::wait(self.sign).await;
        panic!("{SECRET}")
    }
}

/// Waits for ever, in a way that the runtime can end.
#[derive(Debug, Deserialize, JsonSchema)]
struct Endless {
    #[serde(default)]
    sign: usize,
}

impl Tool for Endless {
    const NAME: &'static str = "endless";
    const TITLE: &'static str = "Endless";
    const SCOPE: Scope = Scope::SystemRead;
    const LANE: Lane = Lane::Machine;
    type Output = Done;

    async fn run(self, _: &Turn) -> Result<Done, Failure> {
        Sign::begin(self.sign);
        std::future::pending().await
    }
}

/// The same, where others may wait for the answer.
#[derive(Debug, Deserialize, JsonSchema)]
struct SharedEndless {
    #[serde(default)]
    sign: usize,
}

impl Tool for SharedEndless {
    const NAME: &'static str = "shared_endless";
    const TITLE: &'static str = "Endless";
    const SCOPE: Scope = Scope::SystemRead;
    const LANE: Lane = Lane::Machine;
    const SHARED: bool = true;
    type Output = Done;

    async fn run(self, _: &Turn) -> Result<Done, Failure> {
        Sign::begin(self.sign);
        std::future::pending().await
    }
}

/// Hangs on a thread, as a read from a dead file server does.
#[derive(Debug, Deserialize, JsonSchema)]
struct Stuck {
    sign: usize,
}

impl Tool for Stuck {
    const NAME: &'static str = "stuck";
    const TITLE: &'static str = "Stuck";
    const SCOPE: Scope = Scope::SystemRead;
    const LANE: Lane = Lane::Machine;
    type Output = Done;

    async fn run(self, turn: &Turn) -> Result<Done, Failure> {
        turn.read(move |_| {
            Sign::wait_on_thread(self.sign);
            Ok(Done { done: true })
        })
        .await
    }
}

/// Says far too much.
#[derive(Debug, Deserialize, JsonSchema)]
struct Huge {
    rows: usize,
    width: usize,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Long {
    list: Rows,
    next_cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Rows {
    columns: [&'static str; 2],
    rows: Vec<(usize, String)>,
}

impl Tool for Huge {
    const NAME: &'static str = "huge";
    const TITLE: &'static str = "Huge";
    const SCOPE: Scope = Scope::SystemRead;
    const LANE: Lane = Lane::Machine;
    type Output = Long;

    async fn run(self, _: &Turn) -> Result<Long, Failure> {
        let rows = (0..self.rows).map(|row| (row, "\u{1f4a9}é x".repeat(self.width / 9 + 1))).collect();
        Ok(Long { list: Rows { columns: ["number", "words"], rows }, next_cursor: Some("more".to_owned()) })
    }
}

/// Gives back what others wrote.
#[derive(Debug, Deserialize, JsonSchema)]
struct Echo {
    text: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Echoed {
    text: String,
    list: Vec<String>,
}

impl Tool for Echo {
    const NAME: &'static str = "echo";
    const TITLE: &'static str = "Echo";
    const SCOPE: Scope = Scope::SystemRead;
    const LANE: Lane = Lane::Machine;
    const UNTRUSTED: Option<&'static str> = Some("text");
    const AUDITED: &'static [&'static str] = &["allowed"];
    type Output = Echoed;

    async fn run(self, _: &Turn) -> Result<Echoed, Failure> {
        Ok(Echoed { list: vec![self.text.clone()], text: self.text })
    }
}

static TOOLS: &[Entry] = &[
    Entry::of::<Panics>(),
    Entry::of::<SharedPanics>(),
    Entry::of::<Endless>(),
    Entry::of::<SharedEndless>(),
    Entry::of::<Stuck>(),
    Entry::of::<Huge>(),
    Entry::of::<Echo>(),
];

struct Bench {
    gate: Arc<Gate>,
    scratch: Scratch,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let scratch = Scratch::new();
        let audit = Audit::open(&Sink::File(scratch.path("audit.jsonl"))).unwrap();
        let host = Host::open("/".as_ref(), First::Waits).unwrap();
        Self { gate: Arc::new(Gate::new(TOOLS, host, Arc::new(audit), limits)), scratch }
    }

    fn patient() -> Self {
        Self::new(Limits::default())
    }

    /// With a deadline that ends soon.
    fn hasty() -> Self {
        Self::new(Limits { deadline: Duration::from_millis(100), ..Limits::default() })
    }

    /// From the next call on there is time enough: a call that should be answered is not to fail because the machine is busy.
    fn calms_down(&self) {
        self.gate.set_limits(Limits { deadline: PATIENCE, ..self.gate.limits() });
    }

    async fn call(&self, tool: &str, arguments: Value) -> Result<Arc<Answer>, Failure> {
        let caller = Arc::new(Caller::local(Grants::all()));
        let arguments: Map<String, Value> = arguments.as_object().unwrap().clone();
        let call = Call {
            tool,
            arguments,
            caller: &caller,
            peer: None,
            client: None,
            request: Some(RequestId::Number(1)),
            steps: None,
        };
        match self.gate.call(call, std::future::pending()).await {
            Ok(answer) => Ok(answer),
            Err(Refusal::Failed(failure)) => Err(failure),
            Err(Refusal::NoSuchTool) => panic!("{tool} is there"),
        }
    }

    fn audit(&self) -> Vec<Value> {
        self.scratch.read("audit.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A server before this gate, and a token for it. It ends with the runtime.
    async fn serve(&self) -> (SocketAddr, Token) {
        let token = Token::generate().unwrap();
        let auth = Auth::trial(&token, Grants::all()).unwrap();
        let http = Http::new(Arc::clone(&self.gate), Arc::new(auth), Hosts::default(), Bounds::default());
        let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let listener = Listener { bind: address, tls: None, serves: Service::ALL.to_vec(), who: Who::Tokens };
        let listeners = Listeners::new(http, vec![Door::new(&listener, None)], Most { in_all: 100, per_peer: 100 });
        tokio::spawn(async move { listeners.serve(vec![socket], CancellationToken::new()).await });
        (address, token)
    }
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_tells_the_caller_nothing() {
    let bench = Bench::patient();
    for at in ["start", "thread", "await", "odd", "report"] {
        let failure = bench.call("panics", json!({ "at": at })).await.unwrap_err();
        assert_eq!(failure.kind(), "internal", "{at}");
        assert!(!failure.to_string().contains(SECRET), "{at}: {failure}");
        let record = bench.audit().pop().unwrap();
        assert_eq!((&record["outcome"], &record["kind"]), (&json!("error"), &json!("internal")), "{at}: {record}");
        assert!(!record.to_string().contains(SECRET), "{record}");
    }
    assert!(bench.call("echo", json!({ "text": "alive" })).await.is_ok());
}

#[tokio::test]
async fn all_who_wait_for_a_shared_answer_learn_of_its_panic() {
    let bench = Bench::patient();
    let sign = Sign::new();
    let calls =
        futures_util::future::join_all((0..10).map(|_| bench.call("shared_panics", json!({ "sign": sign.number }))));
    let then_panic = async {
        sign.until_begun(1).await;
        // all ten have come in by then: they are asked in one go
        assert_eq!(sign.begun(), 1, "one is asked for all");
        sign.release();
    };
    let ended = tokio::time::timeout(PATIENCE, async { tokio::join!(calls, then_panic).0 }).await;
    for answer in ended.expect("nobody is left waiting") {
        assert_eq!(answer.unwrap_err().kind(), "internal");
    }
    assert_eq!(bench.audit().len(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_behind_http_is_an_answer_and_the_connection_lives() {
    let bench = Bench::patient();
    let (address, token) = bench.serve().await;
    let ask = move || {
        let mut wire = Wire::to(address);
        let call = |at: &str| Request::call("panics", json!({ "at": at })).token(token.expose());
        let answers: Vec<Value> = ["start", "thread", "report"].map(|at| wire.ask(&call(at)).rpc()).into();
        let echo = Request::call("echo", json!({ "text": "alive" })).token(token.expose());
        (answers, wire.ask(&echo).rpc())
    };
    let (answers, last) = tokio::task::spawn_blocking(ask).await.unwrap();
    for answer in answers {
        let words = refusal(&answer);
        assert!(words.starts_with("internal: ") && !words.contains(SECRET), "{words}");
    }
    assert_eq!(last["result"]["structuredContent"]["text"], "alive", "{last}");
}

#[tokio::test]
async fn a_tool_that_never_ends_is_ended() {
    let bench = Bench::hasty();
    let sign = Sign::new();
    for (before, tool) in ["endless", "shared_endless", "shared_endless"].into_iter().enumerate() {
        let call = bench.call(tool, json!({ "sign": sign.number }));
        // it is still at work when it is answered: nothing lets it end
        let failure = tokio::time::timeout(PATIENCE, call).await.expect("it is ended").unwrap_err();
        assert_eq!(failure.kind(), "timed_out", "{tool}: {failure}");
        assert_eq!((sign.begun(), &bench.audit().pop().unwrap()["kind"]), (before + 1, &json!("timed_out")), "{tool}");
    }
    bench.calms_down();
    assert!(bench.call("echo", json!({ "text": "alive" })).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_hangs_on_a_thread_keeps_nobody_waiting() {
    let bench = Bench::hasty();
    let sign = Sign::new();
    let calls = futures_util::future::join_all((0..10).map(|_| bench.call("stuck", json!({ "sign": sign.number }))));
    // nothing lets the threads end before both have been answered
    let answers = tokio::time::timeout(PATIENCE, calls).await.expect("the deadline holds for threads too");
    assert!(answers.into_iter().all(|answer| answer.unwrap_err().kind() == "timed_out"));
    sign.until_begun(10).await;
    bench.calms_down();
    assert!(bench.call("echo", json!({ "text": "alive" })).await.is_ok());
    sign.release();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_that_outlives_its_caller_keeps_its_place() {
    let bench =
        Bench::new(Limits { deadline: Duration::from_millis(100), ..Limits::default() }.with(Lane::Machine, |room| {
            (room.running, room.waiting) = (2, 0);
        }));
    let sign = Sign::new();
    for _ in 0..2 {
        let failure = bench.call("stuck", json!({ "sign": sign.number })).await.unwrap_err();
        assert_eq!(failure.kind(), "timed_out");
    }
    bench.calms_down();
    // both callers are gone, both threads are not
    assert_eq!(bench.call("echo", json!({ "text": "x" })).await.unwrap_err().kind(), "busy");
    sign.release();
    let again = async {
        while bench.call("echo", json!({ "text": "x" })).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("the places come back");
}

#[tokio::test]
async fn one_more_than_may_wait_is_told_to_come_back() {
    let bench =
        Bench::new(Limits { deadline: Duration::from_millis(500), ..Limits::default() }.with(Lane::Machine, |room| {
            (room.running, room.waiting) = (1, 1);
        }));
    let calls = (0..5).map(|_| bench.call("endless", json!({})));
    let kinds: Vec<_> =
        futures_util::future::join_all(calls).await.into_iter().map(|answer| answer.unwrap_err().kind()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "timed_out").count(), 2, "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "busy").count(), 3, "{kinds:?}");
    bench.calms_down();
    assert!(bench.call("echo", json!({ "text": "alive" })).await.is_ok(), "the places were given back");
    assert_eq!(bench.audit().iter().filter(|record| record["kind"] == "busy").count(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_cancels_its_call() {
    let bench = Bench::patient();
    let (address, token) = bench.serve().await;
    tokio::task::spawn_blocking(move || {
        for tool in ["endless", "shared_endless"] {
            let sign = Sign::new();
            let mut wire = Wire::to(address);
            wire.send(Request::call(tool, json!({ "sign": sign.number })).token(token.expose()).bytes()).unwrap();
            eventually("it runs", || (sign.begun() == 1).then_some(()));
            drop(wire);
        }
        eventually("both are on record", || (bench.audit().len() == 2).then_some(()));
        for record in bench.audit() {
            assert_eq!((&record["outcome"], &record["kind"]), (&json!("error"), &json!("cancelled")), "{record}");
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_answer_far_too_long_is_cut_and_says_so() {
    let bench = Bench::patient();
    let bpe = tiktoken_rs::o200k_base_singleton();
    for (rows, width) in [(5_000, 2_000), (50_000, 1)] {
        let answer = bench.call("huge", json!({ "rows": rows, "width": width })).await.unwrap();
        let structured = answer.structured.to_string();
        for (form, text) in [("text", &answer.text), ("structured", &structured)] {
            let cost = bpe.encode_ordinary(text).len();
            assert!(cost < 25_000, "{rows} of {width}: the {form} form takes {cost} tokens");
            assert!(text.contains("left out"), "{rows} of {width}: the {form} form does not say that it was cut");
        }
        let kept = answer.structured["list"]["rows"].as_array().unwrap();
        assert!(!kept.is_empty() && kept.len() < rows, "{}", kept.len());
        assert_eq!(answer.structured["next_cursor"], Value::Null, "the cursor would lead past what was left out");
    }
}

#[tokio::test]
async fn a_long_string_is_cut_in_both_forms() {
    let bench = Bench::patient();
    let answer = bench.call("echo", json!({ "text": "word ".repeat(1_000_000) })).await.unwrap();
    assert!(answer.text.len() < 20_000 && answer.structured.to_string().len() < 20_000);
}

#[tokio::test]
async fn what_others_wrote_is_made_harmless_and_marked() {
    let bench = Bench::patient();
    let evil = "a\u{1b}[31mred\u{1b}[0m\u{202e}b\u{200b}c\u{0}d\u{9b}2Je\u{feff}\u{e0041}f";
    let answer = bench.call("echo", json!({ "text": evil })).await.unwrap();
    for text in [
        answer.text.clone(),
        answer.structured["text"].as_str().unwrap().to_owned(),
        answer.structured["list"][0].as_str().unwrap().to_owned(),
    ] {
        let bad = |c: char| (c.is_control() && c != '\n') || "\u{202e}\u{200b}\u{feff}\u{e0041}".contains(c);
        assert!(!text.contains(bad), "{text:?}");
    }
    assert_eq!(answer.structured["untrusted"], "text");
    for secret in
        ["password=hunter2secret", "Authorization: Bearer abcdefghijklmnop1234567890", "--token hunter2secret"]
    {
        let answer = bench.call("echo", json!({ "text": format!("prog {secret}") })).await.unwrap();
        let both = answer.text.clone() + &answer.structured.to_string();
        assert!(!both.contains("hunter2secret") && !both.contains("abcdefghijklmnop"), "{both}");
        assert!(both.contains("[redacted]"), "{both}");
    }
}

#[tokio::test]
async fn only_arguments_that_the_tool_lists_are_recorded() {
    let bench = Bench::patient();
    let arguments = json!({ "text": "hunter2", "allowed": "kept", "other": "hunter2" });
    bench.call("echo", arguments).await.unwrap();
    let record = bench.audit().pop().unwrap();
    assert_eq!(record["args"], json!({ "allowed": "kept" }));
    assert!(!record.to_string().contains("hunter2"));
    bench.call("echo", json!({ "text": "x", "allowed": "y".repeat(100_000) })).await.unwrap();
    assert!(bench.scratch.read("audit.jsonl").lines().last().unwrap().len() < 6_000);
}
