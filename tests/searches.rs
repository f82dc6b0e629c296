//! Calls that search, behind the real gate: few at once, in places of their own, and so many a minute.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use auth::Caller;
use facts::host::{First, Host};
use kernel::failure::Failure;
use lanes::lane::{Lane, Room};
use rights::{grant::Grants, scope::Scope};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use systemmanager_mcp::{
    audit::{Audit, Sink},
    gate::{Answer, Call, Gate, Limits, Refusal},
};
use tokio::sync::{Barrier, Semaphore};
use tools::tool::{Entry, Tool, Turn};

use crate::common::{PATIENCE, Scratch};

/// How many may search at once.
const AT_ONCE: usize = 4;

static RUNNING: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);
static TOGETHER: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(AT_ONCE));
static END: Semaphore = Semaphore::const_new(0);
static HANGS: AtomicBool = AtomicBool::new(true);

/// Searches.
#[derive(Debug, Deserialize, JsonSchema)]
struct Searches {
    /// What it waits for.
    until: Option<Until>,
}

#[derive(Debug, Deserialize, JsonSchema)]
enum Until {
    /// As many as may do so search.
    Together,
    /// It is told to end.
    Told,
    /// A thread that nobody can call back comes to its end.
    Thread,
}

/// Looks.
#[derive(Debug, Deserialize, JsonSchema)]
struct Looks {}

#[derive(Debug, Serialize, JsonSchema)]
struct Done {
    done: bool,
}

impl Tool for Searches {
    const NAME: &'static str = "searches";
    const TITLE: &'static str = "Searches";
    const SCOPE: Scope = Scope::FilesRead;
    const LANE: Lane = Lane::Search;
    type Output = Done;

