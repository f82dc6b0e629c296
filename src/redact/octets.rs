//! The parts of a private key as `openssl pkey -text` and `certtool --key-info` write them: a name, and below it the octets in hex.

use std::ops::Range;

use super::MARK;

/// How the names of private parts begin, at the beginning of a word: of RSA, of DSA and the curves, and as GnuTLS has them. Behind some stands a
/// number: a `prime` without one is public.
const PRIVATE: [(&str, bool); 5] =
    [("priv", false), ("prime", true), ("exponent", true), ("exp", true), ("coefficient", false)];

/// The longest name: `private exponent`, and what a log puts before it.
const NAME: usize = 48;

/// The fewest octets of the first line below a name, or of one that tells by itself what it is when the name was not seen.
const WHOLE_LINE: usize = 8;

/// Lines of others that may stand between those of a key.
const BETWEEN: u8 = 8;

/// Where we are in such a text.
#[derive(Debug, Default)]
pub(super) struct Octets {
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Open {
    /// The fewest octets that the next line has, if it is one of the key.
    least: usize,
    /// How many lines of others have come since the last one.
    missed: u8,
    /// What is read begins in the middle of a text: nobody has seen a name.
    is_doubtful: bool,
}

impl Octets {
    /// For a text of which the beginning was not read.
    pub(super) fn midway() -> Self {
        Self { open: Some(Open { least: WHOLE_LINE, missed: 0, is_doubtful: true }) }
    }

    /// Whether the octets of a private part have begun and not ended, or may have.
    pub(super) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// `line` without its octets, if they are private.
    pub(super) fn line(&mut self, line: &str) -> Option<String> {
        if line.trim_ascii().is_empty() {
            return None;
        }
        if let Some(open) = &mut self.open {
            if let Some(octets) = octets(line, open.least) {
                (open.least, open.missed) = (if open.is_doubtful { WHOLE_LINE } else { 1 }, 0);
                return Some(format!("{}{MARK}{}", &line[..octets.start], &line[octets.end..]));
            }
            if line.contains(MARK) {
                return None;
            }
            open.missed += 1;
            open.least = WHOLE_LINE;
            if open.is_doubtful || open.missed > BETWEEN {
                self.open = None;
            }
        }
        match is_private(line) {
            Some(true) => self.open = Some(Open { least: WHOLE_LINE, missed: 0, is_doubtful: false }),
            // another part begins
            Some(false) => self.open = None,
            None => (),
        }
        None
    }
}

/// Whether the name that a line ends in is that of a private part. `None`: it ends in none.
fn is_private(line: &str) -> Option<bool> {
    let line = line.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != ':').strip_suffix(':')?;
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'-');
    let length = line.bytes().rev().take(NAME).take_while(is_name).count();
    let name = line[line.len() - length..].to_ascii_lowercase();
    let mut words = name.split([' ', '-']);
    let is_one = |word: &str| {
        let is = |(private, is_numbered): &(&str, bool)| {
            let rest = word.strip_prefix(private);
            rest.is_some_and(|rest| !is_numbered || rest.bytes().any(|byte| byte.is_ascii_digit()))
        };
        PRIVATE.iter().any(is)
    };
    (length > 0).then(|| words.any(is_one))
}

