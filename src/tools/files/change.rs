//! What the tools that change files have in common: how they know a file, and how the record names what they did to it.

use std::path::Path;

use rustix::fs::Stat;

use jail::write::{Spot, Version};
use kernel::failure::Failure;

/// As the audit log has it: the hashes before and after, and what they are of.
pub(super) fn record(before: Option<&str>, after: Option<&str>, what: &str) -> String {
    format!("{}..{} {what}", before.unwrap_or("none"), after.unwrap_or("none"))
}

/// A path in the log, where it may stand beside another.
pub(super) fn quoted(path: &Path) -> String {
    format!("{path:?}")
}

/// Fails unless `if_unchanged` is the hash of what is there.
pub(super) fn check_unchanged(spot: &Spot, now: Option<&Version>, if_unchanged: Option<&str>) -> Result<(), Failure> {
    let Some(expected) = if_unchanged else { return Ok(()) };
    let path = text::quote_path(spot.path());
    Err(Failure::Refused(match now {
        None => format!("{path} does not exist any more; leave if_unchanged out to make it anew"),
        Some(now) => match now.sha256() {
            Some(sha256) if sha256.eq_ignore_ascii_case(expected) => return Ok(()),
            Some(sha256) => format!(
                "{path} is not what you have read: its sha256 is {sha256} now. Read it again, and make your change to what is there"
            ),
            None => format!("{path} is too large to be hashed, so that if_unchanged cannot be told"),
        },
    }))
}

/// Fails if the file has other names, unless the caller accepts that they keep the old content.
pub(super) fn check_links(spot: &Spot, old: &Stat, break_links: bool) -> Result<(), Failure> {
    if old.st_nlink <= 1 || break_links {
        return Ok(());
    }
    Err(Failure::Refused(format!(
        "{} has {} names (hard links), and the others would keep the old content; break_links: true accepts that",
        text::quote_path(spot.path()),
        old.st_nlink
    )))
}

/// Permissions as a caller writes them: octal, without setuid, setgid and sticky.
pub(super) fn permissions(mode: &str) -> Result<u32, Failure> {
    let wrong = || Failure::Invalid(format!("mode is three octal digits like \"644\", not {mode:?}"));
    let digits = mode.strip_prefix('0').filter(|rest| rest.len() == 3).unwrap_or(mode);
    if digits.len() != 3 || !digits.bytes().all(|byte| matches!(byte, b'0'..=b'7')) {
        return Err(wrong());
    }
    u32::from_str_radix(digits, 8).map_err(|_| wrong())
}

/// What to know about it, if anything.
pub(super) fn note(notes: Vec<String>) -> Option<String> {
    (!notes.is_empty()).then(|| notes.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_octal_and_no_more() {
        assert_eq!((permissions("644").unwrap(), permissions("0750").unwrap()), (0o644, 0o750));
        for wrong in ["", "0", "64", "888", "4755", "04755", "+64", "0o644", "rw-"] {
            assert!(permissions(wrong).is_err(), "{wrong}");
        }
    }
}
