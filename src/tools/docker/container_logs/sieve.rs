//! Line for line: what of a log is asked for, with its secrets taken out first. Holds the newest, and no more than was asked for.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use regex::Regex;

use super::level::{self, Level};
use engine::{
    log::{Line, Source},
    model::instant,
};
use redact::Redactor;

/// The longest line that is shown, in characters.
const LONGEST: usize = 1_000;

/// Lines later than the last one asked for, by this much, end the search: clocks are set back, but seldom so far.
const SET_BACK: Duration = Duration::from_secs(60);

/// Which lines are asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// The newest of them.
    pub tail: usize,
    pub since: Option<SystemTime>,
    pub until: Option<SystemTime>,
    pub source: Option<Source>,
    pub level: Option<Level>,
    pub grep: Option<Grep>,
}

/// What a line has to have in it. Looked for in what is shown: whoever could search secrets could guess them.
#[derive(Clone, Debug)]
pub(super) struct Grep {
    pub pattern: Regex,
    /// What every line that fits has in it as well, if that is known and no part of it can be a mark in the place of a secret.
    pub literal: Option<String>,
}

/// A line that fits, or several that say the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    /// Of the last of them.
    pub time: Option<SystemTime>,
    pub source: Source,
    pub level: Option<Level>,
    pub text: String,
    /// How many.
    pub count: usize,
    /// It may lack its beginning.
    broken: bool,
}

/// Sifts one reading of a log.
#[derive(Debug)]
pub(super) struct Sieve<'a> {
    wanted: &'a Wanted,
    kept: VecDeque<Kept>,
    /// How many lines those are.
    count: usize,
    /// How many more there were.
    pub older: u64,
    /// Lines of the window and the stream without a level, where one is asked for.
    pub unlevelled: u64,
    /// When the first and the last line was written that came.
    pub first: Option<SystemTime>,
    pub last: Option<SystemTime>,
    pub lines: u64,
    /// What the Engine says of its own.
    pub said: Option<String>,
    streams: [Stream; 2],
}

/// What the lines of a stream say of those that follow.
#[derive(Debug)]
struct Stream {
    redactor: Redactor,
    level: Option<Level>,
}

impl<'a> Sieve<'a> {
    pub(super) fn new(wanted: &'a Wanted) -> Self {
        Self {
            wanted,
            kept: VecDeque::new(),
            count: 0,
            older: 0,
            unlevelled: 0,
            first: None,
            last: None,
            lines: 0,
            said: None,
            streams: [Stream::new(), Stream::new()],
        }
    }

    /// Whether no more lines are held than would be.
    pub(super) fn is_full(&self) -> bool {
        self.count >= self.wanted.tail
    }

    /// Whether all that comes now is later than what is asked for.
    pub(super) fn is_over(&self) -> bool {
        let late = self.last.zip(self.wanted.until);
        late.is_some_and(|(last, until)| last.duration_since(until).is_ok_and(|late| late > SET_BACK))
    }

    /// The lines, oldest first. `whole`: the log began with the first that came, which is then not the rest of a longer one.
    pub(super) fn into_kept(mut self, whole: bool) -> (VecDeque<Kept>, u64) {
        if !whole && self.kept.front().is_some_and(|kept| kept.broken) {
            self.kept.pop_front();
        }
        (self.kept, self.older)
    }

    pub(super) fn line(&mut self, line: Line<'_>) {
        self.lines += 1;
        let text = String::from_utf8_lossy(line.text);
        let text = redact::clean(text.strip_suffix('\r').unwrap_or(&text), usize::MAX);
        if line.source == Source::Engine {
            self.said = Some(redact::clean(&text, LONGEST).into_owned());
            return;
        }
        let time = instant(line.time);
        self.first = self.first.or(time);
        self.last = time.or(self.last);
        let stream = &mut self.streams[usize::from(line.source == Source::Stderr)];
        let wanted = self.wanted;
        let in_window = wanted.since.is_none_or(|since| time.is_none_or(|time| time >= since))
            && wanted.until.is_none_or(|until| time.is_none_or(|time| time <= until));
        if !in_window || wanted.source.is_some_and(|source| source != line.source) {
            return stream.redactor.pass(&text);
        }
        if let Some(least) = wanted.level {
            stream.take_level(&text);
            self.unlevelled += u64::from(stream.level.is_none());
            if stream.level.is_none_or(|level| level < least) {
                return stream.redactor.pass(&text);
            }
        }
        if let Some(Grep { literal: Some(literal), .. }) = &wanted.grep
            && !text.contains(literal)
        {
            return stream.redactor.pass(&text);
        }
        let text = stream.redactor.line(&text);
        let found = match &wanted.grep {
            Some(grep) => match grep.pattern.find(&text) {
                Some(found) => found.start(),
                None => return,
            },
            None => 0,
        };
        if wanted.level.is_none() {
            stream.take_level(&text);
        }
        let level = stream.level;
        let shown = text::around(&text, found, LONGEST, line.dropped).into_owned();
        let broken = self.lines == 1;
        self.keep(Kept { time, source: line.source, level, text: shown, count: 1, broken });
    }

