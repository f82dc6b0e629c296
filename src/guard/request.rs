//! Whether a request passes, from its method and its target alone. Text in, and out comes a request of our own making.
//!
//! A target is not repaired: what the Engine could read in another way than we do is no request.

use std::fmt::Write;

use serde_json::Value;

use super::table::{Kind, PULL, Row, TABLE};
use engine::{image::Reference, replace::Replaced};
use text::json;

/// The longest target, in bytes. Filters can be long.
const LONGEST: usize = 8 << 10;

/// A request that passes, taken to pieces.
#[derive(Clone, Debug)]
pub struct Call {
    /// Which it is.
    pub row: &'static Row,
    /// What stands in the path for the braces, of which no row has two.
    pub subject: Option<String>,
    /// What stands in the query, by the row's own names.
    pub query: Vec<(&'static str, String)>,
    /// The image that this fetches, by its whole name.
    pub pulled: Option<Reference>,
}

impl Call {
    /// Finds the row; an error says in words why there is none.
    pub fn of(method: &str, target: &str) -> Result<Self, String> {
        if target.len() > LONGEST {
            return Err("the request is too long".to_owned());
        }
        if !target.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'#' | b'\\' | b'"' | b'<' | b'>')) {
            return Err("the request has characters that none has".to_owned());
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = unversioned(path);
        let (row, subject) = TABLE
            .iter()
            .filter(|row| row.method == method)
            .find_map(|row| Some((row, subject(row, path)?)))
            .ok_or("this request is not one that passes")?;
        let mut query = pairs(query, row.query)?;
        let pulled = if row.path == PULL { Some(whole(&mut query)?) } else { None };
        Ok(Self { row, subject: subject.map(str::to_owned), query, pulled })
    }

    /// The target for the Engine, without a version: in its newest form, which is the one the table speaks of.
    pub fn target(&self) -> String {
        let mut target = self.row.path.to_owned();
        if let (Some(subject), Some((before, rest))) = (&self.subject, self.row.path.split_once('{')) {
            let after = rest.split_once('}').map_or("", |(_, after)| after);
            target = format!("{before}{subject}{after}");
        }
        for (at, (name, value)) in self.query.iter().enumerate() {
            target.push(if at == 0 { '?' } else { '&' });
            target.push_str(name);
            target.push('=');
            for byte in value.bytes() {
                match byte {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'/' | b':' | b'@' => {
                        target.push(char::from(byte));
                    }
                    // writing to a String cannot fail
                    _ => drop(write!(target, "%{byte:02X}")),
                }
            }
        }
        target
    }

    /// What stands for this name in the query.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_str())
    }

    /// Whom the container that this makes is to replace, as its name says.
    pub fn replaced(&self) -> Option<Replaced> {
        self.value("name").and_then(Replaced::by)
    }
}

/// The image that is to be fetched, put in place of what was written: one image, not all tags of a repository, and by its whole name.
/// Podman searches for a shorter one, and takes some for the way to a file of the machine.
fn whole(query: &mut Vec<(&'static str, String)>) -> Result<Reference, String> {
    let value = |name: &str| query.iter().find(|(given, _)| *given == name).map(|(_, value)| value.as_str());
    let name = value("fromImage").ok_or("fromImage names the image to pull")?;
    let text = match value("tag") {
        None => name.to_owned(),
        Some(digest) if digest.contains(':') => format!("{name}@{digest}"),
        Some(tag) => format!("{name}:{tag}"),
    };
    let image = Reference::parse(&text).map_err(|failure| failure.to_string())?.whole();
    query.retain(|(name, _)| !matches!(*name, "fromImage" | "tag"));
    query.extend([("fromImage", image.name.clone()), ("tag", image.version().to_owned())]);
    Ok(image)
}

/// The path without one version before it.
fn unversioned(path: &str) -> &str {
    let after = path.strip_prefix("/v1.").and_then(|rest| rest.find('/').map(|at| (&rest[..at], &rest[at..])));
    match after {
        Some((version, path))
            if (1..=3).contains(&version.len()) && version.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            path
        }
        _ => path,
    }
}

/// What stands in `path` for the braces of a row's; `None` if it does not fit.
fn subject<'a>(row: &Row, path: &'a str) -> Option<Option<&'a str>> {
    let Some((before, rest)) = row.path.split_once('{') else { return (row.path == path).then_some(None) };
    let (kind, after) = rest.split_once('}')?;
    let subject = path.strip_prefix(before)?.strip_suffix(after)?;
    let fits = match kind {
        "id" => is_id(subject),
        "image" => is_image(subject) && (!row.acts() || is_exact(subject)),
        "name" => is_name(subject),
        _ => false,
    };
    fits.then_some(Some(subject))
}

