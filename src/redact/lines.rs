//! Secrets that are known by the line they fill: an entry of `.pgpass` or of `/etc/shadow`, a setting and its value.

use std::ops::Range;

use super::{directives, step};
use crate::names::{Name, is_harmless, is_name, sensitive};

/// What stands alone after a secret's name in a message, and is no value.
const SAID: [&str; 14] = [
    "authentication",
    "changed",
    "check",
    "correct",
    "denied",
    "error",
    "found",
    "incorrect",
    "mismatch",
    "refreshed",
    "reset",
    "revoked",
    "updated",
    "verified",
];

/// Adds to `found` what is a secret because of the line as a whole.
pub(super) fn find(text: &[u8], found: &mut Vec<Range<usize>>) {
    let mut start = 0;
    for line in text.split(|byte| *byte == b'\n') {
        let first = word(line, 0);
        let second = first.as_ref().and_then(|first| word(line, first.end));
        let secret = match (first, second) {
            (None, _) => None,
            (Some(first), None) => {
                let secret = fields(&line[first.clone()]);
                secret.map(|secret| first.start + secret.start..first.start + secret.end)
            }
            (Some(first), Some(second)) => {
                directives::find(line, &first, &second, start, found);
                if word(line, second.end).is_none() { setting(line, first, second) } else { None }
            }
        };
        found.extend(secret.map(|secret| start + secret.start..start + secret.end));
        start += line.len() + 1;
    }
}

fn word(line: &[u8], from: usize) -> Option<Range<usize>> {
    let start = from + line[from..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let end = start + line[start..].iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
    step(end - from);
    (end > start).then_some(start..end)
}

/// `requirepass hunter2`, as redis.conf, nslcd.conf or a `.netrc` of several lines have it.
fn setting(line: &[u8], name: Range<usize>, value: Range<usize>) -> Option<Range<usize>> {
    let is_setting = line[name.clone()].iter().all(|byte| is_name(*byte)) && line[name.start].is_ascii_alphabetic();
    let given = &line[value.clone()];
    let said = SAID.iter().any(|word| given.eq_ignore_ascii_case(word.as_bytes()));
    let is_secret = is_setting && sensitive(&line[name]) == Some(Name::Secret);
    (is_secret && !said && !is_harmless(given) && given.len() > 3 && !matches!(given[0], b'=' | b':' | b'/' | b'-'))
        .then_some(value)
}

/// `host:port:database:user:secret` and `user:hash:19000:0:99999:7:::`.
fn fields(line: &[u8]) -> Option<Range<usize>> {
    let mut ends = [0; 10];
    let mut count = 0;
    for (at, _) in line.iter().enumerate().filter(|(_, byte)| **byte == b':') {
        *ends.get_mut(count)? = at;
        count += 1;
    }
    let field = |number: usize| {
        let start = if number == 0 { 0 } else { ends[number - 1] + 1 };
        start..if number == count { line.len() } else { ends[number] }
    };
    let number = |range: Range<usize>| line[range].iter().all(u8::is_ascii_digit);
    match count {
        4 => {
            let (port, secret) = (field(1), field(4));
            let is_port = &line[port.clone()] == b"*" || (2..=5).contains(&port.len()) && number(port);
            let filled = (0..4).all(|at| !field(at).is_empty()) && secret.len() > 3;
            // an address of IPv6 has fields of up to four digits
            let named = line[field(3)].iter().chain(&line[field(2)]).any(|byte| !byte.is_ascii_hexdigit());
            (is_port && filled && named).then_some(secret)
        }
        8 => {
            let hash = field(1);
            let locked = line[hash.clone()].iter().all(|byte| matches!(byte, b'!' | b'*' | b'x'));
            (!locked && (2..8).all(|at| number(field(at))) && !field(2).is_empty()).then_some(hash)
        }
        _ => None,
    }
}
