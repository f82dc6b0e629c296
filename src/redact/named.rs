//! Secrets that are known by what stands before them: `key=value`, `"key": "value"`, `scheme://user:secret@host`,
//! `IDENTIFIED BY 'secret'`.

use std::ops::Range;

use super::{MARK, step};
use crate::names::{Name, is_bool, is_harmless, is_name, is_odd, sensitive};

/// Schemes of an `Authorization` that are followed by one word.
const SCHEMES: [&str; 9] = ["bearer", "basic", "token", "negotiate", "ntlm", "apikey", "bot", "key", "splunk"];

/// Addresses whose path is the secret.
const HOOKS: [(&str, &str); 6] = [
    ("hooks.slack.com", "/"),
    ("discord.com", "/api/webhooks/"),
    ("discordapp.com", "/api/webhooks/"),
    ("webhook.office.com", "/"),
    ("outlook.office.com", "/webhook/"),
    ("api.telegram.org", "/bot"),
];

/// How many times over a `%` may itself be escaped, in digits.
const ESCAPES: usize = 8;

/// A word of SQL, or the name of a user in it.
const LONGEST_WORD: usize = 64;

/// What signs an address, and so opens what it names.
const SIGNATURES: [&str; 4] = ["sig", "signature", "x-amz-signature", "x-goog-signature"];

/// What a private key has in JSON (RFC 7518): its secret numbers, in base64 of at least so many characters.
const NUMBERS: [&[u8]; 7] = [b"d", b"p", b"q", b"dp", b"dq", b"qi", b"k"];
const NUMBER: usize = 40;

/// Adds to `found` what is a secret because of its name.
pub(super) fn find(text: &[u8], found: &mut Vec<Range<usize>>) {
    let mut line = Line::new(text);
    while line.at < text.len() {
        let byte = text[line.at];
        if is_name(byte) {
            let start = line.at;
            line.at = line.run(start, is_name);
            line.named(start..line.at, found);
        } else if let Some((_, end)) = line.escape(line.at) {
            // its digits are not the beginning of a name
            step(end - line.at);
            line.at = end;
        } else {
            step(1);
            line.quote(byte);
            line.protocol(found);
            if matches!(byte, b'{' | b'}' | b'\n') {
                line.pair = Pair::Open;
            }
            line.at += 1;
        }
    }
}

/// What the key at `start` is in a pair that has a line for each half, and what it is given: without its quotes, or all to the line's end.
pub(super) fn half(line: &str, start: usize) -> Option<(Role, Range<usize>)> {
    let text = Line::new(line.as_bytes());
    let key = start..text.run(start, is_name);
    let role = role(&text.text[key.clone()])?;
    let value = text.value(&key)?;
    let rest = line.trim_end_matches([' ', ',', '\r']).len();
    Some((role, value.start..if value.quoted { value.end } else { rest.max(value.end) }))
}

struct Line<'a> {
    text: &'a [u8],
    at: usize,
    /// The quote we are inside of: it ends a value that has no quotes of its own.
    open: Option<u8>,
    /// Where the word ends that was looked at last, and its last `@`: looked for once per word.
    word: Option<(usize, Option<usize>)>,
    /// Behind the last `@tcp(`: what stands before it is done with.
    after: usize,
    pair: Pair,
}

/// What of `name: DB_PASSWORD, value: x` has been seen, in the one order or in the other.
enum Pair {
    Open,
    /// The name, and whether it is a secret's.
    Name(bool),
    /// Where the value's key stands.
    Value(Range<usize>),
}

/// What a key says of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It is the name of something.
    Name,
    /// It is the value of what is named beside it.
    Value,
}

/// The keys of a pair: in a list of environment variables, in XML, for CloudFormation.
fn role(key: &[u8]) -> Option<Role> {
    let is = |words: &[&[u8]]| words.iter().any(|word| key.eq_ignore_ascii_case(word));
    match key.len() {
        3..=14 if is(&[b"name", b"key", b"variable", b"ParameterKey"]) => Some(Role::Name),
        5..=14 if is(&[b"value", b"ParameterValue"]) => Some(Role::Value),
        _ => None,
    }
}