/// The pairs of a query: each name known, none twice, each value what it has to be.
fn pairs(query: &str, known: &'static [(&'static str, Kind)]) -> Result<Vec<(&'static str, String)>, String> {
    let mut pairs: Vec<(&'static str, String)> = vec![];
    for pair in query.split('&').filter(|_| !query.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or("a part of the query has no value")?;
        let (name, kind) = known
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or_else(|| format!("{:?} may not be asked for here", name.chars().take(64).collect::<String>()))?;
        if pairs.iter().any(|(given, _)| given == name) {
            return Err(format!("{name} is asked for twice"));
        }
        let value =
            decoded(value).filter(|value| fits(*kind, value)).ok_or_else(|| format!("{name} may not be this"))?;
        pairs.push((name, value));
    }
    // the Engine takes silence for yes there
    if let Some((name, _)) =
        known.iter().find(|(name, kind)| *kind == Kind::Never && !pairs.iter().any(|(given, _)| given == name))
    {
        return Err(format!("{name} has to be false"));
    }
    // what says nothing is not said
    pairs.retain(|(_, value)| !value.is_empty());
    Ok(pairs)
}

/// The text of a value in a query, if it is one.
fn decoded(value: &str) -> Option<String> {
    let mut bytes = value.bytes();
    let mut text = vec![];
    while let Some(byte) = bytes.next() {
        text.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            // some readers take it for an ampersand
            b';' => return None,
            byte => byte,
        });
    }
    String::from_utf8(text).ok().filter(|text| !text.chars().any(char::is_control))
}

fn fits(kind: Kind, value: &str) -> bool {
    let digits = |text: &str| (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_number = |text: &str| text.len() <= 9 && digits(text);
    match kind {
        Kind::Flag => matches!(value, "0" | "1" | "false" | "true" | "False" | "True"),
        Kind::No | Kind::Never => matches!(value, "0" | "false" | "False"),
        Kind::Number => is_number(value),
        Kind::Integer => is_number(value.strip_prefix('-').unwrap_or(value)),
        Kind::Seconds => is_number(value) && value.parse::<u32>().is_ok_and(|seconds| seconds <= 3600),
        Kind::Time => {
            let (seconds, fraction) = value.split_once('.').unwrap_or((value, "0"));
            digits(seconds) && digits(fraction)
        }
        Kind::Name => is_name(value),
        Kind::Word(words) => words.contains(&value),
        Kind::Image => is_image(value),
        Kind::Tag => value.is_empty() || is_tag(value),
        Kind::Nothing => value.is_empty(),
        Kind::Signal => {
            (1..=12).contains(&value.len())
                && value.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'+')
        }
        Kind::Filters(known) => are_filters(value, known),
    }
}

/// `{"label":["a=b"]}`, or `{"label":{"a=b":true}}` as it was before.
fn are_filters(value: &str, known: &[&str]) -> bool {
    if value.is_empty() {
        return true;
    }
    if json::check(value.as_bytes()).is_err() {
        return false;
    }
    let Ok(Value::Object(filters)) = serde_json::from_str(value) else { return false };
    filters.iter().all(|(name, values)| {
        known.contains(&name.as_str())
            && match values {
                Value::Array(list) => list.iter().all(Value::is_string),
                Value::Object(set) => set.values().all(Value::is_boolean),
                _ => false,
            }
    })
}

/// A container's full id.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A name of a container, a network or a volume.
pub(super) fn is_name(text: &str) -> bool {
    text.len() <= 255
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// An image's id or name: what Podman takes for the way to a file of the machine is neither.
pub(super) fn is_image(text: &str) -> bool {
    Reference::parse(text).is_ok()
}

/// A tag or a digest.
fn is_tag(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    text.len() <= 256
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && !text.contains("..")
        && text.bytes().all(is_plain)
}

/// Whether an image is named so that no engine takes it for the beginning of an id: by its full id, a tag or a digest.
fn is_exact(text: &str) -> bool {
    let last = text.rsplit('/').next().unwrap_or_default();
    let is_named = last.contains(['@', ':']) && !text.starts_with("sha256:");
    is_named || is_id(text.strip_prefix("sha256:").unwrap_or(text))
}
