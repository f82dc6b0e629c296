//! What has one container written, and where does it say that something is wrong?

mod level;
mod sieve;

use std::time::{Duration, SystemTime};

use regex::RegexBuilder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::{
    level::Level,
    sieve::{Grep, Kept, Sieve, Wanted},
};
use crate::{
    tool::{Tool, Turn},
    window::{told, window},
};
use engine::{
    Docker, PATIENCE,
    log::{Decoder, Source},
    model::{Summary, or_default},
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::Scope;
use text::table::Table;

/// Lines unless the caller says otherwise.
const TAIL: usize = 100;
/// Lines at most.
const MOST_TAIL: usize = 2_000;

/// What the lines may cost together, in tokens, when the caller does not say how many.
const USUAL_TOKENS: usize = 1_600;
/// And when it does: both forms of the answer stay below what any answer may have.
const MOST_TOKENS: usize = 20_000;

/// Entries read before those asked for, so that a private key that began there is known as one: also one that began before them all.
const RUN_UP: u64 = 64;

/// Entries read at first when only some of them are wanted.
const FIRST: u64 = 5_000;

/// How long a log is searched, and no longer.
const SEARCHED_FOR: Duration = Duration::from_secs(8);

/// How much of it is read, in bytes, each reading counted.
const MOST_BYTES: u64 = 4 << 30;

/// The longest pattern, in bytes.
const LONGEST_PATTERN: usize = 500;

/// The newest lines of a container's log, oldest first, repeats counted. Filters look at the whole log, newest part first; the answer says
/// how far. Secrets are redacted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ContainerLogs {
    /// Its name, its id, or the beginning of no other's.
    name: String,
    /// Lines: 100 by default (fewer if they are long), 2000 at most.
    #[schemars(range(min = 1, max = 2000))]
    tail: Option<usize>,
    /// RFC 3339, or how long ago: `15m`.
    since: Option<String>,
    /// The same.
    until: Option<String>,
    /// Only lines with this regular expression (`(?i)` for any case).
    grep: Option<String>,
    /// grep is plain text.
    #[serde(default)]
    plain: bool,
    /// Only this one's.
    stream: Option<Stream>,
    /// Only of this level or worse, as far as lines tell.
    level: Option<Level>,
    /// The time of each line as well.
    #[serde(default)]
    timestamps: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    pub name: String,
    /// The first twelve digits.
    pub id: String,
    /// How much of the log was read.
    pub searched: Searched,
    /// What is not here, why, and how to have it; null: everything that fits is here.
    pub left_out: Option<String>,
    /// What the Engine says where it could not read on.
    pub note: Option<String>,
    pub lines: Lines,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Searched {
    pub lines: u64,
    /// When the oldest of them was written: RFC 3339.
    pub since: Option<String>,
    /// Whether nothing older could fit.
    pub to_the_beginning: bool,
}

/// Oldest first.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Lines {
    Plain(Table<Row>),
    Timed(Table<TimedRow>),
}

/// One line, or several in a row that say the same.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Row {
    pub stream: Stream,
    /// A guess.
    pub level: Option<Level>,
    /// How many lines.
    pub count: usize,
    /// At most 1000 characters; (+N) counts the rest.
    pub line: String,
}

/// The same with its time.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TimedRow {
    /// When the last of them was written, as the Engine has it.
    pub time: Option<String>,
    pub stream: Stream,
    pub level: Option<Level>,
    pub count: usize,
    pub line: String,
}

impl Tool for ContainerLogs {
    const NAME: &'static str = "container_logs";
    const TITLE: &'static str = "Logs of a container";
    const SCOPE: Scope = Scope::DockerLogs;
    const LANE: Lane = Lane::Docker;
    const UNTRUSTED: Option<&'static str> = Some("name, line, note");
    const AUDITED: &'static [&'static str] =
        &["name", "tail", "since", "until", "grep", "plain", "stream", "level", "timestamps"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let wanted = self.check(turn.host().machine().kernel.wall())?;
        let docker = &turn.docker(Self::SCOPE);
        let container = docker.find(&self.name, Self::SCOPE, None).await?;
        let search = search(docker, &container, &wanted, turn.stop()).await?;
        Ok(self.report(&container, &wanted, search))
    }
}

impl ContainerLogs {
    fn check(&self, now: SystemTime) -> Result<Wanted, Failure> {
        let tail = self.tail.unwrap_or(TAIL);
        if !(1..=MOST_TAIL).contains(&tail) {
            return Err(Failure::Invalid(format!("tail is a number of lines from 1 to {MOST_TAIL}")));
        }
        if self.plain && self.grep.is_none() {
            return Err(Failure::Invalid("plain is for grep".to_owned()));
        }
        let (since, until) = window(self.since.as_deref(), self.until.as_deref(), now)?;
        let source = self.stream.map(|stream| match stream {
            Stream::Stdout => Source::Stdout,
            Stream::Stderr => Source::Stderr,
        });
        let grep = self.grep.as_deref().map(|grep| pattern(grep, self.plain)).transpose()?;
        Ok(Wanted { tail, since, until, source, level: self.level, grep })
    }

