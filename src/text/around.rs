//! A line that is too long to be shown.

use std::borrow::Cow;

/// As much of `text` as is shown, at most `longest` characters, with what was found at `found` in it. What is left out before it and behind
/// it is counted in bytes: `(+N)…`, `…(+N)`; behind it together with `dropped`, which was left out before.
pub fn around(text: &str, found: usize, longest: usize, dropped: u64) -> Cow<'_, str> {
    if dropped == 0 && (text.len() <= longest || text.chars().nth(longest).is_none()) {
        return text.into();
    }
    // a fifth of it stands before
    let before = longest / 5;
    let mut begin = if found > longest - before { found - before } else { 0 };
    while !text.is_char_boundary(begin) {
        begin -= 1;
    }
    let rest = &text[begin..];
    let end = rest.char_indices().nth(longest).map_or(rest.len(), |(end, _)| end);
    let before = if begin > 0 { format!("(+{begin})…") } else { String::new() };
    let behind = (rest.len() - end) as u64 + dropped;
    let behind = if behind > 0 { format!("…(+{behind})") } else { String::new() };
    format!("{before}{}{behind}", &rest[..end]).into()
}