impl<'a> Line<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, open: None, word: None, after: 0, pair: Pair::Open }
    }

    fn quote(&mut self, byte: u8) {
        if !matches!(byte, b'"' | b'\'') {
            return;
        }
        // not the apostrophe of `don't`
        let apostrophe = self.at > 0 && self.text[self.at - 1].is_ascii_alphanumeric();
        match self.open {
            Some(open) if open == byte => self.open = None,
            None if !apostrophe => self.open = Some(byte),
            _ => {}
        }
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    fn run(&self, from: usize, mut is: impl FnMut(u8) -> bool) -> usize {
        let length = self.text[from..].iter().take_while(|byte| is(**byte)).count();
        step(length);
        from + length
    }

    /// Looks at what follows a name, and moves on behind it when it is a secret.
    fn named(&mut self, name: Range<usize>, found: &mut Vec<Range<usize>>) {
        let text = &self.text[name.clone()];
        if self.text[name.end..].starts_with(b"://") {
            return self.authority(name.end + 3, found);
        }
        if let Some(start) = self.escaped(name.end, b"://") {
            return self.escaped_authority(start, found);
        }
        if self.byte(name.end) == Some(b'/') {
            let hook = HOOKS.iter().find(|(host, path)| {
                ends_with(text, host.as_bytes()) && self.text[name.end..].starts_with(path.as_bytes())
            });
            if let Some((_, path)) = hook {
                let start = name.end + path.len();
                let end = self.run(start, |byte| !byte.is_ascii_whitespace() && !b"\"'<>`".contains(&byte));
                found.push(start..end);
                self.at = end;
            }
            return;
        }
        if text.eq_ignore_ascii_case(b"bearer") || text.eq_ignore_ascii_case(b"basic") {
            return self.scheme(name.end, found);
        }
        if text.eq_ignore_ascii_case(b"identified") {
            return self.identified(name.clone(), found);
        }
        if let Some(value) = self.beside(&name) {
            if sensitive(text).is_some() {
                self.hide(value, found);
            }
            return;
        }
        if !self.is_given(name.end) {
            return;
        }
        // not where a tag closes
        let opens = !self.text[..name.start].ends_with(b"/");
        if let Some(role) = role(text).filter(|_| opens) {
            return self.pair(role, name, found);
        }
        let in_query = name.start.checked_sub(1).is_some_and(|at| matches!(self.text[at], b'?' | b'&'));
        let signature = || in_query && SIGNATURES.iter().any(|name| text.eq_ignore_ascii_case(name.as_bytes()));
        if text.len() <= 2 && NUMBERS.contains(&text) {
            return self.number(&name, found);
        }
        let Some(kind) = sensitive(text).or_else(|| signature().then_some(Name::Secret)) else { return };
        let Some(value) = self.value(&name) else {
            if text.eq_ignore_ascii_case(b"password") {
                self.password(name.end, found);
            }
            return;
        };
        match kind {
            Name::Authorization => self.authorization(value, found),
            Name::Cookie => self.hide(value.start..self.rest(&value), found),
            Name::Perhaps if !value.quoted && !is_odd(&self.text[value.start..value.end]) && value.colon => {}
            Name::Perhaps => self.hide(value.start..value.end, found),
            Name::Secret if self.is_structure(&value) => {
                let end = self.structure(value.start).max(value.end);
                self.at = end;
                found.push(value.start..end);
            }
            Name::Secret if !value.quoted && self.is_setting(&name, &value) => {
                self.hide(value.start..self.phrase(&value), found)
            }
            Name::Secret => self.hide(value.start..value.end, found),
        }
    }

    /// `"d": "…"`, of a private key in JSON.
    fn number(&mut self, name: &Range<usize>, found: &mut Vec<Range<usize>>) {
        let Some(value) = self.value(name).filter(|value| value.quoted && value.end - value.start >= NUMBER) else {
            return;
        };
        let given = &self.text[value.start..value.end];
        let is_base64 = given.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/-_=".contains(byte));
        if is_base64 && given.iter().any(u8::is_ascii_uppercase) && given.iter().any(u8::is_ascii_lowercase) {
            self.hide(value.start..value.end, found);
        }
    }

    /// One half of `name: DB_PASSWORD, value: x`.
    fn pair(&mut self, role: Role, key: Range<usize>, found: &mut Vec<Range<usize>>) {
        let before = std::mem::replace(&mut self.pair, Pair::Open);
        match (role, before) {
            (Role::Name, Pair::Value(value)) if self.names_secret(&key) => {
                // no further than to here: looking on from every key would cost the square
                let line = Line { text: &self.text[..key.start], ..Line::new(&[]) };
                found.extend(line.paired(&value).and_then(|value| self.bare(value)));
            }
            (Role::Name, Pair::Value(_)) | (Role::Value, Pair::Name(false)) => {}
            (Role::Name, _) => self.pair = Pair::Name(self.names_secret(&key)),
            (Role::Value, Pair::Name(true)) => {
                if let Some(value) = self.paired(&key) {
                    self.hide(value, found);
                }
            }
            (Role::Value, _) => self.pair = Pair::Value(key),
        }
    }

    /// Whether what `key` is given is a secret's name.
    fn names_secret(&self, key: &Range<usize>) -> bool {
        let filling =
            |byte: u8| byte.is_ascii_punctuation() && !matches!(byte, b',' | b';') || matches!(byte, b' ' | b'\t');
        let start = self.run(key.end, filling);
        sensitive(&self.text[start..self.run(start, is_name)]).is_some()
    }

    /// What `key` is given.
    fn paired(&self, key: &Range<usize>) -> Option<Range<usize>> {
        let value = self.value(key)?;
        let end = if self.is_structure(&value) { self.structure(value.start) } else { value.end };
        Some(value.start..end)
    }

    fn is_structure(&self, value: &Given) -> bool {
        !value.quoted && matches!(self.byte(value.start), Some(b'{' | b'['))
    }

    /// Whether the whole line is the setting, so that its value may have several words: nothing but blanks, quotes and signs of a list or a
    /// comment stands before the name, and a blank before the value, or else it is `passphrase=`, as programs have it and shells do not.
    fn is_setting(&self, name: &Range<usize>, value: &Given) -> bool {
        let sign = |byte: &&u8| b" \t-#;\"'".contains(byte);
        let before = self.text[..name.start].iter().rev().take_while(sign).count();
        step(before);
        let first = name.start - before;
        let begins = first == 0 || self.text[first - 1] == b'\n';
        let given = &self.text[value.start..value.end];
        let parted = || matches!(self.text[value.start - 1], b' ' | b'\t');
        begins
            && (parted() || !value.colon && is_phrase(&self.text[name.clone()]))
            && (!is_harmless(given) || is_bool(given))
    }

    /// Where a value of several words ends: before a comment, or before what has a value itself.
    fn phrase(&self, value: &Given) -> usize {
        let mut end = value.end;
        loop {
            let start = self.run(end, |byte| matches!(byte, b' ' | b'\t'));
            let next = self.run(start, |byte| !byte.is_ascii_whitespace() && Some(byte) != self.open);
            let word = &self.text[start..next];
            if word.is_empty() || start == end || matches!(word[0], b'#' | b';') || has_value(word) {
                return end;
            }
            end = next;
        }
    }

    /// `bob:secret@tcp(db:3306)/x` and `bob:secret@/x`, as Go names a database.
    fn protocol(&mut self, found: &mut Vec<Range<usize>>) {
        let text = self.text;
        if text[self.at] != b'@' {
            return;
        }
        let end = self.run(self.at + 1, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let no_host = end == self.at + 1;
        if self.byte(end) != Some(if no_host { b'/' } else { b'(' }) {
            return;
        }
        let from = self.after;
        self.after = end;
        let is_word = |byte: &&u8| !byte.is_ascii_whitespace() && !b"\"'`".contains(byte);
        let length = text[from..self.at].iter().rev().take_while(is_word).count();
        step(length);
        let start = self.at - length;
        let Some(colon) = text[start..self.at].iter().position(|byte| *byte == b':').map(|at| start + at) else {
            return;
        };
        let secret = colon + 1..self.at;
        // a path may have an `@` between its slashes
        if !(text[secret.clone()].starts_with(b"//") || no_host && text[secret.clone()].contains(&b'/')) {
            found.push(secret);
        }
    }

    fn hide(&mut self, secret: Range<usize>, found: &mut Vec<Range<usize>>) {
        if let Some(secret) = self.bare(secret) {
            self.at = secret.end;
            found.push(secret);
        }
    }

    /// `secret` without the signs that end it, if it is one.
    fn bare(&self, mut secret: Range<usize>) -> Option<Range<usize>> {
        let text = self.text;
        while text[secret.clone()] != *MARK.as_bytes()
            && text[secret.clone()].last().is_some_and(|byte| b",;)}]\\".contains(byte))
        {
            secret.end -= 1;
        }
        (!is_harmless(&text[secret.clone()])).then_some(secret)
    }

    /// The value of a name that has it beside it and not after it: `define('N', 'V')`.
    fn beside(&self, name: &Range<usize>) -> Option<Range<usize>> {
        let quote = self.byte(name.end).filter(|byte| matches!(byte, b'"' | b'\''))?;
        let opens = name.start.checked_sub(1).filter(|at| self.text[*at] == quote)?;
        let comma = self.blanks(name.end + 1);
        let before = self.text[..opens].iter().rev().find(|byte| **byte != b' ');
        if self.byte(comma) != Some(b',') || before != Some(&b'(') {
            return None;
        }
        let at = self.blanks(comma + 1);
        let quote = self.byte(at).filter(|byte| matches!(byte, b'"' | b'\''))?;
        let value = self.quoted_value(at, 0, quote, false);
        Some(value.start..value.end)
    }

    fn blanks(&self, from: usize) -> usize {
        self.run(from.min(self.text.len()), |byte| byte == b' ')
    }

    /// Whether anything here could give a value to the name before it: most names are just words.
    fn is_given(&self, at: usize) -> bool {
        let gives = |byte: u8| matches!(byte, b'=' | b':' | b'%' | b'"' | b'\'' | b'\\' | b'(');
        match self.byte(at) {
            Some(b' ' | b'\t') => {
                let next = self.run(at, |byte| matches!(byte, b' ' | b'\t'));
                // `PASSWORD FOR bob = 'x'`
                self.byte(next).is_some_and(|byte| gives(byte) || matches!(byte, b'f' | b'F'))
            }
            Some(byte) => gives(byte) || matches!(byte, b'>' | b']'),
            None => false,
        }
    }

    /// The value that is given to the name: after `=`, `:`, `=>`, `:=`, or between XML tags.
    fn value(&self, name: &Range<usize>) -> Option<Given> {
        let before = name.start.checked_sub(1).and_then(|at| self.byte(at));
        if self.byte(name.end) == Some(b'>') && before == Some(b'<') {
            let start = name.end + 1;
            let end = self.run(start, |byte| byte != b'<');
            return Some(Given { start, end, quoted: true, colon: false });
        }
        // the closing quote of `"key"`, perhaps escaped, and the closing bracket of `["key"]` or `[key]`
        let mut at = self.run(name.end, |byte| matches!(byte, b'\\' | b'"' | b'\'' | b']'));
        let closed = at;
        at = self.run(at, |byte| matches!(byte, b' ' | b'\t'));
        let separator = self.byte(at)?;
        if separator == b'%' {
            return self.escaped_value(name.end);
        }
        match (separator, self.byte(at + 1)) {
            (b':', Some(b':')) | (b'=', Some(b'=')) => return None,
            (b':', Some(b'=')) | (b'=', Some(b'>')) => at += 2,
            (b'=' | b':', _) => at += 1,
            _ => return None,
        }
        // `/etc/passwd:12:`, as grep says it
        if separator == b':' && before == Some(b'/') && closed == name.end {
            return None;
        }
        let start = self.run(at, |byte| matches!(byte, b' ' | b'\t'));
        let colon = separator == b':';
        let slashes = self.run(start, |byte| byte == b'\\') - start;
        if let Some(quote) = self.byte(start + slashes).filter(|byte| matches!(byte, b'"' | b'\'' | b'`'))
            && self.open != Some(quote)
        {
            return Some(self.quoted_value(start + slashes, slashes, quote, colon));
        }
        if let Some(quote) = self.byte(start + slashes).filter(|byte| matches!(byte, b'"' | b'\''))
            && (slashes > 0 || closed > name.end)
        {
            return Some(self.quoted_value(start + slashes, slashes, quote, colon));
        }
        let in_query = matches!(before, Some(b'?' | b'&')) && separator == b'=';
        let ends = |byte: u8| {
            byte.is_ascii_whitespace()
                || Some(byte) == self.open
                || in_query && matches!(byte, b'&' | b'#' | b'"' | b'\'' | b'<')
        };
        let end = self.run(start, |byte| !ends(byte));
        Some(Given { start, end, quoted: false, colon })
    }

    fn quoted_value(&self, opening: usize, slashes: usize, quote: u8, colon: bool) -> Given {
        let start = opening + 1;
        let mut run = 0;
        let mut at = start;
        while let Some(byte) = self.byte(at) {
            if byte == quote && (run == slashes || slashes == 0 && run % 2 == 0) {
                break;
            }
            run = if byte == b'\\' { run + 1 } else { 0 };
            at += 1;
        }
        step(at - start);
        let end = if self.byte(at).is_some() { at - slashes.min(at - start) } else { at };
        Given { start, end, quoted: true, colon }
    }

    /// The value of `key%3Dvalue` and of `%22key%22%3A%22value%22`.
    fn escaped_value(&self, name_end: usize) -> Option<Given> {
        let filling = |byte: u8| matches!(byte, b'"' | b'\'' | b' ' | b'\\' | b']');
        let mut at = name_end;
        while let Some((_, end)) = self.escape(at).filter(|(byte, _)| filling(*byte)) {
            at = end;
        }
        let (separator, end) = self.escape(at).filter(|(byte, _)| matches!(byte, b'=' | b':'))?;
        at = end;
        while let Some((_, end)) = self.escape(at).filter(|(byte, _)| filling(*byte)) {
            at = end;
        }
        let start = at;
        while let Some(byte) = self.byte(at) {
            let ends = match self.escape(at) {
                Some((byte, _)) => matches!(byte, b'&' | b'"' | b'\'' | b'\n' | b'\r'),
                None => byte.is_ascii_whitespace() || matches!(byte, b'&' | b'"' | b'\'' | b'<' | b'>'),
            };
            if ends {
                break;
            }
            at += 1;
        }
        step(at - name_end);
        Some(Given { start, end: at, quoted: false, colon: separator == b':' })
    }

    /// The byte that `%3D` stands for, also as `%253D`, and where that ends.
    fn escape(&self, at: usize) -> Option<(u8, usize)> {
        if self.byte(at) != Some(b'%') {
            return None;
        }
        let mut digits = at + 1;
        while self.text[digits..].starts_with(b"25") && digits - at <= ESCAPES {
            digits += 2;
        }
        let hex = |at: usize| self.byte(at).and_then(|byte| char::from(byte).to_digit(16));
        let value = hex(digits)? * 16 + hex(digits + 1)?;
        Some((u8::try_from(value).ok()?, digits + 2))
    }

    /// Where `wanted`, all of it escaped, ends.
    fn escaped(&self, mut at: usize, wanted: &[u8]) -> Option<usize> {
        for wanted in wanted {
            at = self.escape(at).filter(|(byte, _)| byte == wanted)?.1;
        }
        Some(at)
    }

    /// The end of the line, or of the quotes around it.
    fn rest(&self, value: &Given) -> usize {
        if value.quoted {
            return value.end;
        }
        self.run(value.start, |byte| byte != b'\n' && Some(byte) != self.open)
    }

    fn authorization(&mut self, value: Given, found: &mut Vec<Range<usize>>) {
        let limit = if value.quoted { value.end } else { self.text.len() };
        let open = self.open.filter(|_| !value.quoted);
        let word = |from: usize| self.run(from, |byte| !byte.is_ascii_whitespace() && Some(byte) != open).min(limit);
        let first = word(value.start);
        let second = self.run(first, |byte| byte == b' ').min(limit);
        let end = if value.quoted { value.end } else { word(second) };
        let scheme = &self.text[value.start..first];
        if SCHEMES.iter().any(|name| scheme.eq_ignore_ascii_case(name.as_bytes())) {
            self.hide(second..end, found);
        } else if scheme.eq_ignore_ascii_case(b"digest") || scheme.starts_with(b"AWS4-") {
            self.hide(second..self.rest(&value), found);
        } else {
            self.hide(value.start..end, found);
        }
    }

    /// Where the object or list that opens here is closed, or else the line.
    fn structure(&self, start: usize) -> usize {
        if self.text[start..].starts_with(MARK.as_bytes()) {
            return start + MARK.len();
        }
        let mut depth = 0_usize;
        for (at, byte) in self.text[start..].iter().enumerate() {
            step(1);
            match byte {
                b'\n' => return start + at,
                b'{' | b'[' => depth += 1,
                b'}' | b']' if depth == 1 => return start + at + 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
        }
        self.text.len()
    }

    /// `Bearer x`, wherever it stands; not the bearer of bad news.
    fn scheme(&mut self, at: usize, found: &mut Vec<Range<usize>>) {
        let start = self.run(at, |byte| byte == b' ');
        let end = self.run(start, |byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte));
        if start > at && end - start >= 8 && is_odd(&self.text[start..end]) {
            self.hide(start..end, found);
        } else {
            self.at = start;
        }
    }

    /// What stands between `://` and the host.
    fn authority(&mut self, start: usize, found: &mut Vec<Range<usize>>) {
        self.at = start;
        let ends = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b'`');
        let end = self.run(start, |byte| !ends(byte) && !matches!(byte, b'/' | b'?' | b'#'));
        let Some(colon) = self.text[start..end].iter().position(|byte| *byte == b':').map(|at| start + at) else {
            return;
        };
        let at_sign = self.text[start..end].iter().rposition(|byte| *byte == b'@').map(|at| start + at);
        let at_sign = at_sign.or_else(|| {
            // a secret with a slash in it; `host:80/` is none
            let port = self.text[colon + 1..end].iter().all(u8::is_ascii_digit);
            if port || self.byte(start) == Some(b'[') {
                return None;
            }
            if self.word.is_none_or(|(end, _)| end <= start) {
                let end = self.run(start, |byte| !ends(byte));
                self.word =
                    Some((end, self.text[start..end].iter().rposition(|byte| *byte == b'@').map(|at| start + at)));
            }
            self.word.and_then(|(_, at_sign)| at_sign)
        });
        if let Some(at_sign) = at_sign.filter(|at_sign| *at_sign > colon) {
            found.push(colon + 1..at_sign);
            self.at = at_sign;
        }
    }

    /// The same with everything escaped. Looks no further than to the next slash.
    fn escaped_authority(&mut self, start: usize, found: &mut Vec<Range<usize>>) {
        self.at = start;
        let (mut at, mut colon) = (start, None);
        while let Some(byte) = self.byte(at) {
            let (byte, end) = self.escape(at).unwrap_or((byte, at + 1));
            match byte {
                b'/' | b'?' | b'#' | b'"' | b'\'' | b'&' | b'<' | b'>' => break,
                _ if byte.is_ascii_whitespace() => break,
                b':' => colon = colon.or(Some(end)),
                b'@' => {
                    if let Some(colon) = colon {
                        found.push(colon..at);
                        self.at = at;
                    }
                    break;
                }
                _ => {}
            }
            at = end;
        }
        step(at - start);
    }

    /// `IDENTIFIED BY 'x'`, `IDENTIFIED WITH plugin AS 'x'`, and without quotes as Oracle has it.
    fn identified(&mut self, name: Range<usize>, found: &mut Vec<Range<usize>>) {
        let mut word = self.next_word(name.end);
        if self.reads(&word, b"with") {
            word = self.next_word(self.next_word(word.end).end);
        }
        if !self.reads(&word, b"by") && !self.reads(&word, b"as") {
            return;
        }
        self.at = word.end;
        if self.literal(word.end, found) {
            return;
        }
        let start = self.next_word(word.end).start;
        let end = self.run(start, |byte| !byte.is_ascii_whitespace() && !matches!(byte, b';' | b'"' | b'\'' | b')'));
        let secret = start..end;
        let shouted = self.text[name].iter().all(u8::is_ascii_uppercase);
        if !self.reads(&secret, b"password") && (shouted || is_odd(&self.text[secret.clone()])) {
            self.hide(secret, found);
        }
    }

    /// `PASSWORD 'x'`, `PASSWORD('x')`, `PASSWORD FOR bob = 'x'`, as SQL has it.
    fn password(&mut self, at: usize, found: &mut Vec<Range<usize>>) {
        if self.literal(at, found) {
            return;
        }
        let word = self.next_word(at);
        if self.reads(&word, b"for") {
            let equals = self.next_word(self.next_word(word.end).end);
            if self.reads(&equals, b"=") {
                self.literal(equals.end, found);
            }
        }
    }

    /// Hides the literal that begins here, if one does.
    fn literal(&mut self, at: usize, found: &mut Vec<Range<usize>>) -> bool {
        let start = self.run(at, |byte| matches!(byte, b' ' | b'\t' | b'('));
        let opening = self.run(start, |byte| byte == b'\\');
        let Some(quote) = self.byte(opening).filter(|byte| matches!(byte, b'"' | b'\'')) else { return false };
        // of a name in quotes that is the closing one
        if start == at || self.open == Some(quote) && opening == start {
            return false;
        }
        let given = self.quoted_value(opening, opening - start, quote, false);
        self.hide(given.start..given.end, found);
        true
    }

    /// The next word, or the beginning of a long one: without blanks between them all words are one.
    fn next_word(&self, from: usize) -> Range<usize> {
        let start = self.run(from, |byte| matches!(byte, b' ' | b'\t'));
        let longest = self.text.len().min(start + LONGEST_WORD);
        let length = self.text[start..longest].iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
        step(length);
        start..start + length
    }

    fn reads(&self, word: &Range<usize>, wanted: &[u8]) -> bool {
        self.text[word.clone()].eq_ignore_ascii_case(wanted)
    }
}

