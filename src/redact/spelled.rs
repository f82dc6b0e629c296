//! Private keys made by rule, in every spelling that they are found in, for the tests of all that shows lines.

/// A text with a private key in it, or several.
#[derive(Debug)]
pub struct Spelled {
    /// What key, and how it is written.
    pub name: String,
    /// All of it, with other lines before and after.
    pub text: String,
    /// The lines of the key: none of 16 characters and more may be shown, nor any 16 of them.
    key: Vec<String>,
}

impl Spelled {
    /// A part of the key that is in `shown`.
    pub fn leak<'shown>(&self, shown: &'shown str) -> Option<&'shown str> {
        const LEAST: usize = 16;
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
        let words = shown.split(|c: char| !is_base64(c)).filter(|word| word.len() >= LEAST);
        let mut parts = words.flat_map(|word| (0..=word.len() - LEAST).map(|at| &word[at..at + LEAST]));
        parts.find(|part| self.key.iter().any(|line| line.contains(part)))
    }
}

/// The lines of a key's file, and which of them are the key.
struct Key {
    name: &'static str,
    before: Vec<String>,
    lines: Vec<String>,
    after: Vec<String>,
}

impl Key {
    fn all(&self) -> impl Iterator<Item = &String> {
        self.before.iter().chain(&self.lines).chain(&self.after)
    }
}

/// Every key in every spelling.
pub fn all() -> Vec<Spelled> {
    let keys = keys();
    let of = |(name, spell): &(&str, Spelling)| keys.iter().map(|key| spelled(key, name, spell)).collect::<Vec<_>>();
    spellings().iter().flat_map(of).chain(keys.iter().flat_map(encoded)).collect()
}

/// A key of so many lines, as it is.
pub fn long(lines: usize) -> Spelled {
    let key = pem("a long one", "PGP PRIVATE KEY BLOCK", 64, lines, &["Version: 2", ""]);
    spelled(&key, "as it is", &Spelling::Lines(|line| line.to_owned()))
}

/// Files full of hashes and public keys that are no secret, each with its name and longer than 64 KiB.
pub fn everyday() -> Vec<(&'static str, String)> {
    let mut next = letters(7);
    let mut hash = |count: usize, end: &str| (0..count).map(|_| next()).chain(end.chars()).collect::<String>();
    let text = |one: &mut dyn FnMut(usize) -> String| (0..1_600).map(&mut *one).collect::<String>();
    vec![
        (
            "package-lock.json",
            text(&mut |n| {
                format!(
                    "    \"node_modules/@babel/helperModule{n}\": {{\n      \"version\": \"7.{n}.0\",\n      \"resolved\": \
                     \"https://registry.example/helperModule-7.{n}.0.tgz\",\n      \"integrity\": \"sha512-{}\"\n    }},\n",
                    hash(86, "==")
                )
            }),
        ),
        (
            "pnpm-lock.yaml",
            text(&mut |n| {
                format!("  /loadHelperModule/{n}.1.0:\n    resolution: {{integrity: sha512-{}}}\n", hash(86, "=="))
            }),
        ),
        (
            "flake.lock",
            text(&mut |n| {
                format!(
                    "    \"inputOfSomeFlake{n}\": {{\n      \"narHash\": \"sha256-{}\",\n      \"owner\": \"nixCommunityMembers\"\n    }},\n",
                    hash(43, "=")
                )
            }),
        ),
        ("go.sum", text(&mut |n| format!("git.example/MakeModules/module{n} v1.{n}.0/go.mod h1:{}\n", hash(43, "=")))),
        (
            "known_hosts",
            text(&mut |n| {
                format!(
                    "host{n}.example ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{}\n[host{n}.example]:2222 ecdsa-sha2-nistp256 \
                     AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABB{}\n",
                    hash(43, ""),
                    hash(87, "=")
                )
            }),
        ),
        (
            "a log of sshd",
            text(&mut |n| {
                format!(
                    "Nov 30 12:00:00 web sshd[{n}]: Accepted publickey for bob from 192.0.2.7 port {n} ssh2: ED25519 SHA256:{}\n",
                    hash(43, "")
                )
            }),
        ),
        (
            "scripts with their hashes",
            text(&mut |n| format!("<script src=\"/loadHelperModule{n}.js\" integrity=\"sha384-{}\">\n", hash(64, ""))),
        ),
        ("directories", text(&mut |n| format!("/srv/www/Sites/MyShop/var/cache/Images/x{n:04}/Small\n"))),
        (
            "a log of classes",
            text(&mut |n| {
                format!(
                    "12:00:{n} main AbstractAutowireCapableBeanFactoryPostProcessor\n12:00:{n} main TomcatWebServer\n"
                )
            }),
        ),
    ]
}

