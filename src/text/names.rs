//! Which names and shapes mean a secret.

/// What a name says of the value after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A secret.
    Secret,
    /// Now and then a secret: after a colon only what does not look like a word is taken for one.
    Perhaps,
    /// A scheme, then a secret.
    Authorization,
    /// Secrets to the end of the line.
    Cookie,
}

/// Also at the end of a longer word: `dbpassword`. A blank stands for `-`, `_`, `.` or nothing.
const ENDINGS: [(&str, Name); 46] = [
    ("password", Name::Secret),
    ("passwd", Name::Secret),
    ("passphrase", Name::Secret),
    ("passcode", Name::Secret),
    ("password hash", Name::Secret),
    ("secret", Name::Secret),
    ("token", Name::Secret),
    ("api key", Name::Secret),
    ("secret key", Name::Secret),
    ("secret access key", Name::Secret),
    ("passwords", Name::Secret),
    ("secrets", Name::Secret),
    ("api keys", Name::Secret),
    ("hmac key", Name::Secret),
    ("license key", Name::Secret),
    ("certificate key", Name::Secret),
    ("subscription key", Name::Secret),
    ("application key", Name::Secret),
    ("functions key", Name::Secret),
    ("pass phrase", Name::Secret),
    ("mnemonic", Name::Secret),
    ("secret key base", Name::Secret),
    ("access key", Name::Secret),
    ("private key", Name::Secret),
    ("priv key", Name::Secret),
    ("auth key", Name::Secret),
    ("encryption key", Name::Secret),
    ("signing key", Name::Secret),
    ("shared key", Name::Secret),
    ("account key", Name::Secret),
    ("master key", Name::Secret),
    ("preshared key", Name::Secret),
    ("session id", Name::Secret),
    ("sess id", Name::Secret),
    ("session key", Name::Secret),
    ("credential", Name::Secret),
    ("credentials", Name::Secret),
    ("require pass", Name::Secret),
    ("master auth", Name::Secret),
    ("key pass", Name::Secret),
    ("store pass", Name::Secret),
    ("user pass", Name::Secret),
    ("bind pw", Name::Secret),
    ("root pw", Name::Secret),
    ("set cookie", Name::Cookie),
    ("auth pass", Name::Secret),
];

/// Only as a word of its own: `db_pass`, not `compass`.
const WORDS: [(&str, Name); 11] = [
    ("pass", Name::Secret),
    ("pwd", Name::Secret),
    ("pw", Name::Secret),
    ("psk", Name::Secret),
    ("jwt", Name::Perhaps),
    ("creds", Name::Secret),
    ("cred", Name::Secret),
    ("bearer", Name::Secret),
    ("cookie", Name::Cookie),
    ("authorization", Name::Authorization),
    ("auth", Name::Perhaps),
];

/// The last two letters of all of these.
const LAST: [&[u8; 2]; 24] = [
    b"al", b"de", b"ds", b"ed", b"en", b"er", b"et", b"ey", b"id", b"ie", b"ls", b"on", b"pw", b"rd", b"se", b"sh",
    b"sk", b"ss", b"th", b"wd", b"wt", b"ts", b"ys", b"ic",
];

/// What follows a cursor's name is not worth hiding.
const CURSORS: [&str; 3] = ["next token", "page token", "continuation token"];

/// What `name` (with or without dashes before it) says of its value.
pub(super) fn sensitive(name: &[u8]) -> Option<Name> {
    let name = &name[name.iter().take_while(|byte| **byte == b'-').count()..];
    let tail = name.iter().rev().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.')).count();
    let name = &name[..name.len() - tail];
    // most names end otherwise
    let last =
        [name.len().checked_sub(2).map(|at| name[at])?, name[name.len() - 1]].map(|byte| byte.to_ascii_lowercase());
    if !LAST.contains(&&last) {
        return None;
    }
    let env_key = || {
        let head = name.strip_suffix(b"_KEY")?;
        let public = [&b"PUBLIC"[..], b"PUB", b"FOREIGN", b"PRIMARY", b"SORT", b"PARTITION"];
        (!head.is_empty() && !public.iter().any(|word| head.ends_with(word))).then_some(Name::Secret)
    };
    if CURSORS.iter().any(|words| end(name, words).is_some()) {
        return None;
    }
    let word = |(word, kind): &(&str, Name)| end(name, word).filter(|start| begins_word(name, *start)).map(|_| *kind);
    let ending = |(words, kind): &(&str, Name)| end(name, words).map(|_| *kind);
    WORDS.iter().find_map(word).or_else(|| ENDINGS.iter().find_map(ending)).or_else(env_key)
}

