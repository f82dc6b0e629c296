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

/// The last three letters of all of these, a bit for the third from the end: most names end otherwise.
const LAST: [[u32; 26]; 26] = {
    let mut last = [[0; 26]; 26];
    let mut at = 0;
    while at < ENDINGS.len() + WORDS.len() {
        let name = if at < ENDINGS.len() { ENDINGS[at].0 } else { WORDS[at - ENDINGS.len()].0 }.as_bytes();
        let end = name.len();
        // a word of two letters may have anything before it
        let third = if end > 2 && name[end - 3] != b' ' { 1 << (name[end - 3] - b'a') } else { u32::MAX };
        last[(name[end - 2] - b'a') as usize][(name[end - 1] - b'a') as usize] |= third;
        at += 1;
    }
    last
};

/// Whether `name` ends as one of the tables' names does.
fn may_be_sensitive(name: &[u8]) -> bool {
    let [.., before, last] = name else { return false };
    let letter = |byte: &u8| usize::from(byte.to_ascii_lowercase().wrapping_sub(b'a'));
    let third = name.len().checked_sub(3).map_or(26, |at| letter(&name[at]).min(26));
    LAST.get(letter(before)).and_then(|last_of| last_of.get(letter(last))).is_some_and(|bits| bits >> third & 1 == 1)
}

/// What may follow a secret's name, and it still is one: `password_hash`, `TOKEN_PROD`.
const STILL: [&str; 46] = [
    "admin",
    "b",
    "backup",
    "base",
    "bcrypt",
    "content",
    "crypt",
    "current",
    "data",
    "default",
    "dev",
    "development",
    "digest",
    "enc",
    "encoded",
    "encrypted",
    "hash",
    "live",
    "main",
    "md",
    "new",
    "old",
    "plain",
    "plaintext",
    "previous",
    "primary",
    "prod",
    "production",
    "qa",
    "raw",
    "root",
    "salt",
    "secondary",
    "sha",
    "stage",
    "staging",
    "string",
    "temp",
    "test",
    "testing",
    "text",
    "tmp",
    "uat",
    "val",
    "value",
    "values",
];

/// What may follow it in an environment variable's name, and it is none: anything else there is one.
const NO_LONGER: [&str; 84] = [
    "account",
    "addr",
    "address",
    "age",
    "algo",
    "algorithm",
    "arn",
    "attempts",
    "aud",
    "audience",
    "authentication",
    "backend",
    "bucket",
    "chars",
    "cmd",
    "command",
    "cost",
    "count",
    "days",
    "dir",
    "directory",
    "domain",
    "driver",
    "enabled",
    "encoding",
    "endpoint",
    "engine",
    "expiration",
    "expires",
    "expiry",
    "fd",
    "file",
    "files",
    "format",
    "header",
    "helper",
    "host",
    "hours",
    "id",
    "ids",
    "iss",
    "issuer",
    "keys",
    "kind",
    "len",
    "length",
    "level",
    "lifetime",
    "limit",
    "location",
    "max",
    "method",
    "min",
    "minutes",
    "mode",
    "mount",
    "name",
    "names",
    "path",
    "policy",
    "port",
    "prefix",
    "prompt",
    "provider",
    "ref",
    "region",
    "required",
    "reset",
    "retries",
    "rotation",
    "rounds",
    "scope",
    "scopes",
    "seconds",
    "server",
    "service",
    "size",
    "sock",
    "source",
    "store",
    "timeout",
    "ttl",
    "type",
    "url",
];

/// How far the last word of a name is looked for.
const LONGEST_FOLLOWER: usize = 16;

/// How many words may follow a secret's name.
const FOLLOWERS: usize = 3;

/// What follows a cursor's name is not worth hiding.
const CURSORS: [&str; 3] = ["next token", "page token", "continuation token"];

/// What can be part of a name.
const NAME: [bool; 256] = {
    let mut name = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        name[byte as usize] = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        byte += 1;
    }
    name
};

/// Whether `byte` can be part of a name.
pub(super) fn is_name(byte: u8) -> bool {
    NAME[usize::from(byte)]
}

/// What `name` (with or without dashes before it) says of its value.
pub(super) fn sensitive(name: &[u8]) -> Option<Name> {
    let name = &name[name.iter().take_while(|byte| **byte == b'-').count()..];
    let name = without_number(name);
    ends_sensitive(name).or_else(|| followed(name))
}

/// What the end of `name` says.
fn ends_sensitive(name: &[u8]) -> Option<Name> {
    if !may_be_sensitive(name) {
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

/// What a secret's name in the middle of `name` says.
fn followed(name: &[u8]) -> Option<Name> {
    let mut head = name;
    for _ in 0..FOLLOWERS {
        head = without_number(&head[..last_word(head)?]);
        if let Some(kind) = ends_sensitive(head) {
            return if kind == Name::Secret { behind(name, &name[head.len()..]) } else { None };
        }
    }
    None
}

/// What `followers` make of the secret's name that `name` begins with.
fn behind(name: &[u8], followers: &[u8]) -> Option<Name> {
    let every = |words: &[&str], is_one: bool| {
        let mut rest = without_number(followers);
        while !rest.is_empty() {
            let start = last_word(rest).unwrap_or(0);
            let follower = &rest[start..];
            if words.iter().any(|word| follower.eq_ignore_ascii_case(word.as_bytes())) != is_one {
                return false;
            }
            rest = without_number(&rest[..start]);
        }
        true
    };
    let is_variable = || !name.iter().any(u8::is_ascii_lowercase) && name.contains(&b'_');
    if every(&STILL, true) {
        Some(Name::Secret)
    } else if is_variable() && every(&NO_LONGER, false) {
        Some(Name::Perhaps)
    } else {
        None
    }
}

fn without_number(name: &[u8]) -> &[u8] {
    let tail = name.iter().rev().take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.')).count();
    &name[..name.len() - tail]
}

/// Where the last of several words begins.
fn last_word(name: &[u8]) -> Option<usize> {
    let is_start = |at: &usize| {
        let (before, byte) = (name[at - 1], name[*at]);
        !before.is_ascii_alphanumeric() || before.is_ascii_lowercase() && byte.is_ascii_uppercase()
    };
    (1..name.len()).rev().take(LONGEST_FOLLOWER).find(is_start)
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
    const WORDS: [&str; 24] = [
        "none", "null", "nil", "required", "optional", "enabled", "disabled", "ok", "failed", "failure", "missing",
        "invalid", "expired", "accepted", "rejected", "unknown", "default", "files", "compat", "systemd", "password",
        "basic", "prompt", "stdin",
    ];
    value.is_empty()
        // a comment begins
        || value == b"#"
        || is_bool(value)
        || value.len() <= 2 && value.iter().all(u8::is_ascii_digit)
        || WORDS.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
        || is_path(value)
        || is_block(value)
}

/// Whether `value` says yes or no, if it stands alone: before other words it is a word like them.
pub(super) fn is_bool(value: &[u8]) -> bool {
    ["true", "false", "yes", "no", "on", "off"].iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether `value` says that the value stands on the lines that follow: `|`, `>-`, `|2`, as YAML has it.
pub(super) fn is_block(value: &[u8]) -> bool {
    let more = matches!(value.first(), Some(b'|' | b'>')).then(|| &value[1..]);
    more.is_some_and(|more| more.len() <= 2 && more.iter().all(|byte| b"+-123456789".contains(byte)))
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

#[cfg(test)]
mod tests {
    use super::*;

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
