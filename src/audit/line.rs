//! How a record is written: one line of JSON that no caller's text can forge, cut to what a line may hold.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};

use super::{AuditError, Client, Outcome, Record, RequestId, budgets::Count};
use kernel::failure::Failure;

const LABEL: usize = 64;
const TEXT: usize = 256;
/// What is acted on: a hundred things that a prune removes, each by its full id.
const TARGET: usize = 8192;
/// What all arguments of a call may take together, in bytes of JSON.
const ARGUMENTS: usize = 4096;
/// The same of a call that failed: it cost its caller nothing.
const FAILED_ARGUMENTS: usize = 1024;

/// A record as text, but for what only the thread that writes it knows: its run and its number before, a chain behind. Made by
/// whoever asks for the record, so that nothing but this has to be carried to that thread.
#[derive(Debug)]
pub(super) struct Line(Vec<u8>);

impl Line {
    pub(super) fn of(record: &Record<'_>) -> Result<Self, AuditError> {
        Self::from(&Body { record, suppressed: None })
    }

    /// The line that stands for so many records that were not written.
    pub(super) fn counting(count: &Count, time: SystemTime) -> Result<Self, AuditError> {
        let (kind, caller) = (Some(count.kind), count.caller.as_ref());
        let record = Record { kind, caller, ..Record::new(time, count.decision) };
        Self::from(&Body { record: &record, suppressed: Some(count.suppressed) })
    }

    fn from(body: &Body<'_>) -> Result<Self, AuditError> {
        Ok(Self(serde_json::to_vec(body).map_err(|error| Failure::internal(error.to_string()))?))
    }

    /// Appends the whole line, without its end, to `text`.
    pub(super) fn write(&self, run: &str, seq: u64, text: &mut Vec<u8>) {
        text.extend_from_slice(format!("{{\"v\":1,\"run\":\"{run}\",\"seq\":{seq},").as_bytes());
        // its own first brace stands there already
        text.extend_from_slice(self.0.get(1..).unwrap_or_default());
    }
}

/// The order of the fields is the format.
struct Body<'a> {
    record: &'a Record<'a>,
    suppressed: Option<u64>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { record, suppressed } = self;
        let time = humantime::format_rfc3339_millis(SystemTime::UNIX_EPOCH + since_epoch(record.time));
        let mut fields = Fields(serializer.serialize_map(None)?);
        fields.put("time", Some(time.to_string()))?;
        fields.put("request", record.request)?;
        fields.put("caller", record.caller.map(|who| Who { id: cut(&who.id, LABEL), name: cut(&who.name, LABEL) }))?;
        fields.put("auth", record.caller.map(|who| who.auth.name()))?;
        fields.put("token", record.token.map(|id| cut(id, LABEL)))?;
        fields.put("peer", record.peer.map(|peer| peer.to_canonical()))?;
        fields.put("client", record.client)?;
        fields.put("tool", record.tool.map(|tool| cut(tool, LABEL)))?;
        let most = if record.outcome == Some(Outcome::Error) { FAILED_ARGUMENTS } else { ARGUMENTS };
        fields.put("args", record.args.map(|args| bounded(args, most)))?;
        fields.put("grant", record.grant.as_deref().map(|grant| cut(grant, TARGET)))?;
        fields.put("target", record.target.map(|target| cut(target, TARGET)))?;
        fields.put("decision", Some(record.decision))?;
        fields.put("phase", Some(record.phase))?;
        fields.put("outcome", record.outcome)?;
        fields.put("kind", record.kind.map(|kind| cut(kind, LABEL)))?;
        fields.put("suppressed", *suppressed)?;
        fields.put("bytes", record.bytes)?;
        fields.put("ms", record.ms)?;
        fields.0.end()
    }
}

/// Fields of which the absent ones are left out.
struct Fields<M>(M);

impl<M: SerializeMap> Fields<M> {
    fn put(&mut self, name: &'static str, value: Option<impl Serialize>) -> Result<(), M::Error> {
        value.map_or(Ok(()), |value| self.0.serialize_entry(name, &value))
    }
}

#[derive(Serialize)]
struct Who<'a> {
    id: Cow<'a, str>,
    name: Cow<'a, str>,
}

impl Serialize for Client<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = Fields(serializer.serialize_map(None)?);
        fields.put("name", Some(cut(self.name, LABEL)))?;
        fields.put("version", Some(cut(self.version, LABEL)))?;
        fields.0.end()
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Text(text) => serializer.serialize_str(&cut(text, LABEL)),
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
fn bounded(args: &Map<String, Value>, most: usize) -> Value {
    let cut = cut_all(args);
    let length = cut.to_string().len();
    if length <= most { cut } else { serde_json::json!({ "omitted_bytes": length }) }
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
