//! How many tokens a text can cost at the very most, without a tokenizer's four megabytes.
//!
//! o200k cuts a text into pieces by a pattern, then merges neighbouring tokens of a piece as long as the two together are in
//! the vocabulary. So where a piece is known to be one token (up to three digits, a common word, a run of blanks), that
//! counts one; elsewhere two neighbouring single bytes that could merge cannot both be left over, and the bound is the
//! longest partition that respects this. Where it is not certain that two bytes belong to the same piece, they count as apart.
//!
//! Bound over real count, measured on 2026-11-23 with tiktoken-rs 0.12 on the texts of `it_is_not_far_above`: a process table
//! 1.44, log lines 1.31, random letters and digits 1.10, a program 1.85. Prose of long words is the worst, above 2.

use std::sync::LazyLock;

use super::vocabulary::{ASCII, FIRST, LATER, WORDS};

/// Blanks that are one token together.
const BLANKS: usize = 64;
/// The longest word looked up.
const LONGEST_WORD: usize = 16;

/// An upper bound of what `text` costs in o200k tokens; linear, without allocating.
pub fn tokens_at_most(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut tally = Tally::default();
    let mut at = 0;
    while at < bytes.len() {
        let (length, tokens) = whole_pieces(bytes, at);
        if length > 0 {
            tally.close(tokens);
            at += length;
        } else {
            tally.byte(at > 0 && merge(bytes, at - 1));
            at += 1;
        }
    }
    tally.close(0);
    tally.sum
}

/// The longest partition so far of the pieces that are not known by heart: ending with a single byte, with a longer token,
/// and one byte ago.
#[derive(Default)]
struct Tally {
    sum: usize,
    single: usize,
    longer: usize,
    before: usize,
}

impl Tally {
    /// One more byte, which may have to merge with the one before it.
    fn byte(&mut self, merges: bool) {
        let longest = self.single.max(self.longer);
        let single = 1 + if merges { self.longer } else { longest };
        // the first byte of a section has nothing before it to be longer with
        let longer = if longest == 0 { 0 } else { 1 + self.before };
        *self = Self { sum: self.sum, single, longer, before: longest };
    }

    /// A boundary that no token crosses, and what is known to follow it.
    fn close(&mut self, tokens: usize) {
        *self = Self { sum: self.sum + self.single.max(self.longer) + tokens, ..Self::default() };
    }
}

/// The length of what begins at `at` and is cut into pieces of known cost, and that cost; 0 when nothing is.
fn whole_pieces(bytes: &[u8], at: usize) -> (usize, usize) {
    let before = at.checked_sub(1).map(|before| bytes[before]);
    let run = |from: usize, is: fn(&u8) -> bool| bytes[from..].iter().take_while(|byte| is(byte)).count();
    match bytes[at] {
        b'0'..=b'9' => {
            let digits = run(at, u8::is_ascii_digit);
            // digits of other scripts share a piece with these
            let foreign = |byte: Option<&u8>| usize::from(byte.is_some_and(|byte| !byte.is_ascii()));
            (digits, digits.div_ceil(3) + foreign(before.as_ref()) + foreign(bytes.get(at + digits)))
        }
        b' ' if bytes.get(at + 1) == Some(&b' ') => {
            if before
                .is_some_and(|byte| !byte.is_ascii() || (byte.is_ascii_whitespace() && byte != b'\n') || byte == 0xb)
            {
                return (0, 0);
            }
            // the last blank goes with what follows
            let blanks = run(at, |byte| *byte == b' ');
            let next = bytes.get(at + blanks).is_some_and(u8::is_ascii_graphic);
            if next && blanks <= BLANKS { (blanks - 1, 1) } else { (0, 0) }
        }
        b' ' => match word(bytes, at + 1) {
            0 => (0, 0),
            length => (length + 1, 1),
        },
        b'a'..=b'z' if before.is_none_or(|byte| byte == b'\n' || byte.is_ascii_digit()) => {
            let length = word(bytes, at);
            (length, usize::from(length > 0))
        }
        _ => (0, 0),
    }
}

/// The length of the common word that is all of the letters at `at`.
fn word(bytes: &[u8], at: usize) -> usize {
    static KNOWN: LazyLock<Vec<&[u8]>> = LazyLock::new(|| WORDS.split(' ').map(str::as_bytes).collect());
    let end = (at + LONGEST_WORD + 1).min(bytes.len());
    let length = bytes[at..end].iter().take_while(|byte| byte.is_ascii_lowercase()).count();
    // an apostrophe, a letter or a mark of another script would be part of the piece
    let ends =
        bytes.get(at + length).is_none_or(|byte| byte.is_ascii() && !byte.is_ascii_lowercase() && *byte != b'\'');
    if ends && KNOWN.binary_search(&&bytes[at..at + length]).is_ok() { length } else { 0 }
}