    fn keep(&mut self, line: Kept) {
        self.count += 1;
        match self.kept.back_mut() {
            Some(last) if last.source == line.source && last.text == line.text => {
                last.count += 1;
                last.time = line.time.or(last.time);
            }
            _ => self.kept.push_back(line),
        }
        while self.count > self.wanted.tail
            && let Some(first) = self.kept.front_mut()
        {
            self.count -= 1;
            self.older += 1;
            first.count -= 1;
            if first.count == 0 {
                self.kept.pop_front();
            }
        }
    }
}

impl Stream {
    /// What is read of a log begins somewhere in it, also where that is all there is: of a log that was rotated the beginning is gone.
    fn new() -> Self {
        Self { redactor: Redactor::midway(), level: None }
    }

    fn take_level(&mut self, text: &str) {
        let own = level::of(text);
        if own.is_some() || !level::goes_on(text) {
            self.level = own;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sifted(wanted: Wanted, lines: &[(Source, &str)]) -> Vec<(usize, String)> {
        let mut sieve = Sieve::new(&wanted);
        for (n, (source, text)) in lines.iter().enumerate() {
            let time = format!("2026-11-25T23:00:{n:02}Z");
            sieve.line(Line { source: *source, time: &time, text: text.as_bytes(), dropped: 0 });
        }
        let (kept, _) = sieve.into_kept(true);
        kept.into_iter().map(|kept| (kept.count, kept.text)).collect()
    }

    fn all() -> Wanted {
        Wanted { tail: 100, ..Wanted::default() }
    }

    fn out(lines: &[&'static str]) -> Vec<(Source, &'static str)> {
        lines.iter().map(|line| (Source::Stdout, *line)).collect()
    }

    fn grep(pattern: &str) -> Option<Grep> {
        Some(Grep { pattern: Regex::new(pattern).unwrap(), literal: None })
    }

    #[test]
    fn the_newest_stay_and_repeats_are_one_with_their_count() {
        let lines = out(&["a", "b", "b", "b", "c", "c"]);
        assert_eq!(sifted(all(), &lines), [(1, "a".into()), (3, "b".into()), (2, "c".into())]);
        // each of them counts
        assert_eq!(sifted(Wanted { tail: 3, ..all() }, &lines), [(1, "b".into()), (2, "c".into())]);
        let both = [(Source::Stdout, "x"), (Source::Stderr, "x")];
        assert_eq!(sifted(all(), &both).len(), 2);
    }

    #[test]
    fn a_secret_is_not_found_by_its_letters() {
        let lines = out(&[
            "login password=hunter2 ok",
            "-----BEGIN RSA PRIVATE KEY-----",
            "MIIEpAIBAAKCAQEA",
            "-----END RSA PRIVATE KEY-----",
        ]);
        for pattern in ["hunter", "MIIE", "^[^z]*hunter2"] {
            assert_eq!(sifted(Wanted { grep: grep(pattern), ..all() }, &lines), [], "{pattern}");
        }
        // nor by their absence: what is searched is what is shown
        let shown = [(1, "login password=[redacted] ok".to_owned())];
        assert_eq!(sifted(Wanted { grep: grep("^[^h]*$"), ..all() }, &lines)[0], shown[0]);
        assert_eq!(sifted(Wanted { grep: grep("login"), ..all() }, &lines), shown);
    }

    #[test]
    fn a_key_is_known_though_its_first_line_is_not_shown_and_the_other_stream_breaks_in() {
        let key = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAABlwAAAAdzc2gtcn";
        let lines = [
            (Source::Stdout, "-----BEGIN OPENSSH PRIVATE KEY-----"),
            (Source::Stderr, "tick"),
            (Source::Stdout, key),
            (Source::Stdout, "all is done"),
        ];
        for wanted in [Wanted { tail: 2, ..all() }, Wanted { grep: grep("b3Bl|redacted|all is done"), ..all() }] {
            assert_eq!(sifted(wanted, &lines), [(1, "[redacted]".into()), (1, "all is done".into())]);
        }
    }

    #[test]
    fn a_level_is_at_least_and_a_trace_belongs_to_its_error() {
        let lines = out(&["INFO a", "ERROR b", "\tat c", "plain", "\tat d", "WARN e"]);
        let wanted = Wanted { level: Some(Level::Error), ..all() };
        assert_eq!(sifted(wanted, &lines), [(1, "ERROR b".into()), (1, " at c".into())]);
        let wanted = Wanted { level: Some(Level::Warn), ..all() };
        assert_eq!(sifted(wanted, &lines).len(), 3);
    }

    #[test]
    fn hostile_lines_are_plain_ones() {
        let lines = out(&["\u{1b}[31mred\u{1b}[0m\r", "\u{202e}evil", "a\u{0}b"]);
        assert_eq!(sifted(all(), &lines), [(1, "red".into()), (1, "evil".into()), (1, "a b".into())]);
    }

    #[test]
    fn a_long_line_shows_what_was_found_and_counts_the_rest() {
        let long: &'static str =
            Box::leak(format!("{}needle{}", "x".repeat(5_000), "é".repeat(3_000)).into_boxed_str());
        let [(_, text)] = &sifted(Wanted { grep: grep("needle"), ..all() }, &out(&[long]))[..] else { panic!() };
        assert!(text.starts_with("(+4800)…xx") && text.contains("needle") && text.ends_with(')'), "{text}");
        assert!(text.chars().count() < LONGEST + 30);
        let [(_, text)] = &sifted(all(), &out(&[long]))[..] else { panic!() };
        assert!(text.starts_with("xx") && text.ends_with(&format!("…(+{})", 5_006 + 6_000 - 1_000)), "{text}");
    }

    #[test]
    fn a_window_is_of_the_engines_times() {
        let at = |second: u64| Some(instant("2026-11-25T23:00:00Z").unwrap() + Duration::from_secs(second));
        let wanted = Wanted { since: at(1), until: at(2), ..all() };
        assert_eq!(sifted(wanted, &out(&["a", "b", "c", "d"])), [(1, "b".into()), (1, "c".into())]);
    }

    #[test]
    fn a_private_key_is_hidden_in_every_spelling_whatever_part_of_a_log_is_asked_for() {
        for spelled in redact::spelled::all() {
            let lines: Vec<&str> = spelled.text.lines().collect();
            let at =
                |second: usize| Some(instant("2026-11-25T23:00:00Z").unwrap() + Duration::from_secs(second as u64));
            let (third, middle) = (lines.len() / 3, lines.len() / 2);
            let questions = [
                Wanted { since: at(3), ..all() },
                Wanted { since: at(middle), ..all() },
                Wanted { since: at(third), until: at(middle), ..all() },
                Wanted { since: at(third), until: at(middle), grep: grep("[A-Za-z0-9+/]{16}"), ..all() },
                all(),
                Wanted { tail: 5, ..all() },
                Wanted { grep: grep("."), ..all() },
                Wanted { grep: grep("[A-Za-z0-9+/]{16}"), ..all() },
                Wanted { level: Some(Level::Info), ..all() },
            ];
            for wanted in questions {
                let lines: Vec<(Source, &str)> = lines.iter().map(|line| (Source::Stdout, *line)).collect();
                let shown: Vec<String> = sifted(wanted, &lines).into_iter().map(|(_, line)| line).collect();
                let shown = shown.join("\n");
                assert_eq!(spelled.leak(&shown), None, "{}:\n{shown}", spelled.name);
            }
        }
    }

    #[test]
    fn a_log_that_begins_with_a_hash_is_shown() {
        let others =
            ["12:00 main o.s.b.w.embedded.tomcat.TomcatWebServer", "started BeanFactoryPostProcessor", "ready"];
        for (first, expected) in [
            (
                "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8",
                "SHA256:nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8",
            ),
            // what does not say that it is one may be a line of a key
            ("id nThbg6kXUpJWGl7E1IGOCspRomTxdCARLviKw6E5SY8", "id [redacted]"),
        ] {
            let lines: Vec<&str> = std::iter::once(first).chain(others.into_iter().cycle().take(30)).collect();
            let shown: Vec<String> = sifted(all(), &out(&lines)).into_iter().map(|(_, line)| line).collect();
            assert_eq!((shown[0].as_str(), shown.len()), (expected, lines.len()));
            assert!(shown[1..].iter().eq(&lines[1..]), "{shown:#?}");
        }
    }

    #[test]
    fn a_key_that_began_before_what_the_engine_was_asked_for_is_hidden() {
        let run_up = usize::try_from(super::super::RUN_UP).unwrap();
        let spelled = redact::spelled::long(150);
        for prefix in ["", "2026-11-30T12:00:00Z app[7]: ", "web-1  | "] {
            let lines: Vec<String> = spelled.text.lines().map(|line| format!("{prefix}{line}")).collect();
            for tail in 1..lines.len() - run_up {
                let read = &lines[lines.len() - run_up - tail..];
                for interrupted in [false, true] {
                    let mut all = vec![];
                    for line in read {
                        all.push((Source::Stdout, line.as_str()));
                        if interrupted && all.len() % 7 == 0 {
                            all.push((Source::Stdout, "GET /index.html 200"));
                        }
                    }
                    let shown = sifted(Wanted { tail, ..Wanted::default() }, &all);
                    let shown: Vec<String> = shown.into_iter().map(|(_, line)| line).collect();
                    assert_eq!(spelled.leak(&shown.join("\n")), None, "{tail} lines: {shown:?}");
                }
            }
        }
    }
}