/// Whether an option that says yes or no, though it names a secret: `--ask-password`.
pub(super) fn is_switch(option: &[u8]) -> bool {
    let name = &option[option.iter().take_while(|byte| **byte == b'-').count()..];
    ["no", "ask", "prompt", "require", "skip", "disable", "enable", "without", "use"].iter().any(|word| {
        name.len() > word.len()
            && name[..word.len()].eq_ignore_ascii_case(word.as_bytes())
            && matches!(name[word.len()], b'-' | b'_')
    })
}

/// Where the end of `name` that reads `words` begins.
fn end(name: &[u8], words: &str) -> Option<usize> {
    let mut at = name.len();
    for wanted in words.bytes().rev() {
        if wanted == b' ' {
            if at > 0 && matches!(name[at - 1], b'-' | b'_' | b'.') {
                at -= 1;
            }
            continue;
        }
        at = at.checked_sub(1)?;
        if !name[at].eq_ignore_ascii_case(&wanted) {
            return None;
        }
    }
    Some(at)
}

fn begins_word(name: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|before| name[before]) else { return true };
    !before.is_ascii_alphanumeric() || before.is_ascii_lowercase() && name[at].is_ascii_uppercase()
}

/// Values that are no secret whatever they are called, and of which logs and settings are full.
pub(super) fn is_harmless(value: &[u8]) -> bool {
    const WORDS: [&str; 30] = [
        "true", "false", "yes", "no", "on", "off", "none", "null", "nil", "required", "optional", "enabled",
        "disabled", "ok", "failed", "failure", "missing", "invalid", "expired", "accepted", "rejected", "unknown",
        "default", "files", "compat", "systemd", "password", "basic", "prompt", "stdin",
    ];
    value.is_empty()
        || value.len() <= 2 && value.iter().all(u8::is_ascii_digit)
        || WORDS.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
        || is_path(value)
}

/// Whether `value` is surely the path of a file: base64 can begin with a slash too.
fn is_path(value: &[u8]) -> bool {
    const TOPS: [&str; 22] = [
        "bin", "boot", "certs", "config", "data", "dev", "etc", "home", "lib", "media", "mnt", "nix", "opt", "proc",
        "root", "run", "secrets", "srv", "sys", "tmp", "usr", "var",
    ];
    const TYPES: [&str; 8] = [".pem", ".key", ".crt", ".pub", ".txt", ".json", ".yml", ".yaml"];
    let plain = value
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/' | b'~' | b'@'));
    if !plain
        || !(value.starts_with(b"/")
            || value.starts_with(b"./")
            || value.starts_with(b"../")
            || value.starts_with(b"~/"))
    {
        return false;
    }
    let top = value.split(|byte| *byte == b'/').nth(1).unwrap_or_default();
    TOPS.iter().any(|name| name.as_bytes() == top && value.len() > top.len() + 1)
        || TYPES.iter().any(|name| value.ends_with(name.as_bytes()))
}

/// Whether a word could not be one of a language: it has digits, or capitals or signs inside.
pub(super) fn is_odd(word: &[u8]) -> bool {
    word.len() >= 6
        && (word.iter().any(u8::is_ascii_digit)
            || word[1..].iter().any(u8::is_ascii_uppercase)
            || word[..word.len() - 1]
                .iter()
                .any(|byte| byte.is_ascii_punctuation() && !matches!(byte, b'-' | b'\'' | b'.')))
}

/// How far a word is looked at to decide on its shape: words in words must not cost the square.
const LOOK: usize = 64;

