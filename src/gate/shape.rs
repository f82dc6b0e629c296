//! From a report to an answer: host, time and marks added, untrusted text made safe, both forms held under the limit.

use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::{Map, Value};

use facts::host::Host;
use kernel::failure::Failure;
use tools::tool::Entry;

/// No form of an answer is ever longer, in tokens of o200k.
const MOST_TOKENS: usize = 25_000;

/// The longest single string in an answer, in characters.
const LONGEST_STRING: usize = 2_000;

/// What a caller gets: the same figures twice, because some clients show the model only the one, some only the other.
#[derive(Debug, Default)]
pub struct Answer {
    /// For reading.
    pub text: String,
    /// For programs; valid against the tool's output schema.
    pub structured: Value,
    written: OnceLock<Bytes>,
}

impl Answer {
    /// Both in JSON, as they stand in a result behind `"content":`. Made once, for however many get this answer.
    pub fn written(&self) -> &Bytes {
        self.written.get_or_init(|| {
            let quoted = Value::from(self.text.as_str());
            format!(r#"[{{"type":"text","text":{quoted}}}],"structuredContent":{}"#, self.structured).into()
        })
    }

    /// How long the text form is, for the log.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }
}

/// A report that takes longer to shape than a call may keep an async thread, in bytes of its strings and numbers: about 0.1 ms.
const LONG: usize = 16 << 10;

/// Whether shaping `report` takes long.
pub(super) fn is_long(report: &Value) -> bool {
    left_of(LONG, report).is_none()
}

/// What is left of `room`; `None` as soon as nothing is.
fn left_of(room: usize, value: &Value) -> Option<usize> {
    match value {
        Value::Array(values) => values.iter().try_fold(room, left_of),
        Value::Object(fields) => fields.iter().try_fold(room.checked_sub(8)?, |room, (_, value)| left_of(room, value)),
        Value::String(text) => room.checked_sub(text.len()),
        Value::Null | Value::Bool(_) | Value::Number(_) => room.checked_sub(8),
    }
}

/// Makes `report` an answer of `tool`.
pub(super) fn shape(tool: &Entry, host: &Host, report: Value) -> Result<Answer, Failure> {
    let Value::Object(report) = report else {
        return Err(Failure::internal(format!("{}: the report is not an object", tool.name)));
    };
    let mut answer = Map::new();
    answer.insert("host".to_owned(), host.name().into());
    answer.insert("time".to_owned(), host.time().into());
    if let Some(fields) = tool.untrusted {
        answer.insert("untrusted".to_owned(), fields.into());
    }
    answer.extend(report);
    let mut structured = Value::Object(answer);
    round(&mut structured);
    redact::redact_value(&mut structured);
    redact::clean_value(&mut structured, LONGEST_STRING);
    bound(structured).ok_or_else(|| Failure::internal(format!("{}: the answer cannot be made short enough", tool.name)))
}

/// Rounds every fraction to four significant digits, but never the whole part of a number: no rate or ratio of a machine is better than
/// that, and every further digit costs a model a token.
fn round(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            if let Some(rounded) = number.as_f64().map(four_digits).and_then(serde_json::Number::from_f64) {
                *number = rounded;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(round),
        Value::Object(object) => object.values_mut().for_each(round),
        _ => (),
    }
}

fn four_digits(figure: f64) -> f64 {
    // whole seconds of an uptime or bytes a second are never further off than by a half
    if figure == 0.0 || figure.abs() >= 1e3 {
        return figure.round();
    }
    let unit = 10_f64.powi(3 - figure.abs().log10().floor() as i32);
    let rounded = (figure * unit).round() / unit;
    if rounded.is_finite() { rounded } else { figure }
}

/// Takes rows from the longest table until both forms fit. `None`: there is no table left to take from.
fn bound(mut structured: Value) -> Option<Answer> {
    loop {
        let text = text::render(&structured);
        let cost = text::tokens_at_most(&text).max(text::tokens_at_most(&structured.to_string()));
        if cost <= MOST_TOKENS {
            return Some(Answer { text, structured, written: OnceLock::new() });
        }
        let rows = longest_table(&mut structured)?;
        let all = rows.len();
        // a little less than the share that fits, so that this ends soon; at least one goes
        let kept = (all * MOST_TOKENS * 9 / (cost * 10)).min(all.checked_sub(1)?);
        rows.truncate(kept);
        let object = structured.as_object_mut()?;
        // a cursor would lead past the rows that were taken
        if let Some(cursor) = object.get_mut("next_cursor") {
            *cursor = Value::Null;
        }
        object.insert(
            "truncated".to_owned(),
            format!("{} rows left out to keep the answer short; ask with a limit of {kept} or less", all - kept).into(),
        );
    }
}

fn longest_table(value: &mut Value) -> Option<&mut Vec<Value>> {
    let object = value.as_object_mut()?;
    object
        .iter_mut()
        .filter_map(|(key, value)| {
            if value.is_array() { value.as_array_mut().filter(|_| key == "rows") } else { longest_table(value) }
        })
        .max_by_key(|rows| rows.len())
        .filter(|rows| !rows.is_empty())
}

#[cfg(test)]
mod tests {
    use rmcp::model::{CallToolResult, ContentBlock};
    use serde_json::json;