/// The same with hashes that do not say so: as long as a key's line, but padded or of several lengths.
pub fn unnamed() -> Vec<(&'static str, String)> {
    let mut next = letters(8);
    let mut hash = |count: usize, end: &str| (0..count).map(|_| next()).chain(end.chars()).collect::<String>();
    let text = |one: &mut dyn FnMut(usize) -> String| (0..1_600).map(&mut *one).collect::<String>();
    vec![
        (
            "packages.lock.json",
            text(&mut |n| {
                format!(
                    "      \"ExtensionsDependencyInjection{n}\": {{\n        \"type\": \"Transitive\",\n        \"contentHash\": \"{}\"\n      }},\n",
                    hash(86, "==")
                )
            }),
        ),
        ("checksums", text(&mut |n| format!("SomeLongFileName{n} {}\n", hash(43, "=")))),
        (
            "identifiers of any length",
            text(&mut |n| format!("12:00:{n} main TomcatWebServer id={}\n", hash(40 + n * 7 % 30, ""))),
        ),
    ]
}

fn keys() -> Vec<Key> {
    let mut putty = pem("PuTTY", "", 64, 14, &[]);
    putty.before = vec![
        "PuTTY-User-Key-File-3: ssh-rsa".into(),
        "Encryption: none".into(),
        "Comment: rsa-key-20261130".into(),
        "Public-Lines: 1".into(),
        "AAAAB3NzaC1yc2EAAAADAQAB".into(),
        "Private-Lines: 14".into(),
    ];
    putty.after = vec!["Private-MAC: 0f5d9c".into()];
    vec![
        pem("RSA", "RSA PRIVATE KEY", 64, 13, &[]),
        pem(
            "RSA with a passphrase",
            "RSA PRIVATE KEY",
            64,
            9,
            &["Proc-Type: 4,ENCRYPTED", "DEK-Info: AES-256-CBC,A0B1C2", ""],
        ),
        pem("EC", "EC PRIVATE KEY", 64, 3, &[]),
        pem("PKCS 8", "ENCRYPTED PRIVATE KEY", 76, 8, &[]),
        pem("OpenSSH", "OPENSSH PRIVATE KEY", 70, 7, &[]),
        pem("PGP", "PGP PRIVATE KEY BLOCK", 64, 40, &["Version: GnuPG v2", ""]),
        pem("OpenVPN", "OpenVPN Static key V1", 32, 16, &[]),
        putty,
    ]
}

fn pem(name: &'static str, label: &str, width: usize, count: usize, headers: &[&str]) -> Key {
    let mut next = letters(name.len() as u64 + count as u64);
    let mut lines: Vec<String> = (1..count).map(|_| (0..width).map(|_| next()).collect()).collect();
    // the last one is shorter
    lines.push((0..width / 3).map(|_| next()).chain("==".chars()).collect());
    let before = std::iter::once(format!("-----BEGIN {label}-----"));
    Key {
        name,
        before: before.chain(headers.iter().map(|line| (*line).to_owned())).collect(),
        lines,
        after: vec![format!("-----END {label}-----")],
    }
}

/// Letters of base64, the same every time.
fn letters(seed: u64) -> impl FnMut() -> char {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        char::from(LETTERS[(seed >> 11) as usize % LETTERS.len()])
    }
}

type Each = fn(&str) -> String;
type Together = fn(&[&str]) -> String;

enum Spelling {
    /// Each line by itself, with a line break behind it.
    Lines(Each),
    /// All lines at once, with their places.
    Whole(Together),
}

fn spelled(key: &Key, how: &str, spelling: &Spelling) -> Spelled {
    let lines: Vec<&str> = key.all().map(String::as_str).collect();
    let text = match spelling {
        Spelling::Lines(spell) => lines.iter().map(|line| format!("{}\n", spell(line))).collect(),
        Spelling::Whole(spell) => spell(&lines),
    };
    Spelled {
        name: format!("{}: {how}", key.name),
        text: format!("what stands before it\n{text}what stands behind it\n"),
        key: key.lines.clone(),
    }
}