    async fn run(self, turn: &Turn) -> Result<Done, Failure> {
        MOST.fetch_max(RUNNING.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        match self.until {
            None => (),
            Some(Until::Together) => {
                TOGETHER.wait().await;
            }
            Some(Until::Told) => END.acquire().await.unwrap().forget(),
            Some(Until::Thread) => {
                turn.read(|_| {
                    while HANGS.load(Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    Ok(())
                })
                .await?;
            }
        }
        RUNNING.fetch_sub(1, Ordering::SeqCst);
        Ok(Done { done: true })
    }
}

impl Tool for Looks {
    const NAME: &'static str = "looks";
    const TITLE: &'static str = "Looks";
    const SCOPE: Scope = Scope::FilesRead;
    const LANE: Lane = Lane::Files;
    type Output = Done;

    async fn run(self, _: &Turn) -> Result<Done, Failure> {
        Ok(Done { done: true })
    }
}

static TOOLS: &[Entry] = &[Entry::of::<Searches>(), Entry::of::<Looks>()];

/// The numbers are one for all of these.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

struct Bench {
    gate: Gate,
    _scratch: Scratch,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        RUNNING.store(0, Ordering::SeqCst);
        MOST.store(0, Ordering::SeqCst);
        let scratch = Scratch::new();
        let audit = Audit::open(&Sink::File(scratch.path("audit.jsonl"))).unwrap();
        let host = Host::open("/".as_ref(), First::Comes).unwrap();
        Self { gate: Gate::new(TOOLS, host, Arc::new(audit), limits), _scratch: scratch }
    }

    async fn search(&self, until: Value) -> Result<Arc<Answer>, Failure> {
        self.call(&Caller::local(Grants::all()), "searches", json!({ "until": until })).await
    }

    async fn look(&self) -> Result<Arc<Answer>, Failure> {
        self.call(&Caller::local(Grants::all()), "looks", json!({})).await
    }

    async fn call(&self, caller: &Caller, tool: &str, arguments: Value) -> Result<Arc<Answer>, Failure> {
        let (caller, arguments): (_, Map<String, Value>) =
            (Arc::new(caller.clone()), arguments.as_object().unwrap().clone());
        let call = Call { tool, arguments, caller: &caller, peer: None, client: None, request: None, steps: None };
        self.gate.call(call, std::future::pending()).await.map_err(|refusal| match refusal {
            Refusal::Failed(failure) => failure,
            Refusal::NoSuchTool => panic!("{tool} is there"),
        })
    }
}

/// The usual limits, but for those of searches.
fn searching(change: impl FnOnce(&mut Room)) -> Limits {
    Limits::default().with(Lane::Search, change)
}

/// Waits until as many search as may do so.
async fn four_run() {
    let wait = async {
        while RUNNING.load(Ordering::SeqCst) < AT_ONCE {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("four search");
}

fn kinds(answers: Vec<Result<Arc<Answer>, Failure>>) -> Vec<&'static str> {
    answers.into_iter().map(|answer| answer.map_or_else(|failure| failure.kind(), |_| "ok")).collect()
}

#[tokio::test]
async fn four_search_at_once_and_the_others_wait_their_turn() {
    let _alone = ALONE.lock().await;
    let bench = Bench::new(Limits::default());
    // each waits until there are four, so that fewer would never end
    let answers = futures_util::future::join_all((0..AT_ONCE * 5).map(|_| bench.search(json!("Together")))).await;
    assert_eq!(kinds(answers), ["ok"; AT_ONCE * 5]);
    assert_eq!(MOST.load(Ordering::SeqCst), AT_ONCE);
}

#[tokio::test]
async fn one_more_than_may_wait_is_told_to_come_back() {
    let _alone = ALONE.lock().await;
    let bench = Bench::new(searching(|room| room.waiting = 2));
    let searches = futures_util::future::join_all((0..9).map(|_| bench.search(json!("Told"))));
    let then_end = async {
        // all nine have come in by then: they are asked in one go
        four_run().await;
        END.add_permits(6);
    };
    let (answers, ()) = tokio::join!(searches, then_end);
    let kinds = kinds(answers);
    assert_eq!(kinds.iter().filter(|kind| **kind == "ok").count(), 6, "{kinds:?}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "busy").count(), 3, "{kinds:?}");
}

#[tokio::test]
async fn searches_keep_nobody_from_looking() {
    let _alone = ALONE.lock().await;
    let bench = Bench::new(searching(|room| room.waiting = 0).with(Lane::Files, |room| {
        (room.running, room.waiting) = (1, 0);
    }));
    let searches = futures_util::future::join_all((0..AT_ONCE).map(|_| bench.search(json!("Told"))));
    let looks = async {
        four_run().await;
        let looked = bench.look().await.map(drop);
        let searched = bench.search(Value::Null).await.map(drop);
        END.add_permits(AT_ONCE);
        (looked, searched)
    };
    let (answers, (looked, searched)) = tokio::join!(searches, looks);
    assert_eq!(kinds(answers), ["ok"; AT_ONCE]);
    looked.unwrap();
    assert_eq!(searched.unwrap_err().kind(), "busy", "there are no more places, and none to wait");
}

#[tokio::test]
async fn a_search_that_outlives_its_caller_keeps_its_place() {
    let _alone = ALONE.lock().await;
    let bench = Bench::new(Limits { deadline: Duration::from_millis(100), ..searching(|room| room.waiting = 0) });
    HANGS.store(true, Ordering::SeqCst);
    let answers = futures_util::future::join_all((0..AT_ONCE).map(|_| bench.search(json!("Thread")))).await;
    assert_eq!(kinds(answers), ["timed_out"; AT_ONCE]);
    assert_eq!(bench.search(Value::Null).await.unwrap_err().kind(), "busy", "all four threads are still at it");
    HANGS.store(false, Ordering::SeqCst);
    let again = async {
        while bench.search(Value::Null).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("the places come back");
}

#[tokio::test]
async fn who_searches_too_often_is_told_when_to_come_back_and_others_are_not() {
    let _alone = ALONE.lock().await;
    let bench =
        Bench::new(searching(|room| room.per_minute = Some(3)).with(Lane::Write, |room| room.per_minute = Some(1)));
    for _ in 0..3 {
        bench.search(Value::Null).await.unwrap();
    }
    let failure = bench.search(Value::Null).await.unwrap_err();
    let words = failure.to_string();
    assert!(failure.kind() == "busy" && words.contains("searches") && words.contains("try again in"), "{words}");
    bench.look().await.unwrap();
    bench.call(&Caller::stdio(Grants::all()), "searches", json!({})).await.unwrap();
    // more of them from the next call on, as on SIGHUP
    bench.gate.set_limits(bench.gate.limits().with(Lane::Search, |room| room.per_minute = Some(6000)));
    tokio::time::sleep(Duration::from_millis(20)).await;
    bench.search(Value::Null).await.unwrap();
}
