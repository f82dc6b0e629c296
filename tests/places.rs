//! Places for calls, behind the real gate: one caller has its share of them, pulls have their own, and control of containers always has some.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use systemmanager_mcp::{
    audit::{Audit, Sink},
    auth::{Caller, Method},
    failure::Failure,
    gate::{Answer, Call, Gate, Limits, Refusal},
    host::{First, Host},
    scope::{Scope, Scopes},
    tool::{Acting, Acts, Aim, Entry, Tool, Turn},
};

use crate::common::{PATIENCE, Scratch, Sign};

#[derive(Debug, Serialize, JsonSchema)]
struct Done {
    done: bool,
}

macro_rules! acting {
    ($tool:ident, $name:literal, $acts:expr, $act:expr) => {
        #[doc = $name]
        #[derive(Debug, Deserialize, JsonSchema)]
        struct $tool {
            sign: usize,
        }

        impl Acting for $tool {
            const NAME: &'static str = $name;
            const TITLE: &'static str = $name;
            const SCOPE: Scope = Scope::DockerControl;
            const DESTRUCTIVE: bool = false;
            const IDEMPOTENT: bool = false;
            const LOOK: &'static str = "look";
            const ACTS: Acts = $acts;
            type Output = Done;
            type Target = ();

            async fn aim(&self, _: &Turn) -> Result<Aim<()>, Failure> {
                Ok(Aim { target: (), name: "it".to_owned() })
            }

            async fn act(self, turn: &Turn, (): ()) -> Result<Done, Failure> {
                let act: fn(usize, &Turn) -> std::pin::Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + '_>> =
                    $act;
                act(self.sign, turn).await?;
                Ok(Done { done: true })
            }
        }
    };
}

acting!(Pulls, "pulls", Acts::Changes, |sign, turn| Box::pin(turn.pull(async move {
    Sign::wait(sign).await;
    Ok(())
})));
acting!(Changes, "changes", Acts::Changes, |sign, _| Box::pin(async move {
    Sign::wait(sign).await;
    Ok(())
}));
acting!(Controls, "controls", Acts::Controls, |sign, _| Box::pin(async move {
    Sign::wait(sign).await;
    Ok(())
}));

/// Reads.
#[derive(Debug, Deserialize, JsonSchema)]
struct Reads {
    sign: usize,
}

impl Tool for Reads {
    const NAME: &'static str = "reads";
    const TITLE: &'static str = "Reads";
    const SCOPE: Scope = Scope::SystemRead;
    type Output = Done;

    async fn run(self, _: &Turn) -> Result<Done, Failure> {
        Sign::wait(self.sign).await;
        Ok(Done { done: true })
    }
}

/// Searches.
#[derive(Debug, Deserialize, JsonSchema)]
struct Searches {
    sign: usize,
}

impl Tool for Searches {
    const NAME: &'static str = "searches";
    const TITLE: &'static str = "Searches";
    const SCOPE: Scope = Scope::FilesRead;
    const SEARCHES: bool = true;
    type Output = Done;

    async fn run(self, _: &Turn) -> Result<Done, Failure> {
        Sign::wait(self.sign).await;
        Ok(Done { done: true })
    }
}

static TOOLS: &[Entry] = &[
    Entry::acting::<Pulls>(),
    Entry::acting::<Changes>(),
    Entry::acting::<Controls>(),
    Entry::of::<Reads>(),
    Entry::of::<Searches>(),
];

#[derive(Clone)]
struct Bench {
    gate: Arc<Gate>,
    _scratch: Arc<Scratch>,
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
        let limits = Limits { acting, searches: 6000, deadline: PATIENCE, ..Limits::default() };
        Self { gate: Arc::new(Gate::new(TOOLS, host, Arc::new(audit), limits)), _scratch: Arc::new(scratch) }
    }

    /// The token of this name makes a call that ends with its sign. `cancelled` is when its client goes.
    async fn call(
        &self,
        token: &str,
        tool: &str,
        sign: usize,
        cancelled: impl Future<Output = ()>,
    ) -> Result<Arc<Answer>, Failure> {
        let caller =
            Arc::new(Caller { id: token.into(), name: token.into(), scopes: Scopes::all(), auth: Method::Token });
        let arguments = json!({ "sign": sign }).as_object().unwrap().clone();
        let call = Call { tool, arguments, caller: &caller, peer: None, client: None, request: None, steps: None };
        self.gate.call(call, cancelled).await.map_err(|refusal| match refusal {
            Refusal::Failed(failure) => failure,
            Refusal::NoSuchTool => panic!("{tool} is there"),
        })
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

#[tokio::test]
async fn one_caller_has_a_quarter_of_the_running_places_and_others_are_answered() {
    let (bench, sign) = (Bench::new(), Sign::new());
    let calls = bench.calls(200, "one", "reads", &sign);
    sign.until_begun(16).await;
    bench.answers("another", "reads").await;
    bench
        .gate
        .list(&Caller { id: "another".into(), name: "another".into(), scopes: Scopes::all(), auth: Method::Token })
        .await
        .unwrap();
    assert_eq!(sign.begun(), 16, "one caller has a quarter of 64");
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
    // one caller has half of them, and all together leave two
    sign.until_begun(14).await;
    until_refused(&calls, 48 - 14).await;
    bench.answers("four", "controls").await;
    let failure = bench.call("four", "changes", 0, std::future::pending()).await.unwrap_err();
    assert_eq!(failure.kind(), "busy");
    sign.release();
    assert_eq!(refused(calls).await, 48 - 14);
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
async fn lists_of_tools_are_counted() {
    let bench = Bench::new();
    let caller = |name: &str| Caller { id: name.into(), name: name.into(), scopes: Scopes::all(), auth: Method::Token };
    let mut lists = 0;
    let failure = loop {
        match bench.gate.list(&caller("one")).await {
            Ok(_) => lists += 1,
            Err(failure) => break failure,
        }
        assert!(lists < 100_000, "nobody asks that often");
    };
    assert!(failure.kind() == "busy" && lists >= 600, "{lists}: {failure}");
    bench.gate.list(&caller("another")).await.unwrap();
}
