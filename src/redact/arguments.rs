//! Secrets on command lines: an option and the word after it, and the programs that have ways of their own.

use std::ops::Range;

use super::names::{Name, is_harmless, is_name, is_odd, is_switch, sensitive};

/// How deep quoted commands in quoted commands are looked into.
const DEEPEST: usize = 4;

/// How a program takes a secret. Options that name one (`--password`) are known everywhere.
#[derive(Clone, Copy, Debug)]
struct Program {
    names: &'static [&'static str],
    /// Only after this operand its letters mean what they say here.
    verb: Option<&'static str>,
    /// Letters of options with the secret in the same word.
    attached: &'static str,
    /// Letters of options with the secret in the next word.
    separate: &'static str,
    /// Letters of options with `user:secret`, or parted by another character.
    pair: Option<(&'static str, u8)>,
    /// How an operand begins that is a secret from there on.
    begins: &'static [&'static str],
    /// The operand after which so many operands later a secret follows; no operand is the program itself.
    after: &'static [(&'static str, usize)],
    /// An operand with a secret's name is followed by the secret.
    named: bool,
}

const NONE: Program =
    Program { names: &[], verb: None, attached: "", separate: "", pair: None, begins: &[], after: &[], named: false };

const PROGRAMS: &[Program] = &[
    Program {
        names: &[
            "mysql",
            "mysqldump",
            "mysqladmin",
            "mysqlimport",
            "mysqlcheck",
            "mysqlshow",
            "mysqlsh",
            "mysqlbinlog",
            "mysqlslap",
            "mariadb",
            "mariadb-dump",
            "mariadb-admin",
            "mariadb-import",
            "mariadb-check",
            "mariadb-show",
            "mycli",
        ],
        attached: "p",
        separate: "p",
        ..NONE
    },
    Program {
        names: &["mongo", "mongosh", "mongodump", "mongorestore", "mongoexport", "cqlsh", "beeline", "twine"],
        attached: "p",
        separate: "p",
        ..NONE
    },
    Program { names: &["sshpass"], attached: "p", separate: "p", ..NONE },
    Program { names: &["redis-cli", "valkey-cli", "keydb-cli"], separate: "a", ..NONE },
    Program {
        names: &[
            "ldapsearch",
            "ldapadd",
            "ldapmodify",
            "ldapdelete",
            "ldapwhoami",
            "ldapcompare",
            "ldapmodrdn",
            "ldappasswd",
        ],
        attached: "w",
        separate: "wsa",
        ..NONE
    },
    Program { names: &["zip", "unzip"], attached: "P", separate: "P", ..NONE },
    Program { names: &["7z", "7za", "7zr"], attached: "p", ..NONE },
    Program { names: &["ipmitool", "sqlcmd", "bcp", "isql", "tsql"], attached: "P", separate: "P", ..NONE },
    Program { names: &["mosquitto_pub", "mosquitto_sub", "mosquitto_rr"], separate: "P", ..NONE },
    Program { names: &["useradd", "usermod"], separate: "p", ..NONE },
    Program { names: &["openssl"], separate: "kK", begins: &["pass:"], ..NONE },
    Program { names: &["snmpwalk", "snmpget", "snmpset", "snmpbulkwalk"], separate: "cAX", ..NONE },
    Program { names: &["curl", "http", "https", "xh"], pair: Some(("uUa", b':')), ..NONE },
    Program { names: &["ab"], pair: Some(("AP", b':')), ..NONE },
    Program { names: &["smbclient", "rpcclient", "net", "smbget", "winexe"], pair: Some(("U", b'%')), ..NONE },
    Program { names: &["lftp"], pair: Some(("u", b',')), ..NONE },
    Program { names: &["xfreerdp", "xfreerdp3", "wlfreerdp", "sdl-freerdp"], begins: &["/p:", "/gp:"], ..NONE },
    Program { names: &["docker", "podman"], verb: Some("login"), attached: "p", separate: "p", ..NONE },
    Program {
        names: &["nerdctl", "buildah", "skopeo", "crane", "oras", "helm", "oc", "az"],
        verb: Some("login"),
        attached: "p",
        separate: "p",
        ..NONE
    },
    Program { names: &["gitlab-runner"], verb: Some("register"), separate: "r", ..NONE },
    Program { names: &["vault", "bao"], after: &[("login", 1), ("unseal", 1)], ..NONE },
    Program { names: &["cargo"], after: &[("login", 1)], ..NONE },
    Program { names: &["wpa_passphrase"], after: &[("", 2)], ..NONE },
    Program { names: &["rclone"], after: &[("obscure", 1)], named: true, ..NONE },
    Program { names: &["rabbitmqctl"], after: &[("add_user", 2), ("change_password", 2)], ..NONE },
    Program { names: &["ngrok"], after: &[("add-authtoken", 1)], named: true, ..NONE },
    Program { names: &["nmcli", "wpa_cli", "aws"], named: true, ..NONE },
    // an entry of `.netrc`
    Program { names: &["machine"], named: true, ..NONE },
    // what `sshpass` starts has a -p of its own
    Program { names: &["ssh", "scp", "rsync", "sftp"], ..NONE },
];

