//! Text that others wrote, without what acts on a terminal or hides from a reader.

use std::{borrow::Cow, iter::Peekable, str::Chars};

use serde_json::{Map, Value};

/// `text` on one line, of visible characters only, no longer than `longest` characters.
///
/// Terminal sequences go, with what they carry. A line break, a tab or any other control character becomes one blank;
/// invisible characters (direction marks, zero width, tags, selectors) go; private and unassigned-for-ever ones become
/// U+FFFD. What is cut off is counted: `…(+N)`, N characters of the cleaned text.
pub fn clean(text: &str, longest: usize) -> Cow<'_, str> {
    // a byte is never fewer than one character
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) && text.len() <= longest {
        return text.into();
    }
    let plain = text.chars().all(|c| kind(c) == Kind::Visible);
    if plain && text.chars().nth(longest).is_none() {
        return text.into();
    }
    cap(if plain { text.into() } else { stripped(text).into() }, longest)
}

/// Cleans every string of `value`, keys included. Two keys that become the same stay two.
pub fn clean_value(value: &mut Value, longest: usize) {
    each_string(value, &mut |text| match clean(text, longest) {
        Cow::Borrowed(_) => None,
        Cow::Owned(cleaned) => Some(cleaned),
    });
}

/// Puts `change`'s answer in the place of every string and key, however deep.
pub(super) fn each_string(value: &mut Value, change: &mut dyn FnMut(&str) -> Option<String>) {
    let mut waiting = vec![value];
    while let Some(value) = waiting.pop() {
        match value {
            Value::String(text) => {
                if let Some(changed) = change(text) {
                    *text = changed;
                }
            }
            Value::Array(items) => waiting.extend(items),
            Value::Object(fields) => {
                rename(fields, change);
                waiting.extend(fields.values_mut());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

/// Only when a key changes is the object built anew: keys are nearly always ours.
pub(super) fn rename(fields: &mut Map<String, Value>, change: &mut dyn FnMut(&str) -> Option<String>) {
    let changed: Vec<_> = fields.keys().map(|key| change(key)).collect();
    if changed.iter().all(Option::is_none) {
        return;
    }
    let before = std::mem::take(fields);
    // unchanged keys have the first right to their name
    let kept: std::collections::HashSet<String> =
        before.keys().zip(&changed).filter(|(_, changed)| changed.is_none()).map(|(key, _)| key.clone()).collect();
    let mut next = 2_usize;
    for ((key, value), changed) in before.into_iter().zip(changed) {
        let mut name = changed.unwrap_or_else(|| key.clone());
        if name != key && (fields.contains_key(&name) || kept.contains(&name)) {
            // one counter for all of them: many keys that become the same must not cost the square
            let base = name;
            loop {
                name = format!("{base} ({next})");
                next += 1;
                if !fields.contains_key(&name) && !kept.contains(&name) {
                    break;
                }
            }
        }
        fields.insert(name, value);
    }
}

fn cap(text: Cow<'_, str>, longest: usize) -> Cow<'_, str> {
    match text.char_indices().nth(longest) {
        None => text,
        Some((end, _)) => format!("{}…(+{})", &text[..end], text[end..].chars().count()).into(),
    }
}

fn stripped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match kind(c) {
            Kind::Visible => out.push(c),
            Kind::Invisible => {}
            Kind::Meaningless => out.push(char::REPLACEMENT_CHARACTER),
            Kind::Control => match c {
                '\u{1b}' => escape(&mut rest),
                '\u{9b}' => control_sequence(&mut rest),
                '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => control_string(&mut rest),
                // the end of a string that never began
                '\u{9c}' => {}
                // one line break, though two characters
                '\r' if rest.peek() == Some(&'\n') => {}
                _ => out.push(' '),
            },
        }
    }
    out
}

/// What follows ESC.
fn escape(rest: &mut Peekable<Chars<'_>>) {
    match rest.peek() {
        Some('[') => {
            rest.next();
            control_sequence(rest);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            rest.next();
            control_string(rest);
        }
        Some(' '..='/') => {
            while rest.next_if(|c| matches!(c, ' '..='/')).is_some() {}
            rest.next_if(|c| matches!(c, '0'..='~'));
        }
        Some('0'..='~') => {
            rest.next();
        }
        _ => {}
    }
}

/// Parameters, intermediates and the final character of a CSI. One that breaks off takes nothing more with it.
fn control_sequence(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| matches!(c, '0'..='?')).is_some() {}
    while rest.next_if(|c| matches!(c, ' '..='/')).is_some() {}
    rest.next_if(|c| matches!(c, '@'..='~'));
}

/// The string of an OSC, DCS, SOS, PM or APC, to BEL or ST. One that never ends would hide the rest of the text, so it
/// ends at the line; and only its introducer is dropped when there is no end at all.
fn control_string(rest: &mut Peekable<Chars<'_>>) {
    let mut ahead = rest.clone();
    while let Some(c) = ahead.next() {
        match c {
            '\u{7}' | '\u{9c}' => {
                *rest = ahead;
                return;
            }
            '\u{1b}' => {
                if ahead.next_if_eq(&'\\').is_some() {
                    *rest = ahead;
                }
                return;
            }
            c if c.is_control() => return,
            _ => {}
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Visible,
    /// Removed: joins nothing that was not joined for the eye.
    Invisible,
    /// Becomes a blank, or begins a terminal sequence.
    Control,
    /// Private use and noncharacters: means something else to every reader.
    Meaningless,
}

fn kind(c: char) -> Kind {
    match c {
        ' '..='~' => Kind::Visible,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' => Kind::Control,
        // line and paragraph separator; blanks that are not the blank
        '\u{2028}' | '\u{2029}' => Kind::Control,
        // soft hyphen, grapheme joiner, Arabic letter mark, Hangul fillers, Khmer and Mongolian marks
        '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'
        | '\u{1160}'
        | '\u{17b4}'
        | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        // zero width and directions, embedding, invisible operators, isolates
        | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{2800}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        // shorthand and musical format controls
        | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}'
        // tags, the supplementary selectors, and all that is reserved to be ignored
        | '\u{e0000}'..='\u{e0fff}' => Kind::Invisible,
        '\u{e000}'..='\u{f8ff}' | '\u{fdd0}'..='\u{fdef}' | '\u{f0000}'..='\u{10ffff}' => Kind::Meaningless,
        c if u32::from(c) & 0xfffe == 0xfffe => Kind::Meaningless,
        _ => Kind::Visible,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_acts_or_hides_goes() {
        for (text, cleaned) in [
            ("plain", "plain"),
            ("größe 中文 ±🙂 U+FFFD \u{fffd}", "größe 中文 ±🙂 U+FFFD \u{fffd}"),
            ("two\nlines\r\nand\ta tab\0", "two lines and a tab "),
            ("\x1b[1;31mred\x1b[0m", "red"),
            ("\x1b[38:5:1mred\x1b[?25l", "red"),
            ("\u{9b}31mred", "red"),
            ("\x1b]0;title\x07after", "after"),
            ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\u{9d}0;title\u{9c}after", "after"),
            ("\x1bPq data\x1b\\after", "after"),
            ("\x1b_apc\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\after", "after"),
            ("\x1b(Bcharset\x1b7save\x1bM", "charsetsave"),
            ("\x1b]0;never ends", "0;never ends"),
            ("\x1b]0;line\nnext\x07", "0;line next "),
            ("\x1b[", ""),
            ("\x1b", ""),
            ("\x1b[12é", "é"),
            ("a\u{202e}b\u{2066}c\u{200b}d\u{feff}e\u{ad}f", "abcdef"),
            ("tag\u{e0041}\u{e007f}s v\u{fe0f}\u{e0100}s", "tags vs"),
            ("a\u{2028}b\u{2029}c\u{85}d", "a b c d"),
            ("\u{e000}\u{f8ff}\u{fdd0}\u{ffff}\u{1fffe}\u{10ffff}", "\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(clean(text, 100), cleaned, "{text:?}");
            assert_eq!(clean(&clean(text, 100), 100), cleaned, "twice: {text:?}");
        }
    }

    #[test]
    fn nothing_changes_nothing_is_copied() {
        for text in ["", "plain ASCII", "größe 中文"] {
            assert!(matches!(clean(text, 11), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn a_long_text_says_what_it_lost() {
        assert_eq!(clean("abcdef", 6), "abcdef");
        assert_eq!(clean("abcdef", 4), "abcd…(+2)");
        assert_eq!(clean("äöü\u{200b}ß\n", 3), "äöü…(+2)");
        assert_eq!(clean("x", 0), "…(+1)");
    }

    #[test]
    fn every_character_comes_out_visible() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let text = format!("a{c}b");
            assert!(clean(&text, 10).chars().all(|c| kind(c) == Kind::Visible), "{c:?}");
        }
    }

    #[test]
    fn every_string_of_an_answer_is_cleaned() {
        let mut value = json!({"a\n": ["x\ty", {"b": "\x1b[1mz"}], "a ": 1, "a\t": 2, "n": 3});
        clean_value(&mut value, 100);
        // `a ` was there first
        assert_eq!(value, json!({"a  (2)": ["x y", {"b": "z"}], "a ": 1, "a  (3)": 2, "n": 3}));
        let mut deep = Value::from("\n");
        for _ in 0..5_000 {
            deep = Value::Array(vec![deep]);
        }
        clean_value(&mut deep, 10);
        while let Value::Array(mut items) = deep {
            deep = items.remove(0);
        }
        assert_eq!(deep, " ");
    }
}