    use super::*;

    #[test]
    fn long_reports_are_told_from_short_ones() {
        assert!(!is_long(&json!({ "text": "x".repeat(LONG / 2), "numbers": [1, 2.5, null, true] })));
        for long in [json!({ "text": "x".repeat(LONG + 1) }), json!({ "rows": vec![[1, 2, 3]; 1000] })] {
            assert!(is_long(&long));
        }
    }

    #[test]
    fn what_is_written_once_is_what_every_result_would_have_had() {
        let answer = bound(json!({ "host": "h\"\n\u{2603}\\", "content": [], "figures": [1, 2.5, null] })).unwrap();
        let mut whole = CallToolResult::success(vec![ContentBlock::text(answer.text.clone())]);
        whole.structured_content = Some(answer.structured.clone());
        let hollow = serde_json::to_string(&CallToolResult::success(vec![])).unwrap();
        assert_eq!(hollow.matches("\"content\":[]").count(), 1, "{hollow}");
        let written = std::str::from_utf8(answer.written()).unwrap();
        let spliced = hollow.replace("\"content\":[]", &format!("\"content\":{written}"));
        assert_eq!(spliced, serde_json::to_string(&whole).unwrap());
    }

    #[test]
    fn a_table_that_is_too_long_says_what_it_left_out_and_gives_no_false_cursor() {
        let rows: Vec<Value> = (0..5_000).map(|n| json!([n, format!("process {n} \u{2603}")])).collect();
        let value =
            json!({ "host": "h", "next_cursor": "5000", "processes": { "columns": ["pid", "name"], "rows": rows } });
        let answer = bound(value).unwrap();
        assert!(text::tokens_at_most(&answer.text) <= MOST_TOKENS);
        assert!(text::tokens_at_most(&answer.structured.to_string()) <= MOST_TOKENS);
        assert_eq!(answer.structured["next_cursor"], Value::Null);
        assert!(answer.structured["processes"]["rows"].as_array().unwrap().len() > 100);
        assert!(answer.text.contains("rows left out"), "{}", &answer.text[..200]);
    }

    #[test]
    fn fractions_lose_the_digits_that_mean_nothing_and_counts_keep_all() {
        let mut value =
            json!({ "a": 0.035_549_546, "b": [123_456_789, 37.012_54, 0.0], "c": 1_234_567.89, "d": -0.000_123_456 });
        round(&mut value);
        assert_eq!(value, json!({ "a": 0.03555, "b": [123_456_789, 37.01, 0.0], "c": 1_234_568.0, "d": -0.000_123_5 }));
        assert_eq!(four_digits(f64::MIN_POSITIVE), f64::MIN_POSITIVE);
        assert_eq!(four_digits(4_933_115.69), 4_933_116.0);
    }

    #[test]
    fn what_cannot_be_shortened_is_no_answer() {
        assert!(bound(json!({ "text": "\u{2603}".repeat(200_000) })).is_none());
    }
}