/// Whether the bytes `at` and the one after it are certainly in one piece, and together a token.
fn merge(bytes: &[u8], at: usize) -> bool {
    let (a, b) = (bytes[at], bytes[at + 1]);
    let back = |by: usize| at.checked_sub(by).map(|at| bytes[at]);
    let symbol = |byte: u8| byte.is_ascii() && !byte.is_ascii_alphanumeric() && !is_blank(byte);
    match (a, b) {
        (0xc0.., _) => return FIRST[usize::from(a - 0xc0)] >> (b & 0x3f) & 1 == 1,
        (0x80..0xc0, 0x80..0xc0) => return LATER[usize::from(a - 0x80)] >> (b & 0x3f) & 1 == 1,
        (0x80.., _) | (_, 0x80..) => return false,
        _ => {}
    }
    let together = if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() {
        // `'ll` and its like belong to the word before, and end it
        !(a.is_ascii_lowercase() && b.is_ascii_uppercase()) && back(1) != Some(b'\'') && back(2) != Some(b'\'')
    } else if b.is_ascii_alphabetic() {
        match a {
            b' ' | b'\t' => true,
            b'/' => back(1).is_some_and(|before| before.is_ascii_alphanumeric() || before == b'\t'),
            _ if symbol(a) => {
                back(1).is_none_or(|before| before.is_ascii_alphanumeric() || matches!(before, b'\t' | b'\n'))
            }
            _ => false,
        }
    } else if symbol(b) {
        // a slash after a line break still belongs to the symbols before the break
        a == b' ' || symbol(a) && !(a == b'/' && matches!(back(1), None | Some(b'\n' | b'\r' | b'/')))
    } else {
        matches!(b, b'\n' | b'\r') && (symbol(a) || matches!(a, b'\n' | b'\r'))
    };
    together && ASCII[usize::from(a)] >> b & 1 == 1
}

/// As the pattern's `\s`.
fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0xb
}

#[cfg(test)]
mod tests {
    use tiktoken_rs::{CoreBPE, o200k_base_singleton};

    use super::*;

    fn real(text: &str) -> usize {
        o200k_base_singleton().encode_ordinary(text).len()
    }

