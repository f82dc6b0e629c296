//! Secrets in text that others wrote, taken out by how they are called and how they look.
//!
//! No regular expressions: each of four passes (looks, names, command lines, whole lines) walks the text once. Where in
//! doubt the text loses: a word too much is hidden rather than a secret too few.
//!
//! What comes out is final. A mark in the place of a secret can make the rest read differently, so the passes are made
//! until they find nothing: what a caller may search is then what a caller is shown, however often it was redacted.

mod answer;
mod arguments;
mod clean;
mod directives;
mod fold;
mod key;
mod lines;
mod looks;
mod named;
pub mod names;
mod octets;
#[cfg(any(test, feature = "spelled"))]
pub mod spelled;
mod stream;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, ops::Range};

pub use answer::redact_value;
pub use clean::{clean, clean_value};
pub use fold::is_folded;
pub use key::ENCODED;
pub use stream::Redactor;

use self::{
    arguments::Command,
    fold::fold,
    names::{Name, is_harmless, is_name, sensitive},
};

/// What stands in the place of a secret.
pub const MARK: &str = "[redacted]";

/// How often text is looked at. Two suffice for what people and programs write, the second to find nothing.
const PASSES: usize = 8;

/// A process's arguments on one line, quoted only where the line would read otherwise, and without their secrets.
pub fn redact_arguments(arguments: &[impl AsRef<[u8]>]) -> String {
    let words: Vec<String> =
        arguments.iter().map(|word| clean(&String::from_utf8_lossy(word.as_ref()), usize::MAX).into_owned()).collect();
    // a process that gave itself a title has one argument, all of it for reading
    if let [title] = &words[..] {
        return redact_line(title).into_owned();
    }
    let mut command = Command::default();
    let words = words.iter().map(|word| quoted(redact_argument(&mut command, word)));
    let line = words.collect::<Vec<_>>().join(" ");
    // side by side the words may say more than each alone
    redact_line(&line).into_owned()
}

fn redact_argument<'a>(command: &mut Command, word: &'a str) -> Cow<'a, str> {
    match command.word(word.as_bytes()).or_else(|| assigned(word.as_bytes())) {
        Some(from) => format!("{}{MARK}", &word[..from]).into(),
        None => redact_line(word),
    }
}

/// Where the value begins, if all of `word` is `key=value` with a secret's key: blanks are part of the value here.
fn assigned(word: &[u8]) -> Option<usize> {
    let end = word.iter().position(|byte| !is_name(*byte))?;
    let value = end + 1;
    let secret = word[end] == b'=' && sensitive(&word[..end]).is_some() && !is_harmless(&word[value..]);
    secret.then_some(value)
}

/// Whether all that is given to `name` is a secret.
fn is_secret(name: &str) -> bool {
    matches!(sensitive(name.as_bytes()), Some(Name::Secret | Name::Authorization | Name::Cookie))
}

fn quoted(word: Cow<'_, str>) -> String {
    if word.is_empty() || word.contains([' ', '"', '\'', '\\']) {
        return format!("'{}'", word.replace('\'', "'\\''"));
    }
    word.into_owned()
}

/// `text` without its secrets. Borrowed, if there are none. Doing it again changes nothing.
pub fn redact_line(text: &str) -> Cow<'_, str> {
    let Some(mut redacted) = once(&fold(text)) else { return text.into() };
    for _ in 1..PASSES {
        let Some(again) = once(&redacted) else { return redacted.into() };
        redacted = again;
    }
    // made never to come to rest, so not made for reading
    MARK.into()
}

/// `text` without what one look finds, or nothing if it finds nothing.
fn once(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    looks::find(bytes, &mut found);
    named::find(bytes, &mut found);
    arguments::find(bytes, 0..bytes.len(), &mut found);
    lines::find(bytes, &mut found);
    // what begins with a mark was taken care of: to go on behind it would eat the text word by word
    found.retain(|range| !range.is_empty() && text.get(range.clone()).is_some_and(|secret| !secret.starts_with(MARK)));
    if found.is_empty() {
        return None;
    }
    found.sort_unstable_by_key(|range| (range.start, range.end));
    Some(marked(text, &found))
}

fn marked(text: &str, found: &[Range<usize>]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for range in found {
        if range.start >= at {
            out.push_str(&text[at..range.start]);
            out.push_str(MARK);
        }
        at = at.max(range.end);
    }
    out.push_str(&text[at..]);
    out
}

/// Counts work, in tests: hostile text must not cost more than its length.
pub(crate) fn step(_bytes: usize) {
    #[cfg(test)]
    tests::STEPS.with(|steps| steps.set(steps.get() + _bytes));
}