/// A bit for each length of a program's name, by its first letter: nearly every word is ruled out by it.
const LENGTHS: [u32; 128] = {
    let mut lengths = [0; 128];
    let mut at = 0;
    while at < PROGRAMS.len() {
        let mut name = 0;
        while name < PROGRAMS[at].names.len() {
            let bytes = PROGRAMS[at].names[name].as_bytes();
            lengths[bytes[0] as usize] |= 1 << bytes.len();
            name += 1;
        }
        at += 1;
    }
    lengths
};

fn program(name: &[u8]) -> Option<&'static Program> {
    let lengths = LENGTHS.get(usize::from(*name.first()?))?;
    if name.len() >= 32 || lengths >> name.len() & 1 == 0 {
        return None;
    }
    PROGRAMS.iter().find(|program| program.names.iter().any(|own| own.as_bytes() == name))
}

/// What is remembered from one word of a command to the next.
#[derive(Default)]
pub(super) struct Command {
    words: usize,
    program: Option<&'static Program>,
    /// It is the program, and not an argument that is called like one: the first word, or the path of a program.
    is_sure: bool,
    /// Its verb was there.
    has_verb: bool,
    /// After so many more operands one that is a secret.
    operands: usize,
    wants: Option<Wants>,
    htpasswd: Option<Htpasswd>,
}

/// What the next word is.
#[derive(Clone, Copy)]
enum Wants {
    Secret,
    /// A secret, unless it is a port: the program may not be the one it is called like.
    NoPort,
    Pair(u8),
}

#[derive(Clone, Copy, Default)]
struct Htpasswd {
    on_command_line: bool,
    left: usize,
    skip: bool,
}

impl Command {
    /// Where in `word`, the next of the command and without the quotes around it, a secret begins that reaches to its end.
    pub(super) fn word(&mut self, word: &[u8]) -> Option<usize> {
        let is_option = word.first() == Some(&b'-') && word.len() > 1;
        let wanted = self.wants.take();
        self.words += 1;
        match wanted {
            Some(Wants::Secret) if !is_option => return (!is_harmless(word)).then(|| self.begin(word).unwrap_or(0)),
            Some(Wants::NoPort) if !is_option => return (!is_harmless(word) && !is_port(word)).then_some(0),
            Some(Wants::Pair(by)) => return pair(word, by),
            _ => {}
        }
        if is_option { self.option(word) } else { self.operand(word) }
    }

    /// Whether the next word is an option's value.
    pub(super) fn is_waiting(&self) -> bool {
        self.wants.is_some()
    }

    fn option(&mut self, word: &[u8]) -> Option<usize> {
        if let Some(at) = self.attached(word) {
            return Some(at);
        }
        if word.iter().all(|byte| is_name(*byte)) && sensitive(word).is_some() && !is_switch(word) {
            self.wants = Some(Wants::Secret);
            return None;
        }
        if let Some(state) = &mut self.htpasswd {
            state.on_command_line |= word.contains(&b'b');
            if word.contains(&b'n') {
                state.left = 2;
            }
            state.skip = word.ends_with(b"C");
            return None;
        }
        if word[1] == b'-' {
            return self.long_option(word);
        }
        let letter = char::from(word[1]);
        let program = self.program.filter(|program| self.has_verb || program.verb.is_none())?;
        if let Some((letters, by)) = program.pair {
            // `-su user:pass`: the last of several letters
            if word.len() <= 6
                && word[1..].iter().all(u8::is_ascii_alphabetic)
                && letters.contains(char::from(word[word.len() - 1]))
            {
                return self.next(Wants::Pair(by));
            }
            return if letters.contains(letter) { pair(&word[2..], by).map(|at| at + 2) } else { None };
        }
        if word.len() == 2 && program.separate.contains(letter) {
            return self.next(if self.is_sure || self.has_verb { Wants::Secret } else { Wants::NoPort });
        }
        None
    }

