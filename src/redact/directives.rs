//! Settings in which a blank stands before the secret: `fastcgi_param DB_PASSWORD x;`, `rocommunity x`.
//!
//! What programs call them is in the table, with a row in the tests for each; nothing below the table knows a program.

use std::ops::Range;

use super::step;
use crate::names::{Name, is_harmless, is_odd, sensitive};

/// What stands behind a directive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    /// A name and its value, which is a secret if the name is one's.
    Named,
    /// The same, if the name is one of the environment's: `DB_PASSWORD`. Else the directive is a word of prose, too.
    Variable,
    /// The same, if the name is marked: `$db_password`.
    Marked,
    /// The words with these numbers are secrets, counted from 1 behind options and their arguments.
    Words(&'static [usize]),
}

use Given::{Marked, Named, Variable, Words};

/// Directives of one word or two, whatever the case of their letters.
pub(super) const DIRECTIVES: [(&str, Given); 40] = [
    // nginx
    ("fastcgi_param", Named),
    ("uwsgi_param", Named),
    ("scgi_param", Named),
    ("proxy_set_header", Named),
    ("grpc_set_header", Named),
    ("add_header", Named),
    ("passenger_env_var", Named),
    ("set", Marked),
    // Apache
    ("SetEnv", Named),
    ("Define", Variable),
    ("RequestHeader set", Named),
    ("RequestHeader add", Named),
    ("RequestHeader append", Named),
    ("RequestHeader setifempty", Named),
    ("Header set", Named),
    ("Header add", Named),
    ("Header append", Named),
    ("php_value", Named),
    ("php_admin_value", Named),
    // HAProxy, Caddy
    ("http-request set-header", Named),
    ("http-request add-header", Named),
    ("http-response set-header", Named),
    ("presetenv", Named),
    ("header_up", Named),
    ("header_down", Named),
    // Docker, C
    ("ENV", Variable),
    ("#define", Variable),
    // Net-SNMP
    ("rocommunity", Words(&[1])),
    ("rwcommunity", Words(&[1])),
    ("rocommunity6", Words(&[1])),
    ("rwcommunity6", Words(&[1])),
    ("trapcommunity", Words(&[1])),
    ("authcommunity", Words(&[2])),
    ("com2sec", Words(&[3])),
    ("com2sec6", Words(&[3])),
    ("trapsink", Words(&[2])),
    ("trap2sink", Words(&[2])),
    ("informsink", Words(&[2])),
    ("createUser", Words(&[3, 5])),
    // routers
    ("snmp-server community", Words(&[1])),
];

/// The lengths of the first words, a bit each, by their first letter: nearly every line is ruled out by it.
const LENGTHS: [u32; 128] = {
    let mut lengths = [0; 128];
    let mut at = 0;
    while at < DIRECTIVES.len() {
        let words = DIRECTIVES[at].0.as_bytes();
        let mut length = 0;
        while length < words.len() && words[length] != b' ' {
            length += 1;
        }
        lengths[words[0].to_ascii_lowercase() as usize] |= 1 << length;
        at += 1;
    }
    lengths
};

/// How many words behind a directive are looked at.
const MOST_WORDS: usize = 8;

/// Adds to `found` what is a secret in `line`, which begins with the words `first` and `second`, and at `start` of the text.
pub(super) fn find(
    line: &[u8],
    first: &Range<usize>,
    second: &Range<usize>,
    start: usize,
    found: &mut Vec<Range<usize>>,
) {
    let mut add = |secret: Range<usize>| found.push(start + secret.start..start + secret.end);
    match directive(line, first, second) {
        Some((Words(numbers), from)) => {
            let words = words(line, from).take(MOST_WORDS).collect::<Vec<_>>();
            let options = words.iter().take_while(|word| line[word.start] == b'-').count() * 2;
            let secrets = numbers.iter().filter_map(|number| words.get(options + number - 1));
            secrets.filter(|secret| is_given(&line[(*secret).clone()])).cloned().for_each(add);
        }
        Some((given, from)) => {
            let mut words = words(line, from);
            let Some(mut name) = words.next() else { return };
            let fits = match given {
                Marked => line[name.start] == b'$',
                Variable => is_variable(&line[name.clone()]),
                Named | Words(_) => true,
            };
            name.start += usize::from(given == Marked);
            let value = words.next().filter(|value| fits && ends(line, value, words.next()));
            value.and_then(|value| named(line, &name, value)).into_iter().for_each(&mut add);
        }
        // whatever the directive: a name of the environment, and what can be no word of prose
        None if is_variable(&line[second.clone()]) && is_directive(&line[first.clone()]) => {
            let mut words = words(line, second.end);
            let Some(value) = words.next().filter(|_| words.next().is_none()) else { return };
            let is_closed = line[value.end..].iter().any(|byte| matches!(byte, b';' | b'"' | b'\''));
            if is_closed || is_odd(&line[value.clone()]) {
                named(line, second, value).into_iter().for_each(add);
            }
        }
        None => {}
    }
}

