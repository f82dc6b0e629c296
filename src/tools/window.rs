//! Times as arguments have them, and from when until when `since` and `until` say.

use std::time::{Duration, SystemTime};

use engine::model::instant;
use kernel::failure::Failure;

/// The moment that `text` names: a time, or how long before `now`.
pub(super) fn moment(argument: &str, text: &str, now: SystemTime) -> Result<SystemTime, Failure> {
    let ago = || now.checked_sub(humantime::parse_duration(text).ok()?);
    instant(text).or_else(ago).ok_or_else(|| {
        Failure::Invalid(format!(
            "{argument} is a time such as 2026-11-23T13:00:00Z, or how long ago, such as 15m or 2h"
        ))
    })
}

/// What a time that is told to the millisecond leaves out.
const REST: Duration = Duration::from_nanos(999_999);

/// The two together, which must follow each other. What happened at `until`, as it is told, is in it.
pub(super) fn window(
    since: Option<&str>,
    until: Option<&str>,
    now: SystemTime,
) -> Result<(Option<SystemTime>, Option<SystemTime>), Failure> {
    let since = since.map(|text| moment("since", text, now)).transpose()?;
    let until = until.map(|text| moment("until", text, now)).transpose()?;
    if since.zip(until).is_some_and(|(since, until)| since >= until) {
        return Err(Failure::Invalid("since has to be before until".to_owned()));
    }
    if since.is_some_and(|since| since >= now) {
        return Err(Failure::Invalid("since lies in the future: ask for what has been".to_owned()));
    }
    Ok((since, until.and_then(|until| until.checked_add(REST))))
}

/// In UTC, to the millisecond.
pub(super) fn told(time: SystemTime) -> String {
    // a year that cannot be written is no time that anybody meant
    let most = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_millis(time.clamp(SystemTime::UNIX_EPOCH, most)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_in_any_zone_or_how_long_ago() {
        let now = humantime::parse_rfc3339("2026-11-25T12:00:00Z").unwrap();
        for (text, expected) in [
            ("2026-11-25T11:30:00Z", "2026-11-25T11:30:00.000Z"),
            ("2026-11-25T13:30:00.5+02:00", "2026-11-25T11:30:00.500Z"),
            ("2026-11-25T06:00:00-05:30", "2026-11-25T11:30:00.000Z"),
            ("30m", "2026-11-25T11:30:00.000Z"),
            ("1h 30m", "2026-11-25T10:30:00.000Z"),
        ] {
            assert_eq!(told(moment("since", text, now).unwrap()), expected, "{text}");
        }
        for wrong in ["", "yesterday", "15", "-5m", "2026-11-25", "2026-11-25T11:30:00", "é5m+02:00"] {
            let why = moment("since", wrong, now).unwrap_err().to_string();
            assert!(why.starts_with("since is a time such as") && why.contains("15m"), "{wrong}: {why}");
        }
    }

    #[test]
    fn a_window_does_not_end_before_it_begins() {
        let now = SystemTime::now();
        assert!(window(Some("2h"), Some("1h"), now).is_ok());
        assert!(window(None, None, now).is_ok());
        for (since, until) in [("1h", "2h"), ("1h", "1h")] {
            assert!(window(Some(since), Some(until), now).is_err());
        }
        for until in [None, Some("2999-01-02T00:00:00Z")] {
            let why = window(Some("2999-01-01T00:00:00Z"), until, now).unwrap_err().to_string();
            assert!(why.contains("future"), "{why}");
        }
    }
}
