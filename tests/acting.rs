//! Calls that act, behind the real gate: on disk first, then whole, whoever still waits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use auth::Caller;
use facts::host::{First, Host};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::{
    grant::Grants,
    scope::{Action, Scope},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use systemmanager_mcp::{
    audit::{Audit, Sink},
    gate::{Answer, Call, Gate, Limits, Refusal},
};
use tokio::sync::mpsc;
use tools::tool::{Acting, Aim, Entry, Step, Tool, Turn};

use crate::common::{PATIENCE, Scratch, Sign, records};

static DONE: AtomicUsize = AtomicUsize::new(0);

/// Changes a number, once it may.
#[derive(Debug, Deserialize, JsonSchema)]
struct Counts {
    by: usize,
    #[serde(default)]
    sign: usize,
    #[serde(default)]
    aims_wrong: bool,
    #[serde(default)]
    panics: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Counted {
    by: usize,
}

impl Acting for Counts {
    const NAME: &'static str = "counts";
    const TITLE: &'static str = "Counts";
    const SCOPE: Scope = Scope::DockerControl;
    const ACTIONS: &[Action] = &[Action::Stop];
    const LANE: Lane = Lane::Control;
    const DESTRUCTIVE: bool = false;
    const IDEMPOTENT: bool = false;
    const LOOK: &'static str = "look at the number";
    type Output = Counted;
    type Target = usize;

    async fn aim(&self, _: &Turn) -> Result<Aim<usize>, Failure> {
        if self.aims_wrong {
            return Err(Failure::Forbidden("not that one".to_owned()));
        }
        Ok(Aim { target: self.by, name: format!("the number, by {}", self.by) })
    }

    async fn act(self, turn: &Turn, by: usize) -> Result<Counted, Failure> {
        turn.tell(Step { done: 0.0, of: Some(1.0), words: "begins".to_owned() });
        Sign::wait(self.sign).await;
        assert!(!self.panics, "in the middle");
        DONE.fetch_add(by, Ordering::SeqCst);
        Ok(Counted { by })
    }
}

/// Tells the number, in one reading for all who ask at once.
#[derive(Debug, Deserialize, JsonSchema)]
struct Number {
    #[serde(default)]
    sign: usize,
}

impl Tool for Number {
    const NAME: &'static str = "number";
    const TITLE: &'static str = "Number";
    const SCOPE: Scope = Scope::DockerRead;
    const LANE: Lane = Lane::Docker;
    const SHARED: bool = true;
    type Output = Counted;

    async fn run(self, _: &Turn) -> Result<Counted, Failure> {
        let by = DONE.load(Ordering::SeqCst);
        Sign::wait(self.sign).await;
        Ok(Counted { by })
    }
}

static TOOLS: &[Entry] = &[Entry::acting::<Counts>(), Entry::of::<Number>()];

struct Bench {
    gate: Gate,
    scratch: Scratch,
    caller: Arc<Caller>,
}

impl Bench {
    fn new(audit: Audit, scratch: Scratch, acting: u32) -> Self {
        let host = Host::open("/".as_ref(), First::Comes).unwrap();
        let limits = Limits::default().with(Lane::Control, |room| room.per_minute = Some(acting));
        let gate = Gate::new(TOOLS, host, Arc::new(audit), limits);
        Self { gate, scratch, caller: Arc::new(Caller::local(Grants::all())) }
    }

    fn usual() -> Self {
        let scratch = Scratch::new();
        Self::new(Audit::open(&Sink::File(scratch.path("audit.jsonl"))).unwrap(), scratch, 6000)
    }

    async fn call(&self, arguments: Value, cancelled: impl Future<Output = ()>) -> Result<Arc<Answer>, Failure> {
        self.told(arguments, cancelled, None).await
    }

    async fn told(
        &self,
        arguments: Value,
        cancelled: impl Future<Output = ()>,
        steps: Option<mpsc::Sender<Step>>,
    ) -> Result<Arc<Answer>, Failure> {
        self.tool("counts", arguments, cancelled, steps).await
    }

    async fn number(&self, sign: usize) -> Value {
        let answer = self.tool("number", json!({ "sign": sign }), std::future::pending(), None).await.unwrap();
        answer.structured["by"].clone()
    }

    async fn tool(
        &self,
        tool: &str,
        arguments: Value,
        cancelled: impl Future<Output = ()>,
        steps: Option<mpsc::Sender<Step>>,
    ) -> Result<Arc<Answer>, Failure> {
        let arguments = arguments.as_object().unwrap().clone();
        let call = Call { tool, arguments, caller: &self.caller, peer: None, client: None, request: None, steps };
        self.gate.call(call, cancelled).await.map_err(|refusal| match refusal {
            Refusal::Failed(failure) => failure,
            Refusal::NoSuchTool => panic!("it is there"),
        })
    }

    /// Waits for a first record.
    async fn until_recorded(&self) {
        let wait = async {
            while !self.scratch.read("audit.jsonl.actions").contains('\n') {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.expect("something is on record");
    }

    /// Phase, outcome and target of each record: attempts and their results, then what changed nothing.
    fn records(&self) -> Vec<(String, String, String)> {
        let words = |record: &Value, key: &str| record[key].as_str().unwrap_or("-").to_owned();
        let files = ["audit.jsonl.actions", "audit.jsonl"].map(|name| self.scratch.path(name));
        let records = files.iter().flat_map(|file| records(file));
        records.map(|record| (words(&record, "phase"), words(&record, "outcome"), words(&record, "target"))).collect()
    }
}

/// The number is one for all of these.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test]
async fn the_attempt_stands_before_the_result_and_names_what_is_changed() {
    let _alone = ALONE.lock().await;
    let bench = Bench::usual();
    bench.call(json!({ "by": 1 }), std::future::pending()).await.unwrap();
    let target = "the number, by 1".to_owned();
    let (attempt, result) = (("attempt".to_owned(), "-".to_owned()), ("result".to_owned(), "ok".to_owned()));
    assert_eq!(bench.records(), [(attempt.0, attempt.1, target.clone()), (result.0, result.1, target)]);
    let failure = bench.call(json!({ "by": 1, "aims_wrong": true }), std::future::pending()).await.unwrap_err();
    assert_eq!(failure.kind(), "forbidden");
    assert_eq!(bench.records()[2..], [("result".to_owned(), "error".to_owned(), "-".to_owned())]);
}

#[tokio::test]
async fn what_cannot_be_put_on_disk_is_not_done() {
    let _alone = ALONE.lock().await;
    let scratch = Scratch::new();
    // every write to it fails: there is never room
    let audit = Audit::open(&Sink::File(scratch.path("audit.jsonl"))).unwrap();
    let log = scratch.path("audit.jsonl.actions");
    let bench = Bench::new(audit, scratch, 6000);
    std::fs::remove_file(&log).unwrap();
    std::fs::create_dir(&log).unwrap();
    let before = DONE.load(Ordering::SeqCst);
    let failure = bench.call(json!({ "by": 1 }), std::future::pending()).await.unwrap_err();
    assert_eq!(failure.kind(), "unaudited");
    assert_eq!(DONE.load(Ordering::SeqCst), before, "it was done all the same");
}

#[tokio::test]
async fn what_was_done_and_could_not_be_recorded_is_said_to_be_done() {
    let _alone = ALONE.lock().await;
    let bench = Bench::usual();
    let before = DONE.load(Ordering::SeqCst);
    let log = bench.scratch.path("audit.jsonl.actions");
    let sign = Sign::new();
    let call = bench.call(json!({ "by": 1, "sign": sign.number }), std::future::pending());
    let spoil = async {
        // between the attempt and the result
        bench.until_recorded().await;
        std::fs::remove_file(&log).unwrap();
        std::fs::create_dir(&log).unwrap();
        sign.release();
    };
    let (answer, ()) = tokio::join!(call, spoil);
    let failure = answer.unwrap_err();
    assert_eq!((failure.kind(), DONE.load(Ordering::SeqCst)), ("unrecorded", before + 1));
    assert!(failure.to_string().contains("it was done"), "{failure}");
}

#[tokio::test]
async fn a_caller_who_leaves_does_not_stop_it() {
    let _alone = ALONE.lock().await;
    let bench = Bench::usual();
    let before = DONE.load(Ordering::SeqCst);
    let sign = Sign::new();
    let call = bench.call(json!({ "by": 5, "sign": sign.number }), bench.until_recorded());
    let failure = call.await.unwrap_err();
    assert_eq!(failure.kind(), "cancelled");
    assert_eq!((DONE.load(Ordering::SeqCst), bench.gate.acting()), (before, 1));
    sign.release();
    bench.gate.rest().await;
    assert_eq!((DONE.load(Ordering::SeqCst), bench.gate.acting()), (before + 5, 0));
    assert_eq!(bench.records()[1].1, "ok", "what became of it is on record");
}

#[tokio::test]
async fn who_has_acted_sees_what_came_of_it_and_not_what_was_read_a_moment_before() {
    let _alone = ALONE.lock().await;
    let bench = Bench::usual();
    let before = bench.number(0).await.as_u64().unwrap();
    // this one reads before the act, and is still at it after
    let sign = Sign::new();
    let slow = bench.number(sign.number);
    let act = async {
        sign.until_begun(1).await;
        bench.call(json!({ "by": 7 }), std::future::pending()).await.unwrap();
        let at_once = bench.number(0).await;
        let (again, ()) = tokio::join!(bench.number(sign.number), async {
            // it reads for itself, while the one from before is still at it
            sign.until_begun(2).await;
            sign.release();
        });
        (at_once, again)
    };
    let (slow, after) = tokio::join!(slow, act);
    assert_eq!((slow, after), (json!(before), (json!(before + 7), json!(before + 7))));
}

#[tokio::test]
async fn a_panic_in_the_middle_is_on_record_and_gives_its_place_back() {
    let _alone = ALONE.lock().await;
    let bench = Bench::usual();
    for _ in 0..40 {
        let failure = bench.call(json!({ "by": 1, "panics": true }), std::future::pending()).await.unwrap_err();
        assert_eq!(failure.kind(), "internal");
    }
    assert_eq!(bench.records().last().unwrap().1, "error");
    bench.call(json!({ "by": 1 }), std::future::pending()).await.unwrap();
}

#[tokio::test]
async fn so_many_act_at_once_and_no_more() {
    let _alone = ALONE.lock().await;
    let bench = Bench::usual();
    let before = DONE.load(Ordering::SeqCst);
    let (sign, ended) = (Sign::new(), AtomicUsize::new(0));
    let calls = (0..40).map(|_| async {
        let answer = bench.call(json!({ "by": 1, "sign": sign.number }), std::future::pending()).await;
        ended.fetch_add(1, Ordering::SeqCst);
        answer
    });
    let then_end = async {
        let all = async {
            while sign.begun() + ended.load(Ordering::SeqCst) < 40 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("each acts or is refused");
        sign.release();
    };
    let (answers, ()) = tokio::join!(futures_util::future::join_all(calls), then_end);
    let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(DONE.load(Ordering::SeqCst), before + done.len());
    assert!(!done.is_empty() && !refused.is_empty());
    assert!(refused.into_iter().all(|answer| answer.unwrap_err().kind() == "busy"));
}

#[tokio::test]
async fn who_acts_too_often_is_told_when_to_come_back() {
    let _alone = ALONE.lock().await;
    let scratch = Scratch::new();
    let bench = Bench::new(Audit::open(&Sink::File(scratch.path("audit.jsonl"))).unwrap(), scratch, 3);
    for _ in 0..3 {
        bench.call(json!({ "by": 1 }), std::future::pending()).await.unwrap();
    }
    let failure = bench.call(json!({ "by": 1 }), std::future::pending()).await.unwrap_err();
    assert!(failure.kind() == "busy" && failure.to_string().contains("try again in"), "{failure}");
}

#[tokio::test]
async fn whoever_asks_is_told_how_far_it_has_come() {
    let _alone = ALONE.lock().await;
    let bench = Bench::usual();
    let (steps, mut told) = mpsc::channel(4);
    bench.told(json!({ "by": 1 }), std::future::pending(), Some(steps)).await.unwrap();
    assert_eq!(told.recv().await.map(|step| step.words), Some("begins".to_owned()));
    assert_eq!(told.recv().await, None, "nothing is told of a call that has ended");
}