/// The directive that `line` begins with, and where it ends.
fn directive(line: &[u8], first: &Range<usize>, second: &Range<usize>) -> Option<(Given, usize)> {
    let begin = LENGTHS.get(usize::from(line[first.start].to_ascii_lowercase()))?;
    if first.len() >= 32 || begin >> first.len() & 1 == 0 {
        return None;
    }
    let is = |range: &Range<usize>, word: &str| line[range.clone()].eq_ignore_ascii_case(word.as_bytes());
    DIRECTIVES.iter().find_map(|(words, given)| match words.split_once(' ') {
        None => is(first, words).then_some((*given, first.end)),
        Some((one, two)) => (is(first, one) && is(second, two)).then_some((*given, second.end)),
    })
}

/// The words of `line` from some place on, without their quotes and what ends a directive.
fn words(line: &[u8], from: usize) -> impl Iterator<Item = Range<usize>> {
    let mut at = from;
    std::iter::from_fn(move || {
        let start = at + line[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let quote = line.get(start).filter(|byte| matches!(byte, b'"' | b'\''));
        let start = start + usize::from(quote.is_some());
        let rest = line.get(start..).unwrap_or_default();
        let ends = |byte: &u8| quote.map_or(byte.is_ascii_whitespace(), |quote| byte == quote);
        let length = rest.iter().take_while(|byte| !ends(byte)).count();
        step(start + length - at);
        at = line.len().min(start + length + usize::from(quote.is_some()));
        let signs = |byte: &&u8| quote.is_none() && matches!(byte, b';' | b',');
        let word = start..start + length - rest[..length].iter().rev().take_while(signs).count();
        (!word.is_empty()).then_some(word)
    })
}

/// Whether nothing but a condition stands behind `value`, so that the line is a setting and no sentence.
fn ends(line: &[u8], value: &Range<usize>, next: Option<Range<usize>>) -> bool {
    let is_quoted = || matches!(line.get(value.end), Some(b'"' | b'\''));
    let is_condition = |next: &[u8]| next.contains(&b'=') || matches!(next, b"if" | b"unless" | b"always" | b"\\");
    is_quoted() || next.is_none_or(|next| is_condition(&line[next]))
}

/// What of `value` is a secret, as `name` says it.
fn named(line: &[u8], name: &Range<usize>, value: Range<usize>) -> Option<Range<usize>> {
    let given = &line[value.clone()];
    let is_secret = match sensitive(&line[name.clone()])? {
        Name::Secret | Name::Cookie => true,
        Name::Perhaps => is_odd(given),
        Name::Authorization => {
            // the scheme may stay
            let scheme = given.iter().position(|byte| *byte == b' ').map_or(0, |blank| blank + 1);
            let secret = value.start + scheme..value.end;
            return is_given(&line[secret.clone()]).then_some(secret);
        }
    };
    (is_secret && is_given(given)).then_some(value)
}

/// Whether `value` is given here, and not taken from elsewhere.
fn is_given(value: &[u8]) -> bool {
    !is_harmless(value) && !matches!(value, [b'$' | b'-' | b'%' | b'{' | b'<' | b'=' | b':', ..])
}

/// Whether `name` is written as those of the environment are.
fn is_variable(name: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
    name.iter().all(is_letter) && name.contains(&b'_')
}

/// Whether a program may call a setting so.
fn is_directive(word: &[u8]) -> bool {
    word[0].is_ascii_alphabetic() && word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(byte))
}