fn spellings() -> Vec<(&'static str, Spelling)> {
    let lines: Vec<(&str, Each)> = vec![
        ("as it is", |line| line.to_owned()),
        ("ended by CR LF", |line| format!("{line}\r")),
        ("ended by CR CR LF", |line| format!("{line}\r\r")),
        ("a blank at the end", |line| format!("{line} ")),
        ("blanks and CR LF", |line| format!("{line}   \r")),
        ("a tab at the end", |line| format!("{line}\t")),
        ("a no-break space at the end", |line| format!("{line}\u{a0}")),
        ("a vertical tab at the end", |line| format!("{line}\u{b}")),
        ("a form feed at the beginning", |line| format!("\u{c}{line}")),
        ("indented", |line| format!("    {line}")),
        ("indented by a tab", |line| format!("\t{line}")),
        ("indented by a wide blank", |line| format!("\u{3000}{line}")),
        ("in a list", |line| format!("  - {line}")),
        ("strings of JSON", |line| format!("  \"{line}\",")),
        ("strings of a shell", |line| format!("'{line}'")),
        ("strings of PHP", |line| format!("  '{line}'.")),
        ("strings that are added", |line| format!("  \"{line}\\n\" +")),
        ("strings that stand side by side", |line| format!("\"{line}\\r\\n\"")),
        ("an array of a shell", |line| format!("{line};")),
        ("continued lines", |line| format!("{line} \\")),
        ("continued lines with breaks", |line| format!("{line}\\n\\")),
        ("a table", |line| format!("| {line} |")),
        ("a table of Markdown in code", |line| format!("| `{line}` |")),
        ("tags", |line| format!("<l>{line}</l>")),
        ("tags with attributes", |line| format!("<line no=\"7\">{line}</line>")),
        ("breaks of HTML", |line| format!("{line}<br>")),
        ("breaks as entities", |line| format!("{line}&#10;")),
        ("a comment", |line| format!("# {line}")),
        ("a comment of C", |line| format!("// {line}")),
        ("a comment of SQL", |line| format!("-- {line}")),
        ("a comment of Java", |line| format!(" * {line}")),
        ("a comment of INI", |line| format!("; {line}")),
        ("a mail that answers", |line| format!("> {line}")),
        ("a mail that answers an answer", |line| format!(">>{line}")),
        ("a diff that adds", |line| format!("+{line}")),
        ("a diff that removes", |line| format!("-{line}")),
        ("numbered", |line| format!("     7\t{line}")),
        ("found", |line| format!("key.pem:7:{line}")),
        ("beside what is found", |line| format!("key.pem-7-{line}")),
        ("a log", |line| format!("2026-11-30T12:00:00.123456Z app[7]: {line}")),
        ("a log with a level", |line| format!("[2026-11-30 12:00:00] ERROR (main) {line}")),
        ("a log of JSON", |line| format!("{{\"time\":\"12:00\",\"msg\":\"{line}\"}}")),
        ("a log with fields behind", |line| format!("level=info msg=\"{line}\" id=7")),
        ("compose", |line| format!("web-1  | {line}")),
        ("coloured", |line| format!("\u{1b}[32m{line}\u{1b}[0m")),
        ("with a soft hyphen", |line| middle(line, "\u{ad}")),
        ("with a zero-width blank", |line| middle(line, "\u{200b}")),
        ("with marks of direction", |line| format!("\u{202d}{line}\u{202c}")),
        ("with a blank line after each", |line| format!("{line}\n")),
        ("with a comment after each", |line| format!("{line}\n#")),
    ];
    let whole: Vec<(&str, Together)> = vec![
        ("with lines of others between", |lines| {
            let others = ["GET /index.html 200", "ready to serve", "tick"];
            let of = |(n, line): (usize, &&str)| {
                let other = if n % 4 == 3 { others[n / 4 % 3] } else { return format!("{line}\n") };
                format!("{line}\n{other}\n{other}\n")
            };
            lines.iter().enumerate().map(of).collect()
        }),
        ("one line of an environment", |lines| format!("KEY_DATA=\"{}\\n\"\n", lines.join("\\n"))),
        ("one line of a log", |lines| format!("loaded {} for bob\n", lines.join("\\n"))),
        ("one line with CR LF", |lines| format!("{{\"cert\": \"{}\\r\\n\", \"n\": 1}}\n", lines.join("\\r\\n"))),
        ("one line, escaped twice", |lines| format!("{{\"x\":\"{{\\\"pem\\\":\\\"{}\\\"}}\"}}\n", lines.join("\\\\n"))),
        ("one line with blanks", |lines| format!("pem: {}\n", lines.join(" "))),
        ("one line with commas", |lines| format!("[\"{}\"]\n", lines.join("\", \""))),
        ("one line for an address", |lines| format!("GET /x?pem={}\n", lines.join("%0A").replace(' ', "%20"))),
        ("one line for a form", |lines| format!("pem={}&n=1\n", lines.join("%0D%0A").replace(' ', "+"))),
        ("a block of YAML", |lines| format!("tls:\n  pem: |\n{}", indented(lines, 4))),
        ("a folded block of YAML", |lines| format!("- pem: >-\n{}", indented(lines, 4))),
        ("a string of several lines", |lines| format!("pem = \"\"\"\n{}\n\"\"\"\n", lines.join("\n"))),
        ("a variable of several lines", |lines| format!("PRIVATE_KEY=\"{}\"\n", lines.join("\n"))),
        ("the value of a named pair", |lines| format!("- name: TLS_KEY\n  value: \"{}\"\n", lines.join("\n"))),
        ("two after each other", |lines| format!("{0}\n{0}\n", lines.join("\n"))),
        ("behind a certificate", |lines| {
            format!(
                "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ0\n-----END CERTIFICATE-----\n{}\n",
                lines.join("\n")
            )
        }),
    ];
    let lines = lines.into_iter().map(|(name, spell)| (name, Spelling::Lines(spell)));
    lines.chain(whole.into_iter().map(|(name, spell)| (name, Spelling::Whole(spell)))).collect()
}

