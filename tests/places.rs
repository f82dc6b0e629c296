//! Lanes and their places, behind the real gate: what hangs or floods in one lane stops no other, and one caller has its share of each.

use std::sync::Arc;

use auth::{Caller, Method};
use facts::host::{First, Host};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::{
    grant::Grants,
    scope::{Action, Scope},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use systemmanager_mcp::{
    audit::{Audit, Sink},
    gate::{Answer, Call, Gate, Limits, Listed, Refusal},
};
use tools::tool::{Acting, Aim, Entry, Tool, Turn};

use crate::common::{PATIENCE, Scratch, Sign};

#[derive(Debug, Serialize, JsonSchema)]
struct Done {
    done: bool,
}

/// A call that reads until its sign.
macro_rules! reading {
    ($tool:ident, $name:literal, $lane:expr, $read:expr) => {
        #[doc = $name]
        #[derive(Debug, Deserialize, JsonSchema)]
        struct $tool {
            sign: usize,
        }

        impl Tool for $tool {
            const NAME: &'static str = $name;
            const TITLE: &'static str = $name;
            const SCOPE: Scope = Scope::SystemRead;
            const LANE: Lane = $lane;
            type Output = Done;

            async fn run(self, turn: &Turn) -> Result<Done, Failure> {
                let read: Work = $read;
                read(self.sign, turn).await.map(|()| Done { done: true })
            }
        }
    };
}

/// A call that acts until its sign.
macro_rules! acting {
    ($tool:ident, $name:literal, $lane:expr, $act:expr) => {
        #[doc = $name]
        #[derive(Debug, Deserialize, JsonSchema)]
        struct $tool {
            sign: usize,
        }

        impl Acting for $tool {
            const NAME: &'static str = $name;
            const TITLE: &'static str = $name;
            const SCOPE: Scope = Scope::DockerControl;
            const ACTIONS: &[Action] = &[Action::Stop];
            const LANE: Lane = $lane;
            const DESTRUCTIVE: bool = false;
            const IDEMPOTENT: bool = false;
            const LOOK: &'static str = "look";
            type Output = Done;
            type Target = ();

            async fn aim(&self, _: &Turn) -> Result<Aim<()>, Failure> {
                Ok(Aim { target: (), name: "it".to_owned() })
            }

            async fn act(self, turn: &Turn, (): ()) -> Result<Done, Failure> {
                let act: Work = $act;
                act(self.sign, turn).await.map(|()| Done { done: true })
            }
        }
    };
}

type Work = fn(usize, &Turn) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + '_>>;

/// Until the sign, in a way that the runtime can end.
const WAITS: Work = |sign, _| {
    Box::pin(async move {
        Sign::wait(sign).await;
        Ok(())
    })
};

/// Until the sign, on a thread that nobody can call back.
const HANGS: Work = |sign, turn| {
    Box::pin(turn.read(move |_| {
        Sign::wait_on_thread(sign);
        Ok(())
    }))
};

reading!(Reads, "reads", Lane::Machine, WAITS);
reading!(Searches, "searches", Lane::Search, WAITS);
reading!(InMachine, "in_machine", Lane::Machine, HANGS);
reading!(InDocker, "in_docker", Lane::Docker, HANGS);
reading!(InFiles, "in_files", Lane::Files, HANGS);
reading!(InBulk, "in_bulk", Lane::Files, |sign, turn| Box::pin(async move {
    turn.move_to(Lane::Bulk).await?;
    HANGS(sign, turn).await
}));
reading!(InSearch, "in_search", Lane::Search, HANGS);
acting!(InWrite, "in_write", Lane::Write, HANGS);
acting!(InDeploy, "in_deploy", Lane::Deploy, HANGS);
acting!(InControl, "in_control", Lane::Control, HANGS);
acting!(Changes, "changes", Lane::Deploy, WAITS);
acting!(Controls, "controls", Lane::Control, WAITS);
acting!(Pulls, "pulls", Lane::Deploy, |sign, turn| Box::pin(turn.pull(WAITS(sign, turn))));

static TOOLS: &[Entry] = &[
    Entry::of::<Reads>(),
    Entry::of::<Searches>(),
    Entry::of::<InMachine>(),
    Entry::of::<InDocker>(),
    Entry::of::<InFiles>(),
    Entry::of::<InBulk>(),
    Entry::of::<InSearch>(),
    Entry::acting::<InWrite>(),
    Entry::acting::<InDeploy>(),
    Entry::acting::<InControl>(),
    Entry::acting::<Changes>(),
    Entry::acting::<Controls>(),
    Entry::acting::<Pulls>(),
];

/// A call that hangs in each lane. Pulls and lists have none of their own.
const HANGING: [(Lane, &str); 8] = [
    (Lane::Machine, "in_machine"),
    (Lane::Docker, "in_docker"),
    (Lane::Files, "in_files"),
    (Lane::Bulk, "in_bulk"),
    (Lane::Search, "in_search"),
    (Lane::Write, "in_write"),
    (Lane::Deploy, "in_deploy"),
    (Lane::Control, "in_control"),
];

#[derive(Clone)]
struct Bench {
    gate: Arc<Gate>,
    scratch: Arc<Scratch>,
}

type Ending = tokio::task::JoinHandle<Result<Arc<Answer>, Failure>>;

impl Bench {
    fn new() -> Self {
        Self::acting(6000)
    }

    /// One caller may act so many times a minute.
    fn acting(acting: u32) -> Self {
        let scratch = Scratch::new();
        let audit = Audit::open(&Sink::File(scratch.path("audit.jsonl"))).unwrap();
        let host = Host::open("/".as_ref(), First::Comes).unwrap();
        let mut limits = Limits { deadline: PATIENCE, ..Limits::default() };
        for lane in [Lane::Write, Lane::Deploy, Lane::Control] {
            limits.lanes[lane].per_minute = Some(acting);
        }
        Self { gate: Arc::new(Gate::new(TOOLS, host, Arc::new(audit), limits)), scratch: Arc::new(scratch) }
    }

    /// The token of this name makes a call that ends with its sign. `cancelled` is when its client goes.
    async fn call(
        &self,
        token: &str,
        tool: &str,
        sign: usize,
        cancelled: impl Future<Output = ()>,
    ) -> Result<Arc<Answer>, Failure> {
        let caller = caller(token);
        let arguments = json!({ "sign": sign }).as_object().unwrap().clone();
        let call = Call { tool, arguments, caller: &caller, peer: None, client: None, request: None, steps: None };
        self.gate.call(call, cancelled).await.map_err(|refusal| match refusal {
            Refusal::Failed(failure) => failure,
            Refusal::NoSuchTool => panic!("{tool} is there"),
        })
    }

    async fn list(&self, token: &str) -> Result<Arc<Listed>, Failure> {
        let (caller, tool, arguments) = (caller(token), "tools/list", Default::default());
        let call = Call { tool, arguments, caller: &caller, peer: None, client: None, request: None, steps: None };
        self.gate.list(&call, std::future::pending()).await
    }

    /// So many of them at once, each until its sign or refused.
    fn calls(&self, count: usize, token: &str, tool: &'static str, sign: &Sign) -> Vec<Ending> {
        let one = |_| {
            let (bench, token, sign) = (self.clone(), token.to_owned(), sign.number);
            tokio::spawn(async move { bench.call(&token, tool, sign, std::future::pending()).await })
        };
        (0..count).map(one).collect()
    }

    /// A call that ends at once has an answer.
    async fn answers(&self, token: &str, tool: &str) {
        let answer = tokio::time::timeout(PATIENCE, self.call(token, tool, 0, std::future::pending())).await;
        answer.expect("others have places").unwrap();
    }
}

fn caller(token: &str) -> Arc<Caller> {
    Arc::new(Caller { id: token.into(), name: token.into(), grants: Grants::all(), auth: Method::Token })
}

/// How many were refused as busy, once all have ended.
async fn refused(calls: Vec<Ending>) -> usize {
    let ended = futures_util::future::join_all(calls).await;
    let failures: Vec<_> = ended.into_iter().filter_map(|call| call.unwrap().err()).collect();
    assert!(failures.iter().all(|failure| failure.kind() == "busy"), "{failures:?}");
    failures.len()
}

/// Waits until so many of these have ended, which is by being refused.
async fn until_refused(calls: &[Ending], count: usize) {
    let wait = async {
        while calls.iter().filter(|call| call.is_finished()).count() < count {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("those too many are refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_hangs_in_one_lane_every_other_lane_answers() {
    for (lane, hangs) in HANGING {
        let (bench, sign) = (Bench::new(), Sign::new());
        let (running, parts) = (bench.gate.limits().lanes[lane].running, lane.spec().parts);
        let calls: Vec<_> = (0..parts)
            .flat_map(|token| bench.calls(running / parts, &format!("token {token}"), hangs, &sign))
            .collect();
        sign.until_begun(running).await;
        assert_eq!(sign.begun(), running, "{lane:?}: all its places are held");
        for (other, tool) in HANGING {
            // a long reading begins as a short one
            if other != lane && (lane, other) != (Lane::Files, Lane::Bulk) {
                bench.answers("another", tool).await;
            }
        }
        bench.list("another").await.unwrap();
        assert!(calls.iter().all(|call| !call.is_finished()), "{lane:?}: they still hang");
        sign.release();
        assert_eq!(refused(calls).await, 0, "{lane:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_caller_that_hangs_in_a_lane_leaves_places_of_it_to_others() {
    for (lane, hangs) in HANGING {
        let (bench, sign) = (Bench::new(), Sign::new());
        let share = bench.gate.limits().lanes[lane].running / lane.spec().parts;
        let calls = bench.calls(share, "one", hangs, &sign);
        sign.until_begun(share).await;
        bench.answers("another", hangs).await;
        sign.release();
        assert_eq!(refused(calls).await, 0, "{lane:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_reading_gives_its_place_among_the_short_ones_back_while_it_waits() {
    let (bench, sign) = (Bench::new(), Sign::new());
    // four callers with more of them than there are places for readings of files
    let tokens = ["one", "two", "three", "four"];
    let calls: Vec<_> = tokens.iter().flat_map(|token| bench.calls(20, token, "in_bulk", &sign)).collect();
    sign.until_begun(bench.gate.limits().lanes[Lane::Bulk].running).await;
    for token in tokens {
        bench.answers(token, "in_files").await;
    }
    sign.release();
    assert_eq!(refused(calls).await, 0, "the others waited for their turn");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_would_wait_for_calls_that_hang_is_told_so_at_once() {
    let (bench, sign) = (Bench::new(), Sign::new());
    bench.gate.set_limits(Limits { deadline: std::time::Duration::from_millis(50), ..bench.gate.limits() });
    let calls = bench.calls(4, "one", "in_files", &sign);
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap_err().kind(), "timed_out");
    }
    sign.until_begun(4).await;
    bench.gate.set_limits(Limits { deadline: std::time::Duration::from_millis(1), ..bench.gate.limits() });
    let failure = bench.call("one", "in_files", 0, std::future::pending()).await.unwrap_err();
    assert!(failure.kind() == "busy" && failure.to_string().contains("may hang"), "{failure}");
    bench.gate.set_limits(Limits { deadline: PATIENCE, ..bench.gate.limits() });
    bench.answers("another", "in_files").await;
    sign.release();
}

#[tokio::test]
async fn one_caller_has_a_quarter_of_the_running_places_and_others_are_answered() {
    let (bench, sign) = (Bench::new(), Sign::new());
    let calls = bench.calls(200, "one", "reads", &sign);
    sign.until_begun(8).await;
    bench.answers("another", "reads").await;
    bench.list("another").await.unwrap();
    assert_eq!(sign.begun(), 8, "one caller has a quarter of 32");
    sign.release();
    assert_eq!(refused(calls).await, 0, "the others waited for their turn");
}

#[tokio::test]
async fn one_caller_does_not_have_all_places_for_searches() {
    let (bench, sign) = (Bench::new(), Sign::new());
    let calls = bench.calls(20, "one", "searches", &sign);
    sign.until_begun(2).await;
    bench.answers("another", "searches").await;
    sign.release();
    assert_eq!(refused(calls).await, 0);
}

#[tokio::test]
async fn pulls_leave_room_for_what_acts_and_one_caller_leaves_room_for_the_pulls_of_others() {
    let (bench, sign) = (Bench::new(), Sign::new());
    let calls = bench.calls(16, "one", "pulls", &sign);
    sign.until_begun(2).await;
    until_refused(&calls, 14).await;
    for tool in ["pulls", "changes", "controls"] {
        bench.answers("another", tool).await;
    }
    let others = bench.calls(16, "second", "pulls", &sign);
    until_refused(&others, 14).await;
    let third = bench.call("third", "pulls", 0, std::future::pending()).await.unwrap_err();
    assert!(third.kind() == "busy" && third.to_string().contains("images"), "{third}");
    for tool in ["changes", "controls"] {
        bench.answers("third", tool).await;
    }
    sign.release();
    assert_eq!(refused(calls).await + refused(others).await, 28);
}

#[tokio::test]
async fn whatever_acts_a_container_can_be_controlled() {
    let (bench, sign) = (Bench::new(), Sign::new());
    let calls: Vec<_> =
        ["one", "two", "three"].iter().flat_map(|token| bench.calls(16, token, "changes", &sign)).collect();
    // one caller has half of them
    sign.until_begun(16).await;
    until_refused(&calls, 48 - 16).await;
    bench.answers("four", "controls").await;
    let failure = bench.call("four", "changes", 0, std::future::pending()).await.unwrap_err();
    assert_eq!(failure.kind(), "busy");
    sign.release();
    assert_eq!(refused(calls).await, 48 - 16);
}

#[tokio::test]
async fn however_often_others_change_something_a_container_can_be_controlled() {
    let bench = Bench::acting(1);
    let mut changes = 0;
    let failure = loop {
        match bench.call(&format!("token {changes}"), "changes", 0, std::future::pending()).await {
            Ok(_) => changes += 1,
            Err(failure) => break failure,
        }
        assert!(changes < 10_000, "all together may not change something that often");
    };
    assert!(failure.kind() == "busy" && failure.to_string().contains("a minute"), "{failure}");
    bench.answers("another", "controls").await;
    let failure = loop {
        if let Err(failure) = bench.call("another", "controls", 0, std::future::pending()).await {
            break failure;
        }
    };
    assert!(failure.kind() == "busy" && failure.to_string().contains("a minute"), "{failure}");
}

#[tokio::test]
async fn a_pull_whose_client_is_gone_ends_and_gives_its_place_back() {
    let (bench, sign) = (Bench::new(), Sign::new());
    let failure = bench.call("one", "pulls", sign.number, sign.until_begun(1)).await.unwrap_err();
    assert_eq!(failure.kind(), "cancelled");
    // nothing lets it end but that
    tokio::time::timeout(PATIENCE, bench.gate.rest()).await.expect("it ends");
    // its future may also be dropped, as a server does with that of a connection that is gone
    {
        let call = bench.call("one", "pulls", sign.number, std::future::pending());
        tokio::select! {
            _ = call => panic!("nothing lets it end"),
            () = sign.until_begun(2) => (),
        }
    }
    tokio::time::timeout(PATIENCE, bench.gate.rest()).await.expect("it ends");
    for _ in 0..2 {
        bench.answers("one", "pulls").await;
    }
}

#[tokio::test]
async fn lists_of_tools_are_counted_and_on_record_like_calls() {
    let bench = Bench::new();
    let mut lists = 0;
    let failure = loop {
        match bench.list("one").await {
            Ok(_) => lists += 1,
            Err(failure) => break failure,
        }
        assert!(lists < 100_000, "nobody asks that often");
    };
    assert!(failure.kind() == "busy" && lists >= 600, "{lists}: {failure}");
    let listed = bench.list("another").await.unwrap();
    let records: Vec<serde_json::Value> =
        bench.scratch.read("audit.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), lists + 2);
    let last = records.last().unwrap();
    assert_eq!((&last["tool"], &last["caller"]["name"]), (&json!("tools/list"), &json!("another")), "{last}");
    assert_eq!((&last["outcome"], &last["bytes"]), (&json!("ok"), &json!(listed.json.len())), "{last}");
    let refused = &records[lists];
    assert_eq!((&refused["tool"], &refused["kind"]), (&json!("tools/list"), &json!("busy")), "{refused}");
}