    /// `-pSECRET`, before anything else: the secret may look like an option that names one.
    fn attached(&self, word: &[u8]) -> Option<usize> {
        let letter = char::from(*word.get(1).filter(|_| word.len() > 2)?);
        let program = self.program.filter(|program| self.has_verb || program.verb.is_none())?;
        let own = program.attached.contains(letter);
        (own && (self.is_sure || self.has_verb || !is_port(&word[2..]))).then_some(2)
    }

    fn long_option(&mut self, word: &[u8]) -> Option<usize> {
        let (_, by) = self.program?.pair?;
        if word == b"--user" || word == b"--proxy-user" || word == b"--auth" {
            return self.next(Wants::Pair(by));
        }
        let start = word.iter().position(|byte| *byte == b'=')? + 1;
        (&word[..start] == b"--user=" || &word[..start] == b"--proxy-user=")
            .then(|| pair(&word[start..], by).map(|at| at + start))?
    }

    fn operand(&mut self, word: &[u8]) -> Option<usize> {
        if let Some(state) = &mut self.htpasswd {
            if std::mem::take(&mut state.skip) {
                return None;
            }
            state.left = state.left.saturating_sub(1);
            let secret = state.on_command_line && state.left == 0;
            if state.left == 0 {
                self.htpasswd = None;
            }
            return secret.then_some(0);
        }
        let name = name(word);
        if name == b"htpasswd" {
            self.htpasswd = Some(Htpasswd { left: 3, ..Htpasswd::default() });
            return None;
        }
        // what follows a name may be called like a program
        let is_named = self.is_sure && self.program.is_some_and(|program| program.named);
        if let Some(program) = program(name).filter(|_| !is_named) {
            self.program = Some(program);
            self.is_sure = self.words == 1 || name.len() < word.len();
            self.has_verb = false;
            return self.follow(b"");
        }
        let program = self.program?;
        if self.operands > 0 {
            self.operands -= 1;
            return if self.operands == 0 { self.secret(word) } else { None };
        }
        if let Some(begin) = self.begin(word) {
            return Some(begin);
        }
        self.has_verb |= program.verb.is_some_and(|verb| verb.as_bytes() == word);
        if program.named
            && self.is_sure
            && word.iter().all(|byte| is_name(*byte))
            && sensitive(word) == Some(Name::Secret)
        {
            return self.next(Wants::Secret);
        }
        self.follow(word)
    }

    /// Where a secret begins behind what says so.
    fn begin(&self, word: &[u8]) -> Option<usize> {
        let begin = self.program?.begins.iter().find(|begin| word.starts_with(begin.as_bytes()))?.len();
        (word.len() > begin).then_some(begin)
    }

    /// An operand that says where the secret is.
    fn follow(&mut self, operand: &[u8]) -> Option<usize> {
        let after = self.program?.after.iter().find(|(after, _)| after.as_bytes() == operand);
        self.operands = after.map_or(0, |(_, operands)| *operands);
        None
    }

    /// All of an operand, unless the program may not be one.
    fn secret(&self, word: &[u8]) -> Option<usize> {
        let is_one = !is_harmless(word) && !word.contains(&b'=') && (self.is_sure || is_odd(word));
        is_one.then_some(0)
    }

    fn next(&mut self, wants: Wants) -> Option<usize> {
        self.wants = Some(wants);
        None
    }
}

/// The program a word names: its path's last part, also after `COMMAND=` and an opening bracket.
fn name(word: &[u8]) -> &[u8] {
    let start =
        word.iter().rposition(|byte| matches!(byte, b'/' | b'=' | b'(' | b'`' | b'\'' | b'"')).map_or(0, |at| at + 1);
    let name = &word[start..];
    &name[..name.len() - name.iter().rev().take_while(|byte| matches!(byte, b':' | b';' | b',')).count()]
}

