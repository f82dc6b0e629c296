//! The secrets of an answer: keys, columns and lists say what stands in them.

use std::borrow::Cow;

use serde_json::Value;

use super::{MARK, PASSES, Redactor, assigned, fold::fold, is_secret, key::PrivateKey, redact_line};
use crate::{
    arguments::Command,
    clean::{clean, each_string, rename},
    names::is_harmless,
};

/// Takes the secrets out of every string of an answer, cleaned first: what hides from a reader hides a secret, too. Looks
/// at keys and columns, at options and their values in neighbouring strings of a list, and at keys that span several lines.
/// Doing it again changes nothing.
pub fn redact_value(value: &mut Value) {
    for _ in 0..PASSES {
        if !once(value) {
            return;
        }
    }
    each_string(value, &mut |_| Some(MARK.to_owned()));
}

/// Whether all that stands below `key` is a secret: a key as it reads, for nothing has cleaned it.
fn names_secret(key: &str) -> bool {
    is_secret(&fold(&clean(key, usize::MAX)))
}

/// Whether one look changed anything.
fn once(value: &mut Value) -> bool {
    let mut changed = false;
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        match value {
            Value::String(text) => {
                let redacted = redact_line(&clean(text, usize::MAX)).into_owned();
                changed |= put(text, redacted);
            }
            Value::Array(items) => {
                changed |= list(items);
                changed |= columns(items);
                waiting.extend(items.iter_mut().filter(|item| !item.is_string()));
            }
            Value::Object(fields) => {
                if let Some(Value::Array(names)) = fields.get("columns") {
                    let secret: Vec<bool> = names.iter().map(|name| name.as_str().is_some_and(names_secret)).collect();
                    if let Some(Value::Array(rows)) = fields.get_mut("rows") {
                        let cells =
                            rows.iter_mut().filter_map(Value::as_array_mut).flat_map(|row| row.iter_mut().zip(&secret));
                        cells.filter(|(_, secret)| **secret).for_each(|(cell, _)| changed |= hide(cell));
                    }
                }
                fields.iter_mut().filter(|(key, _)| names_secret(key)).for_each(|(_, value)| changed |= hide(value));
                rename(fields, &mut |key| {
                    let Cow::Owned(redacted) = redact_line(key) else { return None };
                    changed = true;
                    Some(redacted)
                });
                waiting.extend(fields.values_mut());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    changed
}

fn hide(value: &mut Value) -> bool {
    match value {
        Value::String(text) if !is_harmless(text.as_bytes()) => put(text, MARK.to_owned()),
        _ => false,
    }
}

/// Whether `redacted` is another text.
fn put(text: &mut String, redacted: String) -> bool {
    let changed = *text != redacted;
    *text = redacted;
    changed
}

/// The strings of a list: lines of one text, or arguments of one command.
fn list(items: &mut [Value]) -> bool {
    let (mut redactor, mut command, mut changed) = (Redactor::default(), Command::default(), false);
    for item in items {
        let Value::String(text) = item else { continue };
        let line = clean(text, usize::MAX).into_owned();
        let from = argument(&mut command, &line);
        let redacted = match (redactor.carried(&line), from) {
            (Some(carried), _) => carried,
            (None, Some(from)) => redact_line(&format!("{}{MARK}", &line[..from])).into_owned(),
            (None, None) => redact_line(&line).into_owned(),
        };
        changed |= put(text, redacted);
    }
    changed
}

/// Where in `line` a secret begins because of the arguments before it.
fn argument(command: &mut Command, line: &str) -> Option<usize> {
    // a line of prose is no argument: only what looks like one takes part
    if line.contains([' ', '[']) && !line.starts_with('-') && !command.is_waiting() {
        return None;
    }
    command.word(line.as_bytes()).or_else(|| assigned(line.as_bytes()).filter(|_| line.starts_with('-')))
}

/// A key that spans several cells of a column. Nothing else does: rows that follow each other need not be of one text, and an indented one
/// is no sign that it belongs to the one before.
fn columns(rows: &mut [Value]) -> bool {
    let mut changed = false;
    let width = rows.iter().filter_map(Value::as_array).map(Vec::len).max().unwrap_or(0);
    for column in 0..width {
        let mut key = PrivateKey::of_rows();
        for row in rows.iter_mut() {
            let cell = row.as_array_mut().and_then(|row| row.get_mut(column));
            if let Some(Value::String(text)) = cell
                && let Some(hidden) = key.line(text, text)
            {
                changed |= put(text, redact_line(&hidden).into_owned());
            }
        }
    }
    changed
}
