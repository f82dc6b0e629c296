//! Text as it reads: letters and signs in full width are those of ASCII, and every blank is the blank.

use std::borrow::Cow;

/// `text` as names and signs are looked for in it: written in full width, a name is still that name to its reader.
pub(super) fn fold(text: &str) -> Cow<'_, str> {
    if !is_folded(text) {
        return text.into();
    }
    text.chars().map(folded).collect::<String>().into()
}

/// Whether `text` reads otherwise than it is written.
pub fn is_folded(text: &str) -> bool {
    !text.is_ascii() && text.chars().any(|c| folded(c) != c)
}

fn folded(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
        c => c,
    }
}
