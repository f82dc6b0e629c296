//! Secrets that span lines: private keys, the values of a Kubernetes Secret, blocks of YAML, and values that stand on a line of their own
//! after one that names them. A name that stands a line after its value comes too late.

use std::borrow::Cow;

use super::{
    MARK, is_secret,
    looks::KEYS,
    named::{Role, half},
    redact_line,
};
use crate::text::names::{is_block, is_harmless, is_odd};

const PEM: &str = "-----BEGIN ";
const PEM_END: &str = "-----END ";

/// Lines between the heading of a key and the key itself.
const HEADERS: [&str; 5] = ["Proc-Type: ", "DEK-Info: ", "Version: ", "Comment: ", "Hash: "];

/// The shortest part of a key on a line that has other words before it.
const KEY_PART: usize = 16;

/// Takes the secrets out of a text's lines, one after the other: what one line says of the next is remembered. One for
/// each text.
#[derive(Debug, Default)]
pub struct Redactor {
    key: PrivateKey,
    manifest: Manifest,
    pair: Pair,
    block: Block,
}

impl Redactor {
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
        let key = self.key.line(line);
        let manifest = self.manifest.line(line);
        let pair = self.pair.line(line);
        let block = self.block.line(line, self.pair.is_secret);
        let hidden = block.or(key).or(manifest).or(pair)?;
        Some(redact_line(&hidden).into_owned())
    }
}

/// A private key of several lines.
#[derive(Debug, Default)]
pub(super) struct PrivateKey {
    is_open: bool,
}

impl PrivateKey {
    /// `line` without what of the key is in it, if that began before. Its other secrets stay.
    pub(super) fn line(&mut self, line: &str) -> Option<String> {
        // what ends the key may be hidden with a secret: then it began for whoever looks at the line as it is shown
        let starts = line.contains(PEM) && (begins_key(line) || begins_key(&redact_line(line))) || is_putty(line);
        let ends = line.contains(PEM_END);
        let hidden = if self.is_open && (ends || !starts) { key_line(line) } else { None };
        self.is_open = starts || hidden.is_some() && !ends;
        hidden.filter(|hidden| hidden != line)
    }
}

/// Whether a private key begins in `line` and does not end there.
fn begins_key(line: &str) -> bool {
    line.rfind(PEM).is_some_and(|at| KEYS.iter().any(|kind| line[at..].contains(kind)) && !line[at..].contains(PEM_END))
}

/// Whether the next line is one of a private key, as PuTTY writes it.
fn is_putty(line: &str) -> bool {
    line.starts_with("Private-Lines: ")
}

/// A further line of a private key, perhaps with a time and a name before it.
fn key_line(line: &str) -> Option<String> {
    if let Some(end) = line.find(PEM_END) {
        return Some(format!("{}{}", if end == 0 { "" } else { MARK }, &line[end..]));
    }
    let word = line.rsplit(' ').next().unwrap_or_default();
    // a mark ends it: whatever line it stands for is hidden already, and so are those of the key after it
    let is_header = |header: &&str| line.find(*header).is_some_and(|at| at == 0 || line[..at].ends_with(' '));
    if word.is_empty() || HEADERS.iter().any(is_header) {
        return Some(line.to_owned());
    }
    let base64 = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_:,".contains(&byte));
    (base64 && (word.len() == line.len() || word.len() >= KEY_PART))
        .then(|| format!("{}{MARK}", &line[..line.len() - word.len()]))
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
