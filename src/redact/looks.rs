//! Secrets that are known by their looks: tokens, password hashes, private keys.

use std::ops::Range;

use super::{key, step};

/// Prefix, at least so many more characters, whether `-` and `_` are among them. What providers say of their tokens is public; sorted by the first
/// letter, and a longer prefix before the one that it begins with.
pub(super) const PREFIXES: [(&str, usize, bool); 148] = [
    ("AIza", 30, true),
    ("AGE-SECRET-KEY-1", 20, false),
    ("AKIA", 16, false),
    ("ASIA", 16, false),
    ("ATATT3", 60, true),
    ("ATBB", 20, false),
    ("ATCTT3", 60, true),
    ("AKCp", 60, false),
    ("ABIA", 16, false),
    ("ACCA", 16, false),
    ("ABSK", 60, false),
    ("A3-", 26, true),
    ("API-", 26, false),
    ("AQVN", 35, true),
    ("CLOJARS_", 50, false),
    ("CFPAT-", 40, true),
    ("EZAK", 40, false),
    ("EZTK", 40, false),
    ("EAAA", 50, true),
    ("FLWSECK-", 20, true),
    ("FLWSECK_TEST-", 12, true),
    ("GOCSPX-", 16, true),
    ("GR1348941", 16, true),
    ("HRKU-AA", 40, true),
    ("LTAI", 16, false),
    ("NRAK-", 20, false),
    ("NRII-", 20, true),
    ("NRJS-", 16, false),
    ("PMAK-", 20, true),
    ("SG.", 16, true),
    ("api_org_", 30, false),
    ("access-production-", 30, true),
    ("access-sandbox-", 30, true),
    ("bkua_", 36, false),
    ("cmVmdGtu", 50, false),
    ("ccipat_", 20, true),
    ("dckr_pat_", 10, true),
    ("dckr_oat_", 10, true),
    ("dop_v1_", 16, false),
    ("doo_v1_", 16, false),
    ("dor_v1_", 16, false),
    ("dp.pt.", 30, false),
    ("dp.st.", 20, true),
    ("dt0c01.", 20, true),
    ("dapi", 32, false),
    ("duffel_live_", 30, true),
    ("duffel_test_", 30, true),
    ("figd_", 16, true),
    ("figo_", 16, true),
    ("fo1_", 40, true),
    ("fio-u-", 40, true),
    ("ghp_", 16, false),
    ("gho_", 16, false),
    ("ghu_", 16, false),
    ("ghs_", 16, false),
    ("ghr_", 16, false),
    ("github_pat_", 16, true),
    ("glpat-", 12, true),
    ("gldt-", 12, true),
    ("glrt-", 12, true),
    ("glptt-", 12, true),
    ("glcbt-", 12, true),
    ("glft-", 12, true),
    ("glsoat-", 12, true),
    ("glagent-", 12, true),
    ("gloas-", 12, true),
    ("glsa_", 16, true),
    ("gsk_", 40, false),
    ("glc_", 30, true),
    ("glimt-", 12, true),
    ("glffct-", 12, true),
    ("hf_", 16, false),
    ("hvs.", 16, true),
    ("hvb.", 16, true),
    ("hvr.", 16, true),
    ("ico-", 30, false),
    ("key-", 32, false),
    ("lin_api_", 16, false),
    ("lin_oauth_", 30, false),
    ("npm_", 20, false),
    ("ntn_", 20, false),
    ("nvapi-", 40, true),
    ("nfp_", 30, false),
    ("ops_eyJ", 60, true),
    ("pypi-", 20, true),
    ("pul-", 20, false),
    ("pplx-", 32, false),
    ("pscale_tkn_", 20, true),
    ("pscale_pw_", 20, true),
    ("pscale_oauth_", 20, true),
    ("p8e-", 30, false),
    ("pat-na1-", 30, true),
    ("pat-eu1-", 30, true),
    ("phx_", 30, false),
    ("pnu_", 30, false),
    ("rk_live_", 10, false),
    ("rk_test_", 10, false),
    ("r8_", 30, false),
    ("rubygems_", 40, false),
    ("rdme_", 40, false),
    ("rk_prod_", 10, false),
    ("sk-ant-", 8, true),
    ("sk-proj-", 8, true),
    ("sk-svcacct-", 16, true),
    ("sk-admin-", 16, true),
    ("sk-or-v1-", 16, true),
    ("sk-", 20, true),
    ("sk_live_", 10, false),
    ("sk_test_", 10, false),
    ("smcp_", 8, true),
    ("shpat_", 16, false),
    ("sntrys_", 16, true),
    ("shpca_", 16, false),
    ("shppa_", 16, false),
    ("shpss_", 16, false),
    ("shippo_live_", 30, false),
    ("shippo_test_", 30, false),
    ("sntryu_", 40, false),
    ("sq0atp-", 20, true),
    ("sq0csp-", 20, true),
    ("sgp_", 36, true),
    ("slk_", 40, false),
    ("sbp_", 36, false),
    ("sm_pat_", 16, false),
    ("sm_aat_", 16, false),
    ("sm_sat_", 16, false),
    ("sha256~", 40, true),
    ("sk_prod_", 10, false),
    ("tskey-", 8, true),
    ("tfp_", 40, true),
    ("tk-us-", 40, true),
    ("tvly-", 20, true),
    ("v1.0-", 40, true),
    ("whsec_", 16, false),
    ("waka_", 30, true),
    ("xoxa-", 8, true),
    ("xoxb-", 8, true),
    ("xoxc-", 8, true),
    ("xoxd-", 8, true),
    ("xoxe-", 8, true),
    ("xoxe.", 8, true),
    ("xoxp-", 8, true),
    ("xoxr-", 8, true),
    ("xoxs-", 8, true),
    ("xapp-", 8, true),
    ("xai-", 40, false),
    ("xkeysib-", 40, true),
    ("ya29.", 16, true),
];

