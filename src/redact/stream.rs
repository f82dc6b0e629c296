//! Secrets that span lines: private keys, the values of a Kubernetes Secret, blocks of YAML, and values that stand on a line of their own
//! after one that names them. A name that stands a line after its value comes too late.

use std::borrow::Cow;

use super::{
    MARK,
    fold::fold,
    is_secret,
    key::PrivateKey,
    named::{Role, half},
    octets::Octets,
    redact_line,
};
use crate::names::{is_block, is_harmless, is_odd};

/// Takes the secrets out of a text's lines, one after the other: what one line says of the next is remembered. One for
/// each text.
#[derive(Debug, Default)]
pub struct Redactor {
    key: PrivateKey,
    manifest: Manifest,
    pair: Pair,
    block: Block,
    octets: Octets,
}

impl Redactor {
    /// For a text of which the beginning was not read: its first lines may be those of a key that began before them.
    pub fn midway() -> Self {
        Self { key: PrivateKey::midway(), octets: Octets::midway(), ..Self::default() }
    }

    /// Whether a private key has begun and not ended, or may have.
    pub fn is_in_key(&self) -> bool {
        self.key.is_open() || self.octets.is_open()
    }

    /// `line` without its secrets; the next of its text, and without its line break. Borrowed, if there are none.
    pub fn line<'a>(&mut self, line: &'a str) -> Cow<'a, str> {
        match self.carried(line) {
            Some(carried) => carried.into(),
            None => redact_line(line),
        }
    }

    /// Takes note of a line that is not shown, and of what it says of the next.
    pub fn pass(&mut self, line: &str) {
        self.carried(line);
    }

    /// `line` without its secrets, if the lines before say that it has some.
    pub(super) fn carried(&mut self, line: &str) -> Option<String> {
        let folded = fold(line);
        let line = &*folded;
        let manifest = self.manifest.line(line);
        let pair = self.pair.line(line);
        let block = self.block.line(line, self.pair.is_secret);
        let octets = self.octets.line(line);
        let hidden = block.or(manifest).or(pair).or(octets);
        let hidden = self.key.line(line, hidden.as_deref().unwrap_or(line)).or(hidden)?;
        Some(redact_line(&hidden).into_owned())
    }
}

/// Where we are in an object of Kubernetes, as YAML or as JSON with a line for each key.
#[derive(Debug, Default)]
struct Manifest {
    /// How far its keys are indented.
    indent: usize,
    kind: Kind,
    /// We are below `data` or `stringData`, which is indented so far.
    data: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    /// `kind` may stand after `data`: the keys are often sorted.
    #[default]
    Unknown,
    Secret,
    Other,
}

impl Manifest {
    fn line(&mut self, line: &str) -> Option<String> {
        let key = line.trim_start_matches([' ', '-']);
        if key.is_empty() {
            if line.starts_with("---") {
                *self = Self::default();
            }
            return None;
        }
        let indent = line.len() - key.len();
        if let Some(data) = self.data {
            if indent > data {
                return self.datum(line, indent);
            }
            self.data = None;
        }
        let (name, value) = entry(key)?;
        match name {
            "apiVersion" if indent <= self.indent || self.kind != Kind::Secret => {
                *self = Self { indent, ..Self::default() };
            }
            "kind" if indent <= self.indent || self.kind == Kind::Unknown => {
                self.kind = if value == "Secret" { Kind::Secret } else { Kind::Other };
            }
            "data" | "stringData" if matches!(value, "" | "{") && self.kind != Kind::Other => self.data = Some(indent),
            _ => {}
        }
        None
    }

    /// A line below `data`, without its value.
    fn datum(&self, line: &str, indent: usize) -> Option<String> {
        let secret = self.kind == Kind::Secret;
        let value = match entry(&line[indent..]) {
            Some((_, value)) if secret || is_base64(value) => value,
            // one line of several
            None if secret => line[indent..].trim_matches(['}', ',', ' ']),
            _ => return None,
        };
        let value = if is_header(value) || matches!(value, "{" | MARK) { "" } else { value };
        let at = if value.is_empty() { return None } else { line.rfind(value)? };
        Some(format!("{}{MARK}{}", &line[..at], &line[at + value.len()..]))
    }
}

/// A secret's name on one line and its value on another, as in a list of environment variables: `- name: DB_PASSWORD`, `  value: x`; in
/// YAML, JSON, HCL or XML.
#[derive(Debug, Default)]
struct Pair {
    /// How far the name is indented.
    named: Option<usize>,
    /// The last line is the value.
    is_secret: bool,
}