/// `80:80`, `127.0.0.1:3306:3306/tcp`: what `docker run --name mysql -p` takes.
fn is_port(word: &[u8]) -> bool {
    let word = word.strip_suffix(b"/tcp").or_else(|| word.strip_suffix(b"/udp")).unwrap_or(word);
    word.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b'-'))
        && (word.contains(&b':') || word.len() <= 5)
}

/// Where the secret of `user:secret` begins.
fn pair(word: &[u8], by: u8) -> Option<usize> {
    let at = word.iter().position(|byte| *byte == by)? + 1;
    // `--user 1000:1000` is no pair of these programs, but costs nothing to keep
    (at < word.len()).then_some(at)
}

/// Adds to `found` what of `text[within]` is a secret because of the word before it.
pub(super) fn find(text: &[u8], within: Range<usize>, found: &mut Vec<Range<usize>>) {
    find_at(text, within, found, 0);
}

fn find_at(text: &[u8], within: Range<usize>, found: &mut Vec<Range<usize>>, depth: usize) {
    let mut command = Command::default();
    let mut words = Words { text: &text[..within.end], at: within.start, unclosed: [false; 2] };
    while let Some(word) = words.next() {
        super::step(word.len());
        let bare = &text[word.clone()];
        if matches!(bare, b"|" | b"||" | b"&&" | b";" | b"&") {
            command = Command::default();
            continue;
        }
        match command.word(bare) {
            Some(from) => found.push(word.start + from..word.end),
            None if depth < DEEPEST && words.was_quoted(&word) && bare.contains(&b' ') => {
                find_at(text, word, found, depth + 1)
            }
            None => {}
        }
        if bare.ends_with(b";") {
            command = Command::default();
        }
    }
}

/// The words of a line as a shell would see them, more or less: prose has apostrophes, JSON has commas.
struct Words<'a> {
    text: &'a [u8],
    at: usize,
    /// There is no further `"` or `'`: looking for one again and again would cost the square.
    unclosed: [bool; 2],
}

impl Words<'_> {
    /// The next word, without the quotes around it.
    fn next(&mut self) -> Option<Range<usize>> {
        let separates = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'[' | b'(' | b'{' | b',');
        let marked = |at: usize| self.text[at..].starts_with(super::MARK.as_bytes());
        while self.text.get(self.at).is_some_and(|byte| separates(*byte)) && !marked(self.at) {
            self.at += 1;
        }
        let start = self.at;
        let first = *self.text.get(start)?;
        if let Some(end) = self.closing(start) {
            self.at = end + 1;
            if self.text.get(end + 1).is_none_or(|byte| byte.is_ascii_whitespace() || b",]}):;".contains(byte)) {
                return Some(start + 1..end);
            }
        }
        let is_option = first == b'-';
        while let Some(byte) = self.text.get(self.at) {
            if byte.is_ascii_whitespace() {
                break;
            }
            // `--key="two words"`, `-p'two words'`, `KEY='two words'`
            let opens = is_option || self.at > start && matches!(self.text[self.at - 1], b'=' | b':');
            self.at = if opens { self.closing(self.at).unwrap_or(self.at) + 1 } else { self.at + 1 };
        }
        Some(start..self.at)
    }

    fn was_quoted(&self, word: &Range<usize>) -> bool {
        word.start > 0 && self.at == word.end + 1 && matches!(self.text[word.start - 1], b'"' | b'\'')
    }

    /// Where the quote that opens at `at` is closed.
    fn closing(&mut self, at: usize) -> Option<usize> {
        let quote = self.text[at];
        let known = match quote {
            b'"' => 0,
            b'\'' => 1,
            _ => return None,
        };
        if self.unclosed[known] {
            return None;
        }
        let mut end = at + 1;
        while let Some(byte) = self.text.get(end) {
            if *byte == quote {
                super::step(end - at);
                return Some(end);
            }
            end += if *byte == b'\\' && quote == b'"' { 2 } else { 1 };
        }
        super::step(end - at);
        self.unclosed[known] = true;
        None
    }
}