/// How a hashed password begins.
const HASHES: [&str; 17] = [
    "$y$", "$6$", "$5$", "$1$", "$2a$", "$2b$", "$2x$", "$2y$", "$argon2", "$apr1$", "$gy$", "$7$", "$scrypt$",
    "$pbkdf2", "$sha1$", "{SHA", "{SSHA",
];

/// The second and the third letters of all that begins with a letter: nearly every word is ruled out by them.
const LETTERS: [[u128; 2]; 128] = {
    let mut letters = [[0; 2]; 128];
    let mut at = 0;
    while at < PREFIXES.len() + HASHES.len() + 1 {
        let prefix = if at < PREFIXES.len() {
            PREFIXES[at].0.as_bytes()
        } else if at < PREFIXES.len() + HASHES.len() {
            HASHES[at - PREFIXES.len()].as_bytes()
        } else {
            b"eyJ"
        };
        letters[prefix[0] as usize][0] |= 1 << prefix[1];
        letters[prefix[0] as usize][1] |= 1 << prefix[2];
        at += 1;
    }
    letters
};

/// Where in the table the prefixes are that begin with a letter.
const BEGIN: [[u8; 2]; 128] = {
    let mut begin = [[0; 2]; 128];
    let mut at = 0;
    while at < PREFIXES.len() {
        let first = PREFIXES[at].0.as_bytes()[0] as usize;
        if begin[first][1] == 0 {
            begin[first][0] = at as u8;
        }
        assert!(begin[first][1] == 0 || begin[first][1] as usize == at, "sorted by their first letters");
        at += 1;
        begin[first][1] = at as u8;
    }
    begin
};

/// The shortest word that is taken for a part of a key behind its heading.
const WORD: usize = 4;

/// How far a word is looked at to decide on its shape: words in words must not cost the square.
const LOOK: usize = 64;

/// Adds to `found` what is a secret by its own shape.
pub(super) fn find(text: &[u8], found: &mut Vec<Range<usize>>) {
    let mut at = 0;
    while at < text.len() {
        step(1);
        let secret = match text[at] {
            b'-' if matches!(text.get(at + 1), Some(b'B' | b' ' | b'L')) => match private_key(text, at) {
                Some((key, end)) => {
                    at = end;
                    found.push(key);
                    continue;
                }
                None => None,
            },
            b':' => telegram(text, at),
            b'.' => discord(text, at),
            b'~' => entra(text, at),
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'$' | b'{') => {
                let length = shaped(text, at);
                (length > 0).then_some(at..at + length)
            }
            _ => None,
        };
        at = match &secret {
            Some(secret) => secret.end,
            // nothing begins inside a word
            None if text[at].is_ascii_alphanumeric() => {
                let word = at..at + run(text, at, |byte| byte.is_ascii_alphanumeric());
                match (word.len() >= key::ENCODED_WORD).then(|| key::encoded(text, &word)).flatten() {
                    Some(end) => {
                        step(end - at);
                        found.push(at..end);
                        end
                    }
                    None => word.end,
                }
            }
            None => at + 1,
        };
        found.extend(secret);
    }
}

