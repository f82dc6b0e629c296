//! Calls over HTTP, next to the ceiling.

use std::time::Duration;

use crate::{
    Options,
    figures::{median, mib, ms, percent, row, short, spread, verdict},
    load::{self, Outcome, Pace},
    server::Server,
};

/// The tools that are called, those of them that are there.
const TOOLS: [&str; 3] = ["overview", "processes", "memory"];

/// How many clients call at the same time.
const CLIENTS: [usize; 4] = [1, 10, 50, 1000];

/// One round.
struct Round {
    outcome: Outcome,
    peak: f64,
    anonymous: f64,
}

impl Round {
    fn of(server: &Server, tool: &str, clients: usize, pace: Pace, duration: Duration) -> Self {
        server.forget_peak();
        let outcome = load::run(server, tool, clients, pace, duration);
        Self { outcome, peak: server.memory("VmHWM"), anonymous: server.memory("RssAnon") }
    }
}

/// The rounds of one side.
#[derive(Default)]
struct Side(Vec<Round>);

impl Side {
    fn all(&self, of: impl Fn(&Round) -> f64) -> Vec<f64> {
        self.0.iter().map(of).collect()
    }

    fn middle(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(&self.all(of))
    }

    fn failed(&self) -> usize {
        self.0.iter().map(|round| round.outcome.failed).sum()
    }

    fn latencies(&self) -> String {
        let at = |share| self.middle(|round| round.outcome.percentile(share));
        format!("p50 {}, p99 {}", ms(at(0.5)), ms(at(0.99)))
    }

    fn memory(&self) -> String {
        format!(
            "RSS peak {} ({} of it anonymous at the end)",
            mib(self.middle(|round| round.peak)),
            mib(self.middle(|round| round.anonymous))
        )
    }

    fn failures(&self) -> String {
        if self.failed() == 0 { String::new() } else { format!(", **{} clients failed**", self.failed()) }
    }

    fn in_words(&self) -> String {
        format!(
            "{} req/s, {}, CPU {:.0} µs each, {}{}",
            spread(&self.all(|round| round.outcome.per_second()), short),
            self.latencies(),
            self.middle(|round| round.outcome.cpu_each()) * 1e6,
            self.memory(),
            self.failures(),
        )
    }
}

/// Both servers, and which tools they have.
fn both(options: &Options) -> (Server, Server, Vec<&'static str>) {
    let ours = Server::ours(options);
    let there = ours.tools();
    let tools: Vec<_> = TOOLS.into_iter().filter(|tool| there.iter().any(|there| there["name"] == *tool)).collect();
    let ceiling = Server::ceiling(options, &ours, &tools);
    (ours, ceiling, tools)
}

/// Saturating clients: every tool with every number of clients, both servers in turn.
pub fn saturated(options: &Options) {
    let (ours, ceiling, tools) = both(options);
    let cases: Vec<(&str, usize)> = tools.iter().flat_map(|tool| CLIENTS.map(|clients| (*tool, clients))).collect();
    let mut sides: Vec<(Side, Side)> = cases.iter().map(|_| Default::default()).collect();
    for n in 0..options.rounds {
        for ((tool, clients), (of_ours, of_ceiling)) in cases.iter().zip(&mut sides) {
            eprintln!("http: round {} of {}, {tool}, {clients} clients", n + 1, options.rounds);
            let time = Duration::from_secs_f64(options.seconds);
            let one = |server, side: &mut Side| side.0.push(Round::of(server, tool, *clients, Pace::Saturating, time));
            // whoever comes first may find the machine in another state: take turns at that too
            if n % 2 == 0 {
                one(&ours, of_ours);
                one(&ceiling, of_ceiling);
            } else {
                one(&ceiling, of_ceiling);
                one(&ours, of_ours);
            }
        }
    }
    for ((tool, clients), (of_ours, of_ceiling)) in cases.iter().zip(&sides) {
        let ratio = |of: fn(&Outcome) -> f64| -> Vec<f64> {
            of_ours.0.iter().zip(&of_ceiling.0).map(|(ours, other)| of(&ours.outcome) / of(&other.outcome)).collect()
        };
        let (rates, costs) = (ratio(Outcome::per_second), ratio(Outcome::cpu_each));
        let target = if (*tool, *clients) == ("overview", 50) {
            verdict("≥ 50 % of the ceiling's req/s", median(&rates) >= 0.5 && of_ours.failed() == 0)
        } else {
            String::new()
        };
        row(
            &format!("`{tool}`, {clients} client{}", if *clients == 1 { "" } else { "s" }),
            &of_ours.in_words(),
            &format!("ceiling: {}", of_ceiling.in_words()),
            &format!("{} of the req/s; {} times the CPU", spread(&rates, percent), short(median(&costs))),
            &target,
        );
    }
}

/// A thousand clients, each calling once a second.
pub fn paced(options: &Options) {
    let (ours, ceiling, tools) = both(options);
    let tool = tools[0];
    let time = options.wait(30.0);
    let (mut of_ours, mut of_ceiling) = (Side::default(), Side::default());
    for n in 0..options.rounds {
        eprintln!("paced: round {} of {}", n + 1, options.rounds);
        let pace = Pace::Every(Duration::from_secs(1));
        of_ours.0.push(Round::of(&ours, tool, 1000, pace, time));
        of_ceiling.0.push(Round::of(&ceiling, tool, 1000, pace, time));
    }
    let in_words = |side: &Side| {
        format!(
            "{}, worst {}, {} answers, {} clients failed, CPU {} of a core, {}",
            side.latencies(),
            ms(side.middle(|round| round.outcome.percentile(1.0))),
            short(side.middle(|round| round.outcome.answered as f64)),
            side.failed(),
            percent(side.middle(|round| round.outcome.cpu.as_secs_f64() / round.outcome.seconds)),
            side.memory(),
        )
    };
    let p99 = |side: &Side| side.all(|round| round.outcome.percentile(0.99));
    let wanted = 1000.0 * time.as_secs_f64();
    let met = p99(&of_ours).iter().all(|p99| *p99 < 0.050)
        && of_ours.all(|round| round.peak).iter().all(|peak| *peak < f64::from(64 << 20))
        && of_ours.failed() == 0
        && of_ours.all(|round| round.outcome.answered as f64).iter().all(|answered| *answered > wanted * 0.99);
    row(
        &format!("`{tool}`, 1,000 clients, each once a second for {:.0} s", time.as_secs_f64()),
        &in_words(&of_ours),
        &format!("ceiling: {}", in_words(&of_ceiling)),
        &format!("p99 {} against {}", spread(&p99(&of_ours), ms), spread(&p99(&of_ceiling), ms)),
        &verdict("p99 < 50 ms, RSS < 64 MiB, no failed call, in every round", met),
    );
}
