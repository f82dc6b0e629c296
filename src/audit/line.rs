//! How a record is written: one line of JSON that no caller's text can forge, cut to what a line may hold.

use std::{
    borrow::Cow,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Decision, Outcome, Phase, Record, RequestId};

const LABEL: usize = 64;
const TEXT: usize = 256;
/// What all arguments of a call may take together, in bytes of JSON.
const ARGUMENTS: usize = 4096;

/// A record as it is written. The order of the fields is the format.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    v: u8,
    run: &'a str,
    seq: u64,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Request<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<Who<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<Program<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Cow<'a, str>>,
    decision: Decision,
    phase: Phase,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suppressed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<u64>,
}

#[derive(Serialize)]
struct Who<'a> {
    id: Cow<'a, str>,
    name: Cow<'a, str>,
}

#[derive(Serialize)]
struct Program<'a> {
    name: Cow<'a, str>,
    version: Cow<'a, str>,
}

enum Request<'a> {
    Number(i64),
    Text(Cow<'a, str>),
}

impl Serialize for Request<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

impl<'a> Line<'a> {
    pub(super) fn of(run: &'a str, seq: u64, record: &Record<'a>, suppressed: Option<u64>) -> Self {
        Self {
            v: 1,
            run,
            seq,
            time: humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since_epoch(record.time)).to_string(),
            request: record.request.map(|request| match request {
                RequestId::Number(number) => Request::Number(*number),
                RequestId::Text(text) => Request::Text(cut(text, LABEL)),
            }),
            caller: record.caller.map(|who| Who { id: cut(&who.id, LABEL), name: cut(&who.name, LABEL) }),
            auth: record.caller.map(|who| who.auth.name()),
            peer: record.peer.map(|peer| peer.to_canonical()),
            client: record
                .client
                .map(|client| Program { name: cut(client.name, LABEL), version: cut(client.version, LABEL) }),
            tool: record.tool.map(|tool| cut(tool, LABEL)),
            args: record.args.map(bounded),
            target: record.target.map(|target| cut(target, TEXT)),
            decision: record.decision,
            phase: record.phase,
            outcome: record.outcome,
            kind: record.kind.map(|kind| cut(kind, LABEL)),
            suppressed,
            bytes: record.bytes,
            ms: record.ms,
        }
    }
}
/// The time since 1970, kept within what RFC 3339 can write: a clock gone wild must not keep calls from being recorded.
pub(super) fn since_epoch(time: SystemTime) -> Duration {
    let longest = Duration::from_secs(253_402_300_799);
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().min(longest)
}
/// The first `limit` characters. JSON escapes what could end a line; what it lets through and could still mislead who
/// reads the log on a terminal (C1 controls, characters that turn or hide text) becomes U+FFFD.
fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    let end = text.char_indices().nth(limit).map(|(end, _)| end);
    if end.is_none() && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    let mut kept: String = text.chars().take(limit).map(|c| if misleads(c) { '\u{fffd}' } else { c }).collect();
    if end.is_some() {
        kept.push('…');
    }
    Cow::Owned(kept)
}

pub(super) fn misleads(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// The arguments with every string cut, or, if they are still long, only how long they are.
fn bounded(args: &Map<String, Value>) -> Value {
    let cut = cut_all(args);
    let length = cut.to_string().len();
    if length <= ARGUMENTS { cut } else { serde_json::json!({ "omitted_bytes": length }) }
}

fn cut_all(args: &Map<String, Value>) -> Value {
    args.iter().map(|(name, value)| (cut(name, LABEL).into_owned(), cut_strings(value))).collect()
}

fn cut_strings(value: &Value) -> Value {
    match value {
        Value::String(text) => cut(text, TEXT).into(),
        Value::Array(values) => values.iter().map(cut_strings).collect(),
        Value::Object(fields) => cut_all(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}