/// The private key whose heading has its last dash before `BEGIN` at `dash`, or whose private lines PuTTY announces there; and where
/// to go on.
fn private_key(text: &[u8], dash: usize) -> Option<(Range<usize>, usize)> {
    let (start, end) = match key::heading(text, dash) {
        Some(start) => (start, key::end(text, start)),
        None => key::putty(text, dash).map(|lines| (lines.start, lines.end))?,
    };
    step(end - start);
    let blanks = |bytes: &mut dyn Iterator<Item = &u8>| bytes.take_while(|byte| byte.is_ascii_whitespace()).count();
    let next = end;
    let start = start + blanks(&mut text[start..end].iter());
    let end = end - blanks(&mut text[start..end].iter().rev());
    // quotes and escapes alone are no key: that stands on the lines that follow
    let has_word = text[start..end].windows(WORD).any(|window| window.iter().all(u8::is_ascii_alphanumeric));
    Some((start..if has_word { end } else { start }, next))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn run(text: &[u8], from: usize, is: fn(u8) -> bool) -> usize {
    let length = text.get(from..).unwrap_or_default().iter().take_while(|byte| is(**byte)).count();
    step(length);
    length
}

/// Of the last few bytes before `at`, how many belong to a word.
fn run_before(text: &[u8], at: usize, is: fn(u8) -> bool) -> usize {
    text[at.saturating_sub(LOOK)..at].iter().rev().take_while(|byte| is(**byte)).count()
}

/// The length of the secret at `at`, told by how it begins.
fn shaped(text: &[u8], at: usize) -> usize {
    let Some([first, second, third]) = text.get(at..at + 3) else { return 0 };
    let is_one_of = |letters: u128, byte: &u8| byte.is_ascii() && letters >> byte & 1 == 1;
    let [seconds, thirds] = LETTERS.get(usize::from(*first)).copied().unwrap_or_default();
    if !is_one_of(seconds, second) || !is_one_of(thirds, third) {
        return 0;
    }
    let before = at.checked_sub(1).map(|before| text[before]);
    // behind a secret
    if before.is_some_and(|byte| byte.is_ascii_alphanumeric()) {
        return 0;
    }
    let text = &text[at..];
    if matches!(first, b'$' | b'{') && HASHES.iter().any(|prefix| text.starts_with(prefix.as_bytes())) {
        let length = run(text, 0, |byte| byte.is_ascii_alphanumeric() || b"$./=,+{}-".contains(&byte));
        return if length >= 20 { length } else { 0 };
    }
    if text.starts_with(b"eyJ") && !matches!(before, Some(b'-' | b'_')) {
        let head = run(text, 0, is_word);
        let more = |from: usize| if text.get(from) == Some(&b'.') { 1 + run(text, from + 1, is_word) } else { 0 };
        let body = more(head);
        return if head >= 10 && body > 4 { head + body + more(head + body) } else { 0 };
    }
    let [from, to] = BEGIN.get(usize::from(*first)).copied().unwrap_or_default().map(usize::from);
    let (prefix, least, dashes) =
        match PREFIXES[from..to].iter().find(|(prefix, ..)| text.starts_with(prefix.as_bytes())) {
            Some((prefix, least, dashes)) => (prefix.len(), *least, *dashes),
            None => return 0,
        };
    let rest = text[prefix..].iter().take(LOOK);
    let rest = rest.take_while(|byte| if dashes { is_word(**byte) } else { byte.is_ascii_alphanumeric() }).count();
    let odd = text[prefix..prefix + rest].iter().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    // more of it would still be part of it
    if rest >= least && odd { prefix + run(text, prefix, |byte| is_word(byte) || byte == b'.') } else { 0 }
}

/// `123456789:AAF…`, a bot of Telegram's: its number may stay.
fn telegram(text: &[u8], colon: usize) -> Option<Range<usize>> {
    if !text[colon + 1..].starts_with(b"AA")
        || !(6..=12).contains(&run_before(text, colon, |byte| byte.is_ascii_digit()))
    {
        return None;
    }
    let length = run(text, colon + 1, is_word);
    (length >= 33).then_some(colon + 1..colon + 1 + length)
}

/// `MTk4NjIy….Cl2FMQ.ZnCjm1XV…`, a bot of Discord's; `first` is where the first of its dots stands.
fn discord(text: &[u8], first: usize) -> Option<Range<usize>> {
    let last = first + 7;
    if text.get(last) != Some(&b'.') || !text[first + 1..last].iter().all(|byte| is_word(*byte)) {
        return None;
    }
    let start = first - run_before(text, first, is_word);
    if !(23..=30).contains(&(first - start)) || !matches!(text[start], b'M' | b'N' | b'O') {
        return None;
    }
    let length = run(text, last + 1, is_word);
    (length >= 27).then_some(start..last + 1 + length)
}

/// `abc8Q~…`, the secret of an application in Microsoft's directory.
fn entra(text: &[u8], tilde: usize) -> Option<Range<usize>> {
    let start = tilde.checked_sub(5)?;
    if text[tilde - 1] != b'Q' || !text[start..tilde].iter().all(|byte| is_word(*byte)) {
        return None;
    }
    let length = run(text, tilde + 1, |byte| is_word(byte) || matches!(byte, b'.' | b'~'));
    (length >= 31).then_some(start..tilde + 1 + length)
}