impl Pair {
    fn line(&mut self, line: &str) -> Option<String> {
        self.is_secret = false;
        let key = line.trim_start_matches([' ', '\t', '-', '{', '<', '"', '\'']);
        if key.is_empty() {
            return None;
        }
        let indent = line.len() - key.len();
        let is_item = line.trim_start().starts_with(['-', '{']);
        self.named = self.named.filter(|named| indent >= *named && !is_item);
        let (role, range) = half(line, indent)?;
        let value = &line[range.clone()];
        if role == Role::Name {
            self.named = is_secret(without_comment(value)).then_some(indent);
            return None;
        }
        self.is_secret = self.named == Some(indent);
        let is_open = is_header(value) || matches!(value, "{" | "[" | MARK);
        if !self.is_secret || is_open || is_harmless(value.as_bytes()) {
            return None;
        }
        Some(format!("{}{MARK}{}", &line[..range.start], &line[range.end..]))
    }
}

/// A secret of several lines in YAML: `password: |` or `password: "x`, and all that is indented further; or `password:` alone, and a
/// single word below.
#[derive(Debug, Default)]
struct Block {
    /// How far the name is indented.
    named: Option<usize>,
    /// Nothing was said yet of what stands below.
    is_bare: bool,
}

impl Block {
    fn line(&mut self, line: &str, is_value: bool) -> Option<String> {
        let text = line.trim_start_matches([' ', '\t']);
        if text.is_empty() {
            return None;
        }
        let indent = line.len() - text.len();
        let is_bare = std::mem::take(&mut self.is_bare);
        if self.named.is_some_and(|named| indent > named) && (!is_bare || is_scalar(text)) {
            return (text != MARK).then(|| format!("{}{MARK}", &line[..indent]));
        }
        self.named = None;
        let key = line.trim_start_matches([' ', '\t', '-']);
        let (name, value) = entry(key)?;
        let is_secret = is_value || is_secret(name);
        self.is_bare = is_secret && is_bare_value(value);
        if is_secret && (self.is_bare || is_header(value) || is_unclosed(value)) {
            self.named = Some(line.len() - key.len());
        }
        None
    }
}

/// What a block of YAML begins with: `|`, `!!binary >-`, `&anchor |`.
fn is_header(value: &str) -> bool {
    let value = without_comment(value);
    let header = if value.starts_with(['!', '&']) { value.rsplit(' ').next().unwrap_or_default() } else { value };
    is_block(header.as_bytes())
}

/// Whether nothing is given on this line.
fn is_bare_value(value: &str) -> bool {
    let value = without_comment(value);
    value.is_empty() || value.starts_with('#') || value.starts_with(['!', '&']) && !value.contains(' ')
}

/// Whether `value` goes on below. A mark may stand for the quote that closes it.
fn is_unclosed(value: &str) -> bool {
    let goes_on = |rest: &str, quote| !rest.contains(quote) && !rest.starts_with(MARK);
    ['"', '\''].into_iter().any(|quote| value.strip_prefix(quote).is_some_and(|rest| goes_on(rest, quote)))
}

/// A value alone, that is neither a key nor an item of a list.
fn is_scalar(text: &str) -> bool {
    let text = without_comment(text).trim_end_matches(['\r', ',']);
    let quoted = ['"', '\''].iter().any(|quote| text.starts_with(*quote) && text.len() > 1 && text.ends_with(*quote));
    let word = || !text.contains(' ') && !text.contains(MARK) && !text.starts_with(['-', '{', '[', '}', ']', '#', '<']);
    (quoted || word()) && !text.ends_with([':', '{', '[', '(']) && !is_harmless(text.as_bytes())
}

fn without_comment(value: &str) -> &str {
    value.split(" #").next().unwrap_or_default().trim_end()
}

/// `name: value`, without quotes and commas.
fn entry(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.split_once(':')?;
    let name = name.trim_matches('"');
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let value = value.trim_matches([' ', ',', '\r']);
    plain.then(|| (name, value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value)))
}

fn is_base64(value: &str) -> bool {
    let letters = value.trim_end_matches('=');
    value.len() >= 8
        && value.len().is_multiple_of(4)
        && value.len() - letters.len() <= 2
        && letters.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        && is_odd(value.as_bytes())
}
