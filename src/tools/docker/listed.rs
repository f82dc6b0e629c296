//! How the lists of Docker's things are told.

use rights::grant::matches;

/// Containers named as users of one thing.
pub(super) const USERS: usize = 5;

/// Whether `name` has `pattern` in it, whatever its case; a pattern with a star or a question mark has to fit all of it.
pub(super) fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase(), name.to_lowercase());
    if pattern.contains(['*', '?']) { matches(&pattern, &name) } else { name.contains(&pattern) }
}

/// The first `most` of these; nothing for none.
pub(super) fn joined<S: AsRef<str>>(names: impl Iterator<Item = S>, most: usize) -> Option<String> {
    let names: Vec<S> = names.collect();
    let first: Vec<&str> = names.iter().take(most).map(AsRef::as_ref).collect();
    let more = names.len() - first.len();
    let behind = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!first.is_empty()).then(|| first.join(", ") + &behind)
}

/// A time in seconds since 1970, in RFC 3339; nothing for what is no time.
pub(super) fn time_of_unix(seconds: i64) -> Option<String> {
    let seconds = u64::try_from(seconds).ok().filter(|seconds| (1..=253_402_300_799).contains(seconds))?;
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    Some(humantime::format_rfc3339_seconds(time).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_part_or_with_a_star_the_whole() {
        assert!(fits("Ngin", "library/nginx:1"));
        assert!(fits("*nginx:?", "library/nginx:1"));
        assert!(!fits("nginx*", "library/nginx:1"));
    }

    #[test]
    fn many_names_are_counted() {
        assert_eq!(joined(["a", "b", "c"].iter(), 2).as_deref(), Some("a, b and 1 more"));
        assert_eq!(joined(["a", "b"].iter(), 2).as_deref(), Some("a, b"));
        assert_eq!(joined(std::iter::empty::<&str>(), 2), None);
    }
}