    /// xorshift: the same texts every time.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, n: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 11) as usize % n
        }

        fn text(&mut self, from: &[&str], parts: usize) -> String {
            (0..parts).map(|_| from[self.below(from.len())]).collect()
        }
    }

    const KINDS: &[&[&str]] = &[
        &["0", "1", "7", "42", "999", "1234"],
        &["0", "12", "\u{b2}", "٣", "½", "𝟗", "a", " "],
        &["!", ".", "/", "\\", "\"", "'", "=", "-", "{", "}", "<", "#", "$", "\u{0}", "\u{7f}"],
        &["\n", "\r", "/", " ", ".", "a", "…", "B"],
        &[" ", "  ", "\t", "\n", "\u{a0}", "\u{3000}", "\u{b}", "\u{c}", "\u{85}", "\u{2028}", "x", "1", "."],
        &["'s", "'ll", "'RE", "'", "don", "s", "l", "T", "quit", "'ſ", "é", "memory", " process"],
        &["中", "文", "A", "b", "B", ".", "'", " ", "ʰ", "\u{301}", "É", "é", "ǅ", "memory"],
        &["\u{20000}", "\u{2a6d6}", "\u{2ffff}", "\u{10ffff}", "\u{e000}", "\u{fffd}"],
        &["😀", "👩\u{200d}👩", "🏳\u{fe0f}", "🇩🇪", "▁", "█", "°C", " ", "·"],
        &["a\u{301}", "\u{300}", "\u{36f}", "\u{1ab0}", "e", " ", ".\u{301}", "_"],
        &["мир", " и ", "ё", "λ", "ß", "ﬁ", "ا", "ב", "ह", "ไ", "한", "か"],
        &["a", "b", "q", "z", "x", "j", "k", "v", "w"],
        &["A", "B", "Q", "Z", "X", "J", "k", "v", "W"],
        &["q", "Zx", "7", "+", "/", "9k", "Jv", "wQ", "3", "="],
        &["memory", "process", " the", " failed", "error", "s", "\n", "1", "'", "é", ".", " ", "  ", "not", "_"],
        &["<|endoftext|>", "\t", "\tname", "12", "-", "3d4h", "root", "/usr/bin/x"],
    ];

    #[test]
    fn no_text_costs_more() {
        let mut dice = Dice(0x5eed_1234_5678_9abc);
        let holds = |text: &str| {
            let (most, real) = (tokens_at_most(text), real(text));
            assert!(most >= real, "{most} < {real}: {text:?}");
        };
        for from in KINDS {
            for parts in 1..160 {
                holds(&dice.text(from, 1 + parts % 40));
            }
        }
        let every: Vec<&str> = KINDS.concat();
        for _ in 0..2500 {
            let parts = 1 + dice.below(30);
            holds(&dice.text(&every, parts));
        }
        for _ in 0..2500 {
            let parts = 1 + dice.below(24);
            let any = |dice: &mut Dice| char::from_u32(dice.below(0x11_0000) as u32 >> dice.below(17)).unwrap_or('?');
            holds(&(0..parts).map(|_| any(&mut dice)).collect::<String>());
        }
        for text in
            ["", " ", "  ", "   \n", "\n\n\n", &" ".repeat(300), &"a".repeat(300), &"=".repeat(300), &"7".repeat(301)]
        {
            holds(text);
        }
    }

    #[test]
    fn the_vocabulary_is_the_real_one() {
        let o200k: &CoreBPE = o200k_base_singleton();
        let one = |bytes: &[u8]| o200k.encode_ordinary(&String::from_utf8_lossy(bytes)).len() == 1;
        let words: Vec<_> = WORDS.split(' ').collect();
        assert!(words.is_sorted(), "binary search");
        for word in words {
            assert!(word.len() <= LONGEST_WORD && one(word.as_bytes()) && one(format!(" {word}").as_bytes()), "{word}");
        }
        for digits in 0..1000 {
            assert!(one(format!("{digits}").as_bytes()) && one(format!("{digits:03}").as_bytes()));
        }
        assert!((1..BLANKS).all(|n| one(" ".repeat(n).as_bytes())));
        let pairs = pairs(o200k);
        for a in 0..=255_u8 {
            for b in 0..=255_u8 {
                let claimed = match (a, b) {
                    (..0x80, ..0x80) => ASCII[usize::from(a)] >> b & 1 == 1,
                    (0xc0.., 0x80..0xc0) => FIRST[usize::from(a - 0xc0)] >> (b & 0x3f) & 1 == 1,
                    (0x80..0xc0, 0x80..0xc0) => LATER[usize::from(a - 0x80)] >> (b & 0x3f) & 1 == 1,
                    _ => false,
                };
                assert!(!claimed || pairs.contains(&vec![a, b]), "{a:#x} {b:#x}");
            }
        }
    }

    /// Every token of two bytes.
    fn pairs(o200k: &CoreBPE) -> std::collections::HashSet<Vec<u8>> {
        (0..199_998).filter_map(|rank| o200k.decode_bytes(&[rank]).ok()).filter(|token| token.len() == 2).collect()
    }

    #[test]
    fn it_is_not_far_above() {
        let table = "pid\tname\tuser\tresident MiB\tcpu %\tage\n1\tsystemd\troot\t12.3\t0.1\t22d22h\n\
                     27520\tpostgres\tpostgres\t1600\t4.2\t21d\n91205\tnginx\twww-data\t93.8\t37.6\t28d16h\n"
            .repeat(20);
        let log = "Nov 23 10:12:01 web-1 sshd[712]: Failed password for invalid user admin from 203.0.113.9 port 51122 ssh2\n\
                   Nov 23 10:12:04 web-1 kernel: Out of memory: Killed process 4242 (java) total-vm:8123456kB, anon-rss:4012345kB\n"
            .repeat(20);
        let mut dice = Dice(0x5eed);
        let letters: Vec<char> = ('a'..='z').chain('A'..='Z').chain('0'..='9').collect();
        let random = (0..5_000).map(|_| letters[dice.below(letters.len())]).collect();
        let program = include_str!("../redact/clean.rs").to_owned();
        for (name, text, most) in
            [("table", table, 1.5), ("log", log, 1.4), ("random", random, 1.2), ("program", program, 2.0)]
        {
            let ratio = tokens_at_most(&text) as f64 / real(&text) as f64;

            assert!(ratio < most, "{name}: {ratio:.2}");
        }
    }
}