fn indented(lines: &[&str], by: usize) -> String {
    lines.iter().map(|line| format!("{}{line}\n", " ".repeat(by))).collect()
}

fn middle(line: &str, sign: &str) -> String {
    let (before, behind) = line.split_at(line.len() / 2);
    format!("{before}{sign}{behind}")
}

/// The key in base64 once more: on one line and on several, of its bytes and of its letters in UTF-16.
fn encoded(key: &Key) -> Vec<Spelled> {
    if !key.before[0].contains("BEGIN") {
        return vec![];
    }
    let text: String = key.all().map(|line| format!("{line}\n")).collect();
    let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut all = vec![];
    for (bytes, how) in [
        (text.as_bytes(), "in base64"),
        (&[b"\n", text.as_bytes()].concat(), "in base64, moved"),
        (&wide, "in base64, wide"),
    ] {
        let line = base64(bytes);
        let wrapped = |width: usize, before: &str| -> (String, Vec<String>) {
            let lines: Vec<String> =
                line.as_bytes().chunks(width).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
            (lines.iter().map(|line| format!("{before}{line}\n")).collect(), lines)
        };
        let forms = [
            (format!("tls.key: {line}\nnext: 1\n"), vec![line.clone()], "on one line"),
            (format!("{{\"pem\":\"{line}\",\"n\":1}}\n"), vec![line.clone()], "in JSON"),
            {
                let (text, lines) = wrapped(76, "");
                (text, lines, "on lines")
            },
            {
                let (text, lines) = wrapped(64, "    ");
                (format!("pem: !!binary |\n{text}next: 1\n"), lines, "in a block of YAML")
            },
        ];
        all.extend(forms.into_iter().map(|(text, key_lines, form)| Spelled {
            name: format!("{}: {how} {form}", key.name),
            text: format!("what stands before it\n{text}what stands behind it\n"),
            key: key_lines,
        }));
    }
    all
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for part in bytes.chunks(3) {
        let bits = part.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        let letters = (0..4).map(|n| char::from(LETTERS[(bits >> (18 - 6 * n)) as usize & 63]));
        out.extend(letters.take(part.len() + 1).chain("==".chars()).take(4));
    }
    out
}