/// The octets that a line ends in, `4c:a2:9d:` or `4c:a2`, if there are so many.
fn octets(line: &str, least: usize) -> Option<Range<usize>> {
    let bytes = line.as_bytes();
    let is_part = |byte: &u8| byte.is_ascii_hexdigit() || *byte == b':';
    let end = bytes.iter().rposition(u8::is_ascii_alphanumeric)? + 1;
    let length = bytes[..end].iter().rev().take_while(|byte| is_part(byte)).count();
    let parts: Vec<&[u8]> = bytes[end - length..end].split(|byte| *byte == b':').collect();
    // what stands before them may end in digits and a colon: a time, the number of a line
    let count = parts.iter().rev().take_while(|part| part.len() == 2).count();
    let start = end - (count * 3).saturating_sub(1);
    let is_apart = start == 0 || !bytes[start - 1].is_ascii_alphanumeric();
    // one alone may be the number of a line
    let is_enough = count >= least.max(2) || count >= least && !bytes[..start].iter().any(u8::is_ascii_alphanumeric);
    (is_enough && is_apart).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::WHOLE_LINE;
    use crate::{MARK, Redactor};

    const EC: &str = "Private-Key: (256 bit)\npriv:\n    9c:10:9a:67:e9:3d:80:4d:24:99:82:ec:8a:6a:43:\n    \
        e5:12:d3:2b:84:96:b8:13:2d:d4:eb:57:c3:fe:da:\n    31\npub:\n    04:8a:b2:e3:fc:7b:43:3f:c2:b9:15:c3:c4:e7:e2:\n    43:f2\n\
        ASN1 OID: prime256v1";
    const RSA: &str = "modulus:\n    00:d6:f9:5d:9c:3b:dd:c2:6f:dc:9e:28:ea:4a:65:\npublicExponent: 65537 (0x10001)\n\
        privateExponent:\n    12:66:e2:36:5b:d2:11:98:70\n    1c:aa\nprime1:\n    00:f9:28:37:5b:d2:11:98:70\nprime2:\n    00:dc:e0:d0:5b:d2:11:98:70\n\
        exponent1:\n    4e:0f:d8:a9:5b:d2:11:98:70\nexponent2:\n    45:e2:aa:19:5b:d2:11:98:70\ncoefficient:\n    45:e2:aa:19:5b:d2:11:98:70\nnext: 1";
    const GNUTLS: &str = "modulus:\n\t00:d6\npublic exponent:\n\t01:00:01\nprivate exponent:\n\t12:66:e2:5b:d2:11:98:70\nprime1:\n\t00:f9:28:5b:d2:11:98:70\n\
        exp1:\n\t0c:28:5b:d2:11:98:70:33\ncoefficient:\n\t7e:01:5b:d2:11:98:70:33\n\nPublic Key PIN:\n\tpin-sha256";

    fn redacted(text: &str, spell: fn(&str) -> String, midway: bool) -> Vec<String> {
        let mut redactor = if midway { Redactor::midway() } else { Redactor::default() };
        let spelled = |line| spell(line).split('\n').map(str::to_owned).collect::<Vec<_>>();
        text.lines()
            .map(|line| spelled(line).iter().map(|line| redactor.line(line)).collect::<Vec<_>>().join("\n"))
            .collect()
    }

    #[test]
    fn the_private_octets_go_however_the_lines_are_spelled_and_the_public_ones_stay() {
        let spellings: [fn(&str) -> String; 10] = [
            str::to_owned,
            |line| format!("{line}\r"),
            |line| format!("> {line}"),
            |line| format!("\"{line}\","),
            |line| format!("| {line} |"),
            |line| format!("2026-11-30T12:00:00Z app[7]: {line}"),
            |line| format!("key.txt:12:{line}"),
            |line| line.to_uppercase(),
            |line| format!("12:00:00 INFO {line}"),
            |line| format!("{line}\nGET /index.html 200"),
        ];
        for spell in spellings {
            for text in [EC, RSA, GNUTLS] {
                let mut is_private = false;
                for (line, shown) in text.lines().zip(redacted(text, spell, false)) {
                    let name = line.to_lowercase();
                    if !line.starts_with([' ', '\t']) {
                        is_private =
                            ["priv", "prime1", "prime2", "exp", "coeff"].iter().any(|part| name.starts_with(part));
                    }
                    // by itself, as the value of what is called so
                    if name.starts_with("private-key:") {
                        continue;
                    }
                    // one octet behind the number of a line cannot be told from that
                    if line.trim().len() == 2 && spell("").contains(|c: char| c.is_ascii_digit()) {
                        continue;
                    }
                    // nor are a few behind a line of another
                    if line.trim().len() < 3 * WHOLE_LINE - 1 && spell("").contains('\n') {
                        continue;
                    }
                    let is_octets = line.starts_with([' ', '\t']) && is_private;
                    assert_eq!(shown.contains(MARK), is_octets, "{line:?}: {shown:?}");
                    let octets = line.trim().trim_matches(':');
                    assert!(!is_octets || !shown.to_lowercase().contains(octets), "{shown:?}");
                }
            }
        }
    }

    #[test]
    fn what_is_read_from_the_middle_may_have_begun_in_a_private_part() {
        let from = |text: &str, skip: usize| -> Vec<bool> {
            let rest: Vec<&str> = text.lines().skip(skip).collect();
            redacted(&rest.join("\n"), str::to_owned, true).iter().map(|line| line.contains(MARK)).collect()
        };
        assert_eq!(from(EC, 2)[..4], [true, true, false, false]);
        // what only begins like a name of theirs
        for text in [
            "privileged ports:\n  - 22\n  - 80",
            "primes:\n  11\n  13",
            "private sessions:\n  12:30",
            "private interfaces:\n  02:42:ac:11:00:02",
            "prime:\n    00:f9:28:37:5b:d2:11:98:70",
            "public exponent:\n    00:f9:28:37:5b:d2:11:98:70",
        ] {
            assert_eq!(redacted(text, str::to_owned, false).join("\n"), text);
        }
        assert!(
            redacted("    private-key:\n        00:f9:28:37:5b:d2:11:98:70", str::to_owned, false)[1].contains(MARK)
        );
        // addresses of network cards are no key
        let link = "    link/ether 02:42:ac:11:00:02 brd ff:ff:ff:ff:ff:ff\n    02:42:ac:11:00:02";
        assert_eq!(from(link, 0), [false, false]);
    }
}