    fn report(&self, container: &Summary, wanted: &Wanted, search: Search) -> Report {
        let Search { kept, .. } = &search;
        let most = if self.tail.is_some() { MOST_TOKENS } else { USUAL_TOKENS };
        let mut left = most;
        // from the newest on; one there is always
        let shown = kept.iter().rev().enumerate().take_while(|(n, kept)| {
            let cost = cost(kept, self.timestamps);
            let fits = cost <= left || *n == 0;
            left = left.saturating_sub(cost);
            fits
        });
        let shown = shown.count();
        let (older, rows) = (kept.range(..kept.len() - shown), kept.range(kept.len() - shown..));
        let cut: usize = older.map(|kept| kept.count).sum();
        let oldest = rows.clone().next().and_then(|row| row.time);
        Report {
            name: container.name().to_owned(),
            id: container.short_id().to_owned(),
            left_out: self.left_out(wanted, &search, cut, oldest),
            lines: if self.timestamps {
                Lines::Timed(rows.map(TimedRow::of).collect())
            } else {
                Lines::Plain(rows.map(Row::of).collect())
            },
            searched: Searched {
                lines: search.lines,
                since: search.first.map(told),
                to_the_beginning: search.covered && !search.late,
            },
            note: search.said,
        }
    }

    fn left_out(&self, wanted: &Wanted, search: &Search, cut: usize, oldest: Option<SystemTime>) -> Option<String> {
        let mut parts = Vec::new();
        let older = oldest.map_or(String::new(), |time| format!(" with until {}", told(time)));
        if cut > 0 && self.tail.is_none() {
            parts.push(format!("{cut} older lines, to keep the answer short: ask with tail, or{older}"));
        } else if cut > 0 {
            parts.push(format!("{cut} older lines, to keep the answer short: ask{older}"));
        } else if search.full && (search.older > 0 || !search.covered) {
            parts.push(format!("older lines than the newest {}: ask with a larger tail, or{older}", wanted.tail));
        }
        if search.late {
            parts.push("what was written last: the Engine gave the log too slowly".to_owned());
        } else if !search.full && !search.covered {
            let seconds = SEARCHED_FOR.as_secs();
            parts.push(search.first.map_or_else(
                || format!("what was written: a search has {seconds} s"),
                |first| {
                    let first = told(first);
                    format!("what was written before {first}: a search has {seconds} s; go on with until {first}")
                },
            ));
        }
        if search.unlevelled > 0 {
            parts.push(format!("{} lines that do not tell their level", search.unlevelled));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// A pattern whose search takes time linear in the line.
fn pattern(grep: &str, plain: bool) -> Result<Grep, Failure> {
    if grep.is_empty() || grep.len() > LONGEST_PATTERN {
        return Err(Failure::Invalid(format!("grep is a pattern of 1 to {LONGEST_PATTERN} bytes")));
    }
    let escaped = regex::escape(grep);
    let is_literal = plain || escaped == grep;
    let built = RegexBuilder::new(if plain { &escaped } else { grep })
        .size_limit(1 << 20)
        .dfa_size_limit(1 << 20)
        .nest_limit(50)
        .build();
    let pattern = built.map_err(|error| {
        // the error draws the pattern over several lines; the last says what is wrong
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        Failure::Invalid(format!("grep is no regular expression that can be used: {why}; with plain it is plain text"))
    })?;
    let apart_from_marks = !grep.contains(['[', ']']) && !"redacted".contains(grep);
    Ok(Grep { pattern, literal: (is_literal && apart_from_marks).then(|| grep.to_owned()) })
}

/// What was found, and how far the search came.
#[derive(Debug)]
struct Search {
    kept: std::collections::VecDeque<Kept>,
    older: u64,
    unlevelled: u64,
    first: Option<SystemTime>,
    lines: u64,
    said: Option<String>,
    /// There are as many as were asked for.
    full: bool,
    /// Nothing older fits.
    covered: bool,
    /// What came last is later than what is wanted, and the rest was not read.
    over: bool,
    /// Time ran out before the newest came.
    late: bool,
    entries: u64,
    bytes: u64,
}

/// The newest lines that are wanted. The Engine reads a log from its old end, so it is asked for a piece at the new end, and then for a
/// larger one, until there is enough: what has been searched is always the newest part, whole.
async fn search(
    docker: &Docker,
    container: &Summary,
    wanted: &Wanted,
    stop: &CancellationToken,
) -> Result<Search, Failure> {
    let began = Instant::now();
    let deadline = began + SEARCHED_FOR;
    let is_filtered = wanted.source.is_some() || wanted.level.is_some() || wanted.grep.is_some();
    let mut asked = wanted.tail as u64 + RUN_UP;
    if is_filtered || wanted.until.is_some() {
        asked = asked.max(FIRST);
    }
    let mut bytes = 0;
    let mut best: Option<Search> = None;
    loop {
        let started = Instant::now();
        let mut search = match read(docker, container, wanted, asked, deadline, stop).await {
            Ok(search) => search,
            // a small part of the log is better than none
            Err(Failure::TimedOut(_)) if best.is_some() => break,
            Err(failure) => return Err(failure),
        };
        if search.late && best.is_some() {
            break;
        }
        bytes += search.bytes;
        // all of it is too late, more of it was asked for, and nothing older came
        search.covered |= search.over && best.as_ref().is_some_and(|best| best.first == search.first);
        let enough = search.full || search.covered || search.late;
        let (entries, piece) = (search.entries, search.bytes);
        best = Some(search);
        if enough {
            break;
        }
        let left = deadline.saturating_duration_since(Instant::now()).as_secs_f64();
        let factor = (left * 0.7 / started.elapsed().as_secs_f64().max(0.001)).min(10.0);
        let room = MOST_BYTES.saturating_sub(bytes) as f64 / (piece.max(1)) as f64;
        if factor.min(room) < 2.0 {
            break;
        }
        asked = (asked.max(entries) as f64 * factor.min(room)) as u64;
    }
    best.ok_or_else(|| Failure::internal("a log was not read"))
}

/// Reads the newest `asked` entries.
async fn read(
    docker: &Docker,
    container: &Summary,
    wanted: &Wanted,
    asked: u64,
    deadline: Instant,
    stop: &CancellationToken,
) -> Result<Search, Failure> {
    let id = &container.id;
    let path = format!("/containers/{id}/logs?stdout=1&stderr=1&timestamps=1&tail={asked}");
    let mut stream = match docker.stream(&path, PATIENCE).await {
        Ok(stream) => stream,
        Err(Failure::Refused(words)) => return Err(unreadable(docker, container, words).await),
        Err(failure) => return Err(failure),
    };
    let mut sieve = Sieve::new(wanted);
    let mut decoder = Decoder::default();
    let mut bytes = 0;
    let (mut late, mut over) = (false, false);
    loop {
        let next = tokio::select! {
            () = stop.cancelled() => return Err(Failure::Cancelled),
            next = tokio::time::timeout_at(deadline, stream.next()) => next,
        };
        match next {
            Ok(Ok(Some(piece))) => {
                bytes += piece.len() as u64;
                decoder.feed(&piece, &mut |line| sieve.line(line));
                over = sieve.is_over();
                if over {
                    break;
                }
            }
            Ok(Ok(None)) => break,
            Ok(Err(failure)) => return Err(failure),
            Err(_) if bytes == 0 => {
                return Err(Failure::TimedOut(format!(
                    "the Docker Engine, asked for the log of {},",
                    container.name()
                )));
            }
            Err(_) => {
                late = true;
                break;
            }
        }
    }
    if !late {
        decoder.finish(&mut |line| sieve.line(line));
    }
    let entries = decoder.entries();
    let whole = entries < asked && !over && !late;
    let before = sieve.first.zip(wanted.since).is_some_and(|(first, since)| first < since);
    let (full, unlevelled) = (sieve.is_full(), sieve.unlevelled);
    let (first, lines, said) = (sieve.first, sieve.lines, sieve.said.take());
    let (kept, older) = sieve.into_kept(whole);
    Ok(Search {
        kept,
        older,
        unlevelled,
        first,
        lines,
        said,
        full,
        covered: whole || before,
        over,
        late,
        entries,
        bytes,
    })
}

/// Why a log cannot be read: most often because the container's logging driver keeps none.
async fn unreadable(docker: &Docker, container: &Summary, words: String) -> Failure {
    let inspected = docker.get::<Inspected>(&format!("/containers/{}/json", container.id)).await;
    let driver = inspected.map(|inspected| inspected.host_config.log_config.driver).unwrap_or_default();
    let name = container.name();
    match driver.as_str() {
        "" => Failure::Refused(words),
        "none" => {
            Failure::Refused(format!("there is no log of {name}: it runs with the logging driver none ({words})"))
        }
        driver => Failure::Refused(format!(
            "the log of {name} cannot be read through Docker: it goes to the logging driver {driver} ({words})"
        )),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    #[serde(default, deserialize_with = "or_default")]
    host_config: HostConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    #[serde(default, deserialize_with = "or_default")]
    log_config: LogConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LogConfig {
    #[serde(default, rename = "Type", deserialize_with = "or_default")]
    driver: String,
}

/// What a row costs in the dearer form.
fn cost(kept: &Kept, timestamps: bool) -> usize {
    // its brackets, stream, level and count, and its time
    const ROW: usize = 14;
    const TIME: usize = 18;
    let line = serde_json::Value::from(kept.text.as_str()).to_string();
    text::tokens_at_most(&line) + ROW + if timestamps { TIME } else { 0 }
}

impl Row {
    fn of(kept: &Kept) -> Self {
        let stream = if kept.source == Source::Stderr { Stream::Stderr } else { Stream::Stdout };
        Self { stream, level: kept.level, count: kept.count, line: kept.text.clone() }
    }
}

impl TimedRow {
    fn of(kept: &Kept) -> Self {
        let Row { stream, level, count, line } = Row::of(kept);
        Self { time: kept.time.map(told), stream, level, count, line }
    }
}