/// The length of the secret at `at`, told by its own shape.
pub(super) fn shaped(text: &[u8], at: usize) -> usize {
    /// Prefix, at least so many more characters, whether `-` and `_` are among them.
    const PREFIXES: [(&str, usize, bool); 36] = [
        ("ghp_", 16, false),
        ("gho_", 16, false),
        ("ghu_", 16, false),
        ("ghs_", 16, false),
        ("ghr_", 16, false),
        ("github_pat_", 16, true),
        ("glpat-", 12, true),
        ("gldt-", 12, true),
        ("glrt-", 12, true),
        ("xoxa-", 8, true),
        ("xoxb-", 8, true),
        ("xoxe-", 8, true),
        ("xoxp-", 8, true),
        ("xoxr-", 8, true),
        ("xoxs-", 8, true),
        ("xapp-", 8, true),
        ("sk-ant-", 8, true),
        ("sk-proj-", 8, true),
        ("sk-", 20, true),
        ("sk_live_", 10, false),
        ("sk_test_", 10, false),
        ("rk_live_", 10, false),
        ("AIza", 30, true),
        ("smcp_", 8, true),
        ("tskey-", 8, true),
        ("npm_", 20, false),
        ("pypi-", 20, true),
        ("dckr_pat_", 10, true),
        ("hf_", 16, false),
        ("dop_v1_", 16, false),
        ("hvs.", 16, true),
        ("shpat_", 16, false),
        ("AGE-SECRET-KEY-1", 20, false),
        ("ya29.", 16, true),
        ("AKIA", 16, false),
        ("ASIA", 16, false),
    ];
    const HASHES: [&str; 10] = ["$y$", "$6$", "$5$", "$1$", "$2a$", "$2b$", "$2y$", "$argon2", "$gy$", "$7$"];
    let before = at.checked_sub(1).map(|before| text[before]);
    if before.is_some_and(|byte| byte.is_ascii_alphanumeric()) {
        return 0;
    }
    let text = &text[at..];
    let run = |from: usize, is: fn(u8) -> bool| text[from..].iter().take_while(|byte| is(**byte)).count();
    let word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match text.first() {
        Some(b'$') if HASHES.iter().any(|prefix| text.starts_with(prefix.as_bytes())) => {
            let length = run(0, |byte| byte.is_ascii_alphanumeric() || b"$./=,+".contains(&byte));
            return if length >= 20 { length } else { 0 };
        }
        Some(b'e') if text.starts_with(b"eyJ") && !matches!(before, Some(b'-' | b'_')) => {
            let head = run(0, word);
            let more = |from: usize| if text.get(from) == Some(&b'.') { 1 + run(from + 1, word) } else { 0 };
            let body = more(head);
            return if head >= 10 && body > 4 { head + body + more(head + body) } else { 0 };
        }
        _ => {}
    }
    let (prefix, least, dashes) = match PREFIXES.iter().find(|(prefix, ..)| text.starts_with(prefix.as_bytes())) {
        Some((prefix, least, dashes)) => (prefix.len(), *least, *dashes),
        None => return 0,
    };
    let rest = text[prefix..].iter().take(LOOK);
    let rest = rest.take_while(|byte| if dashes { word(**byte) } else { byte.is_ascii_alphanumeric() }).count();
    let odd = text[prefix..prefix + rest].iter().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
    // more of it would still be part of it
    if rest >= least && odd { prefix + run(prefix, word) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_ends_as_the_short_cut_expects() {
        for (name, _) in ENDINGS.iter().chain(&WORDS) {
            assert!(sensitive(name.replace(' ', "-").as_bytes()).is_some(), "{name}");
        }
    }

    #[test]
    fn names_are_told_by_their_last_words() {
        for name in [
            "password",
            "--password",
            "-password",
            "DB_PASS",
            "PGPASSWORD",
            "MYSQL_PWD",
            "apiKey",
            "api-key",
            "X-Api-Key",
            "clientSecret",
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_TOKEN",
            "STRIPE_KEY",
            "spring.datasource.password",
            "password1",
            "TOKEN_2",
            "session-id",
            "PHPSESSID",
            "Proxy-Authorization",
            "userAuth",
            "setcookie",
            "credentials",
            "access_token",
        ] {
            assert!(sensitive(name.as_bytes()).is_some(), "{name}");
        }
        for name in [
            "tokenizer",
            "compass",
            "author",
            "keyring",
            "monkey",
            "key",
            "--key",
            "--key-file",
            "--password-file",
            "--token-file",
            "tlskey",
            "PUBLIC_KEY",
            "public-key",
            "max-tokens",
            "bypass",
            "passenger",
            "secretary",
            "next_token",
            "SSH_AUTH_SOCK",
            "password-stdin",
            "pipe",
            "auth-mode",
            "",
            "-",
            "7",
            "_KEY",
            "sort_key",
        ] {
            assert!(sensitive(name.as_bytes()).is_none(), "{name}");
        }
    }
}