/// Whether a program's own file may have a value of several words after this name and `=`. `PASSWORD=x psql` is a shell's.
fn is_phrase(name: &[u8]) -> bool {
    name[0].is_ascii_alphabetic()
        && name.iter().any(u8::is_ascii_lowercase)
        && name.windows(4).any(|word| word.eq_ignore_ascii_case(b"pass"))
}

/// Whether `word` is a name and what is given to it, or will be; or the sign that gives it.
fn has_value(word: &[u8]) -> bool {
    if word.iter().all(|byte| b"=:".contains(byte)) {
        return true;
    }
    let word = &word[word.iter().take_while(|byte| b"\"'{[(,".contains(byte)).count()..];
    let name = word.iter().take_while(|byte| is_name(**byte)).count();
    let after = &word[name..];
    let after = after.strip_prefix(b"\"").or(after.strip_prefix(b"'")).unwrap_or(after);
    word.first().is_some_and(u8::is_ascii_alphabetic)
        && (matches!(after, [b':', ..]) || matches!(after, [b'=', next, ..] if *next != b'='))
}

/// A value, without its quotes.
struct Given {
    start: usize,
    end: usize,
    quoted: bool,
    /// A colon stood before it, as it does in prose.
    colon: bool,
}

fn ends_with(text: &[u8], end: &[u8]) -> bool {
    text.len() >= end.len() && text[text.len() - end.len()..].eq_ignore_ascii_case(end)
}
