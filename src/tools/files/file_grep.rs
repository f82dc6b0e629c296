//! Which lines of which files say this?

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::left_out::LeftOut;
use crate::tool::{Tool, Turn};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::Scope;
use search::{
    grep::{Needle, Row, Searched as Came, Stop, Tally, Wanted},
    patience::Patience,
    pattern::Globs,
    resume::Resume,
};
use text::{
    page::{Limit, Page},
    table::Table,
};

/// How long it looks, and no longer.
const LOOKED_FOR: Duration = Duration::from_secs(20);

/// What the rows may cost together, in tokens, when the caller does not say how many.
const USUAL_TOKENS: usize = 1_600;
/// And when it does: both forms of the answer stay below what any answer may have.
const MOST_TOKENS: usize = 18_000;

/// Lines beside one that is found, at most.
const MOST_CONTEXT: usize = 10;

/// Lines that match a regular expression, in a file or all files below a directory, hidden ones too, in the order of their paths. Secrets are
/// redacted, and not found.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileGrep {
    /// A file or directory, absolute.
    path: String,
    /// A regular expression (Rust's), of one line.
    pattern: String,
    /// pattern is plain text.
    #[serde(default)]
    plain: bool,
    /// Default: case counts if pattern has a capital.
    case_sensitive: Option<bool>,
    /// Only files that fit one of these globs: `*.conf`; with a slash, of the path below: `**/nginx/*`.
    #[serde(default)]
    include: Vec<String>,
    /// Not files and directories that fit one of these.
    #[serde(default)]
    exclude: Vec<String>,
    /// Lines shown beside each: 10 at most.
    #[schemars(range(max = 10))]
    context: Option<usize>,
    /// Only how many lines of each file.
    #[serde(default)]
    count: bool,
    /// Lines of each file: 10 by default below a directory, else all.
    #[schemars(range(min = 1))]
    per_file: Option<usize>,
    /// Not what is named with a dot first.
    #[serde(default)]
    skip_hidden: bool,
    /// Not what .gitignore and .ignore files below path leave out.
    #[serde(default)]
    ignore: bool,
    /// Through gzip, too.
    #[serde(default)]
    gz: bool,
    /// Files that are no text, too.
    #[serde(default)]
    binary: bool,
    /// Rows: 100 by default (fewer if they are long).
    limit: Option<Limit<100, 2000>>,
    /// next_cursor of the same question.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// Without links in it.
    pub path: String,
    /// For this page.
    pub searched: Searched,
    /// What is missing here, why, and how to have it; null: nothing.
    pub left_out: Option<String>,
    pub lines: Lines,
    pub next_cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Searched {
    pub files: u64,
    pub bytes: u64,
    /// Lines that match, on this page.
    pub matching: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Lines {
    Found(Table<FoundRow>),
    Beside(Table<BesideRow>),
    Counted(Table<CountRow>),
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FoundRow {
    /// Below path; null: as in the row before.
    pub path: Option<String>,
    /// From 1.
    pub line: u64,
    /// At most 300 characters around what was found; (+N) counts the rest.
    pub text: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BesideRow {
    pub path: Option<String>,
    pub line: u64,
    /// false: beside one that does.
    pub matches: bool,
    pub text: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CountRow {
    /// Below path.
    pub path: Option<String>,
    /// That match.
    pub lines: u64,
}

impl Tool for FileGrep {
    const NAME: &'static str = "file_grep";
    const TITLE: &'static str = "Search files";
    const SCOPE: Scope = Scope::FilesRead;
    const LANE: Lane = Lane::Search;
    const UNTRUSTED: Option<&'static str> = Some("path, text");
    const AUDITED: &'static [&'static str] = &[
        "path",
        "pattern",
        "plain",
        "case_sensitive",
        "include",
        "exclude",
        "context",
        "count",
        "per_file",
        "skip_hidden",
        "ignore",
        "gz",
        "binary",
        "limit",
        "cursor",
    ];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let ((wanted, page), jail) = (self.check()?, turn.jail(Self::SCOPE, None));
        let enough = turn.stop().child_token();
        let patience = Patience::of(turn.time(LOOKED_FOR), &enough);
        turn.read(move |_| Ok(report(&wanted, &page, wanted.search(&jail, &patience, &enough)?))).await
    }
}

impl FileGrep {
    fn check(self) -> Result<(Wanted, Page<Resume>), Failure> {
        let question = (&self.path, &self.pattern, self.plain, self.case_sensitive, &self.include, &self.exclude);
        let how = (self.context, self.count, self.per_file, self.skip_hidden, self.ignore, self.gz, self.binary);
        let limit = self.limit.unwrap_or_default().rows();
        let page = Page::of(Self::NAME, (question, how), limit, self.cursor.as_deref())?;
        let context = self.context.unwrap_or(0);
        if context > MOST_CONTEXT {
            return Err(Failure::Invalid(format!("context is a number of lines up to {MOST_CONTEXT}")));
        }
        if self.per_file == Some(0) {
            return Err(Failure::Invalid("per_file is a number of lines from 1 on".into()));
        }
        if self.count && (context > 0 || self.per_file.is_some()) {
            return Err(Failure::Invalid("count shows no lines: context and per_file are for those".into()));
        }
        let wanted = Wanted {
            needle: Needle::new(&self.pattern, self.plain, self.case_sensitive)?,
            include: Globs::new("include", &self.include)?,
            exclude: Globs::new("exclude", &self.exclude)?,
            path: self.path,
            context,
            counts: self.count,
            per_file: self.per_file,
            skip_hidden: self.skip_hidden,
            ignore: self.ignore,
            gz: self.gz,
            binary: self.binary,
            tokens: if self.limit.is_some() { MOST_TOKENS } else { USUAL_TOKENS },
            rows: page.limit(),
            after: page.told().cloned(),
        };
        Ok((wanted, page))
    }
}

fn report(wanted: &Wanted, page: &Page<Resume>, came: Came) -> Report {
    let Came { found, rows, tally, stop, place, passed, long_ignore_files, per_file } = came;
    let mut left_out = passed.as_ref().map(LeftOut::of).unwrap_or_default();
    left_out.count(long_ignore_files, "ignore files that are too long, beyond their beginning");
    say(&tally, per_file, &mut left_out);
    if stop.is_some() || place.is_some() {
        left_out.say_first(stopped(wanted, stop, place.as_ref()));
    }
    Report {
        path: text::quote_path(found.path()),
        searched: Searched { files: tally.files, bytes: tally.bytes, matching: tally.lines },
        left_out: left_out.told(),
        lines: Lines::of(wanted, rows),
        next_cursor: place.as_ref().filter(|place| place.is_short()).map(|place| page.cursor(place)),
    }
}

/// Why the page ends here, and how to go on.
fn stopped(wanted: &Wanted, stop: Option<Stop>, place: Option<&Resume>) -> String {
    let at = place.map(|place| text::quote_path(&place.path));
    let line = place.and_then(|place| place.line).map(|line| line.number);
    let what = match stop {
        None => "what comes after these: time ran out".to_owned(),
        Some(Stop::Full) if wanted.tokens < MOST_TOKENS => "more lines, to keep the answer short (limit)".to_owned(),
        Some(Stop::Full) => "more lines".to_owned(),
        Some(Stop::Late(file)) if at.as_ref() == Some(&file) => match line {
            Some(line) => format!("what comes after line {line} of {file}: time ran out"),
            None => {
                format!("the rest of {file}, for which time does not suffice, and what comes after it: time ran out")
            }
        },
        Some(Stop::Late(file)) => format!("{file} and what comes after it: time ran out"),
    };
    match (place.map(Resume::is_short), at) {
        (Some(true), _) => format!("{what}; go on with next_cursor"),
        (Some(false), Some(at)) => format!("{what}; {at} is too long for a cursor: ask below it"),
        _ => what,
    }
}

/// What was not searched, for those who could have it searched. So many lines of a file were wanted.
fn say(tally: &Tally, per_file: usize, left_out: &mut LeftOut) {
    if tally.full > 0 && per_file < usize::MAX {
        let full = tally.full;
        left_out.say(format!("what comes after the first {per_file} lines of a file (per_file): in {full}"));
    }
    left_out.count(tally.binary, "files that are no text (binary)");
    left_out.count(tally.compressed, "compressed files (gz)");
    left_out.count(tally.damaged, "compressed files that are damaged or cut off, from there on");
    left_out.count(tally.unreadable, "files that this server may not read");
    left_out.count(tally.cut, "lines longer than 1 MiB (less with context), beyond that");
}

impl Lines {
    fn of(wanted: &Wanted, rows: Vec<Row>) -> Self {
        let rows = rows.into_iter();
        match (wanted.counts, wanted.context) {
            (true, _) => Self::Counted(rows.map(|row| CountRow { path: row.path, lines: row.count }).collect()),
            (false, 0) => Self::Found(rows.map(|Row { path, line, text, .. }| FoundRow { path, line, text }).collect()),
            (false, _) => Self::Beside(
                rows.map(|Row { path, line, is_match: matches, text, .. }| BesideRow { path, line, matches, text })
                    .collect(),
            ),
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "makes the files to be searched")]
mod tests {
    use std::{fs, io::Write as _};

    use flate2::{Compression, write::GzEncoder};
    use serde_json::{Value, json};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use search::{
        resume::Line,
        scratch::{Scratch, impatience},
    };

    fn ask_for(scratch: &Scratch, question: &Value, patience: Option<&Patience>) -> Result<Value, Failure> {
        let mut question = question.clone();
        if question.get("path").is_none() {
            question["path"] = scratch.path("").into();
        }
        let (wanted, page) = serde_json::from_value::<FileGrep>(question).unwrap().check()?;
        let enough = CancellationToken::new();
        let usual = Patience::of(Duration::from_secs(60), &enough);
        let came = wanted.search(&scratch.jail, patience.unwrap_or(&usual), &enough)?;
        Ok(serde_json::to_value(report(&wanted, &page, came)).unwrap())
    }

    fn ask(scratch: &Scratch, question: Value) -> Value {
        ask_for(scratch, &question, None).unwrap()
    }

    /// `path:line:text`, with the path in each.
    fn lines(report: &Value) -> Vec<String> {
        let (mut path, mut all) = (String::new(), vec![]);
        for row in report["lines"]["rows"].as_array().unwrap() {
            path = row[0].as_str().map_or(path, str::to_owned);
            let cell = |cell: &Value| cell.as_str().map_or(cell.to_string(), str::to_owned);
            let rest: Vec<String> = row.as_array().unwrap()[1..].iter().map(cell).collect();
            all.push(format!("{path}:{}", rest.join(":")));
        }
        all
    }

    fn found(scratch: &Scratch, question: Value) -> Vec<String> {
        lines(&ask(scratch, question))
    }

    fn with(mut question: Value, more: &Value) -> Value {
        question.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        question
    }

    const KEY: &str = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAABlwAAAAdzc2gtcn";
    const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";

    #[test]
    fn lines_are_found_in_the_order_of_their_files() {
        let scratch = Scratch::new();
        for (name, text) in [
            ("b", "one\nERROR two\nerror three"),
            ("a/x", "no\n  an error here  \n"),
            (".hidden", "Error"),
            ("c", "nothing"),
        ] {
            scratch.write(name, text);
        }
        let all = [".hidden:1:Error", "a/x:2:an error here", "b:2:ERROR two", "b:3:error three"];
        for (question, expected) in [
            (json!({ "pattern": "error" }), &all[..]),
            (json!({ "pattern": "error", "case_sensitive": true }), &[all[1], all[3]]),
            (json!({ "pattern": "ERROR" }), &[all[2]]),
            (json!({ "pattern": "^error|Error$" }), &[all[0], all[3]]),
            (json!({ "pattern": "e.ror", "plain": true }), &[]),
            (json!({ "pattern": "error", "skip_hidden": true, "include": ["b", "*x"] }), &all[1..]),
            (json!({ "pattern": "error", "exclude": ["a", ".*"] }), &all[2..]),
            (json!({ "pattern": "error", "include": ["a/*"] }), &all[1..2]),
            (json!({ "pattern": "error", "count": true }), &[".hidden:1", "a/x:1", "b:2"]),
            (json!({ "pattern": "error", "per_file": 1 }), &all[..3]),
            (json!({ "pattern": "error", "path": scratch.path("b") }), &all[2..]),
        ] {
            assert_eq!(found(&scratch, question.clone()), expected, "{question}");
        }
        let report = ask(&scratch, json!({ "pattern": "error" }));
        assert_eq!(report["searched"], json!({ "files": 4, "bytes": 58, "matching": 4 }));
        assert!(report["left_out"].is_null() && report["next_cursor"].is_null());
    }

    #[test]
    fn lines_beside_are_told_once_and_in_order() {
        let scratch = Scratch::new();
        let here = |n: usize| if [5, 7, 8, 20].contains(&n) { " here" } else { "" };
        let text: Vec<String> = (1..=30).map(|n| format!("line {n}{}", here(n))).collect();
        scratch.write("a", text.join("\n"));
        let numbers = |question: Value| {
            let found = found(&scratch, with(json!({ "pattern": "here" }), &question));
            let number = |line: &String| line.split(':').skip(1).take(2).collect::<Vec<_>>().join(":");
            found.iter().map(number).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            numbers(json!({ "context": 1 })),
            "4:false 5:true 6:false 7:true 8:true 9:false 19:false 20:true 21:false"
        );
        assert_eq!(
            numbers(json!({ "context": 2, "per_file": 2 })),
            "3:false 4:false 5:true 6:false 7:true 8:false 9:false"
        );
    }

    #[test]
    fn a_secret_is_not_found_and_neither_are_the_lines_beside_it() {
        let scratch = Scratch::new();
        let filler = "a line of no interest\n".repeat(5_000);
        let end = "-----END OPENSSH PRIVATE KEY-----";
        scratch.write("conf", "before\npassword=hunter2 # in conf\nafter\n");
        scratch.write("key", format!("{BEGIN}\n{KEY}\n{KEY}\n{end}\nafter\n"));
        scratch.write("long", format!("{filler}{BEGIN}\n{KEY}\n{end}\n{filler}token: hunter2abc\n"));
        for pattern in ["hunter2", "hunter", "=h", "=[^x]", "b3Bl", "AAAA", "[^r]unter", "^.{70}$", "password=.{7} #"] {
            for more in [json!({}), json!({ "context": 1 }), json!({ "count": true })] {
                let question = with(json!({ "pattern": pattern }), &more);
                assert_eq!(found(&scratch, question.clone()), Vec::<String>::new(), "{question}");
            }
        }
        assert_eq!(found(&scratch, json!({ "pattern": "password" })), ["conf:2:password=[redacted] # in conf"]);
        // what is redacted is shown beside what is found
        assert_eq!(
            found(&scratch, json!({ "pattern": "BEGIN", "include": ["key"], "context": 2 })),
            [format!("key:1:true:{BEGIN}"), "key:2:false:[redacted]".into(), "key:3:false:[redacted]".into()]
        );
        assert_eq!(
            found(&scratch, json!({ "pattern": "END", "include": ["long"], "context": 1 })),
            [
                "long:5002:false:[redacted]".into(),
                format!("long:5003:true:{end}"),
                "long:5004:false:a line of no interest".into()
            ]
        );
    }

    #[test]
    fn a_search_that_goes_on_in_a_file_knows_the_key_that_began_before() {
        let scratch = Scratch::new();
        let filler = "a line of no interest\n".repeat(5_000);
        scratch.write("long", format!("{filler}{BEGIN}\n{KEY}\n{KEY}\nend of it\n{filler}"));
        let question = json!({ "pattern": "PRIVATE|b3B|end of", "limit": 1, "case_sensitive": true });
        let first = ask(&scratch, question.clone());
        assert_eq!(lines(&first), [format!("long:5001:{BEGIN}")]);
        let second = ask(&scratch, with(question, &json!({ "cursor": first["next_cursor"] })));
        assert_eq!(lines(&second), ["long:5004:end of it"], "{second}");
        // a place within a line, which nobody was told, is none
        let question = json!({ "path": scratch.path(""), "pattern": "b3B|AAA|end of", "limit": 1 });
        let (_, page) = serde_json::from_value::<FileGrep>(question.clone()).unwrap().check().unwrap();
        let end = (filler.len() + BEGIN.len() + 1 + 10) as u64;
        let place = Resume { path: "long".into(), line: Some(Line { number: 5_001, end }) };
        let report = ask(&scratch, with(question, &json!({ "cursor": page.cursor(&place) })));
        assert_eq!(lines(&report), ["long:5004:end of it"], "{report}");
    }

    #[test]
    fn pages_have_every_line_once() {
        let scratch = Scratch::new();
        for n in 0..60 {
            let text: String = (0..n % 9).map(|line| format!("{line} needle\nhay\n")).collect();
            scratch.write(format!("{}/f{n:02}", n % 4), if n == 33 { text.repeat(2_000) } else { text });
        }
        let pages = |more: Value| {
            let mut question = with(json!({ "pattern": "needle", "per_file": 100_000 }), &more);
            let mut pages = vec![];
            loop {
                let report = ask(&scratch, question.clone());
                pages.push(lines(&report));
                assert_eq!(report["next_cursor"].is_null(), report["left_out"].is_null(), "{report}");
                if report["next_cursor"].is_null() {
                    return pages;
                }
                question["cursor"] = report["next_cursor"].clone();
            }
        };
        let large = pages(json!({ "limit": 500 })).concat();
        assert_eq!(large.len(), (0..60).map(|n| if n == 33 { n % 9 * 2_000 } else { n % 9 }).sum::<usize>());
        assert!(large.iter().collect::<std::collections::HashSet<_>>().len() == large.len(), "none twice");
        let expected: Vec<String> = large.iter().filter(|line| !line.contains("f33")).cloned().collect();
        let small = pages(json!({ "limit": 7, "exclude": ["f33"] }));
        assert!(small.iter().all(|page| page.len() <= 7) && small.len() > 20);
        assert_eq!(small.concat(), expected);
        assert_eq!(pages(json!({ "exclude": ["f33"] })).concat(), expected);
    }

    #[test]
    fn what_time_does_not_suffice_for_is_said() {
        let scratch = Scratch::new();
        let file = scratch.write("a", "needle");
        let report = ask_for(&scratch, &json!({ "pattern": "needle" }), Some(&impatience())).unwrap();
        assert_eq!((lines(&report).len(), &report["next_cursor"]), (0, &json!(null)));
        assert!(report["left_out"].as_str().unwrap().contains("time ran out"), "{report}");
        scratch.write("a", "needle\n".repeat(50_000));
        let report = ask_for(&scratch, &json!({ "pattern": "needle", "path": file }), Some(&impatience())).unwrap();
        assert!(report["left_out"].as_str().unwrap().contains("time ran out"), "{report}");
    }

    #[test]
    fn what_is_no_text_is_passed_by_and_looked_into_on_request() {
        let scratch = Scratch::new();
        scratch.write("binary", b"needle\0\x01needle\n");
        let mut encoder = GzEncoder::new(vec![], Compression::fast());
        encoder.write_all("needle in gzip\n".repeat(3).as_bytes()).unwrap();
        let gz = encoder.finish().unwrap();
        scratch.write("log.gz", &gz);
        scratch.write("cut.gz", &gz[..gz.len() - 9]);
        let wide: Vec<u8> = "\u{feff}x\r\nneedle größe\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        scratch.write("wide", wide);
        scratch.write("mark", "\u{feff}needle");
        scratch.write("id_rsa", "needle");
        let report = ask(&scratch, json!({ "pattern": "^needle" }));
        assert_eq!(lines(&report), ["mark:1:needle", "wide:2:needle größe"]);
        assert_eq!(
            report["left_out"],
            "kept from callers: 1; files that are no text (binary): 1; compressed files (gz): 2"
        );
        let report = ask(&scratch, json!({ "pattern": "needle", "gz": true, "include": ["*.gz"], "count": true }));
        assert!(lines(&report).contains(&"log.gz:3".to_owned()), "{report}");
        assert!(report["left_out"].as_str().unwrap().contains("damaged or cut off"), "{report}");
        assert_eq!(
            found(&scratch, json!({ "pattern": "needle", "binary": true, "include": ["binary"] })),
            ["binary:1:needle  needle"]
        );
    }

    #[test]
    fn a_line_of_any_length_takes_little_and_shows_what_was_found() {
        let scratch = Scratch::new();
        let mut file = fs::File::create(scratch.dir.join("long")).unwrap();
        let (before, behind) = ("x".repeat(50_000), "y".repeat(3_000_000));
        file.write_all(format!("{before}needle{behind}\nnext needle").as_bytes()).unwrap();
        for context in [0, 1] {
            let report = ask(&scratch, json!({ "pattern": "needle", "context": context }));
            let found = lines(&report);
            assert_eq!(found.len(), 2, "{report}");
            assert!(found[0].contains("(+49940)…xx") && found[0].contains("needle"), "{}", found[0]);
            let behind = 50_006 + 3_000_000 - 49_940 - 300;
            assert!(found[0].ends_with(&format!("…(+{behind})")) && found[0].len() < 400, "{}", found[0]);
            assert!(
                report["left_out"].as_str().unwrap().contains("longer than 1 MiB (less with context), beyond that: 1")
            );
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let scratch = Scratch::new();
        for (question, why) in [
            (json!({ "pattern": "" }), "1 to 500"),
            (json!({ "pattern": "(" }), "unclosed group"),
            (json!({ "pattern": "a", "context": 11 }), "up to 10"),
            (json!({ "pattern": "a", "per_file": 0 }), "from 1 on"),
            (json!({ "pattern": "a", "count": true, "context": 1 }), "shows no lines"),
            (json!({ "pattern": "a", "include": ["["] }), "no glob"),
            (json!({ "pattern": "a", "cursor": "61-1234" }), "ask again without it"),
            (json!({ "pattern": "a", "path": scratch.path("none") }), "does not exist"),
            (json!({ "pattern": "a", "path": "/proc" }), "outside"),
        ] {
            let said = ask_for(&scratch, &question, None).unwrap_err().to_string();
            assert!(said.contains(why), "{question}: {said}");
        }
    }

    /// All pages of what is found.
    fn pages(scratch: &Scratch, question: &Value) -> Vec<String> {
        let (mut question, mut all) = (question.clone(), vec![]);
        loop {
            let page = ask(scratch, question.clone());
            all.extend(lines(&page));
            if page["next_cursor"].is_null() {
                return all;
            }
            question["cursor"] = page["next_cursor"].clone();
        }
    }

    #[test]
    fn a_private_key_is_hidden_in_every_spelling_whatever_is_looked_for() {
        let questions = [
            json!({ "pattern": ".", "limit": 40 }),
            json!({ "pattern": "^[A-Za-z0-9+/=]{16,}" }),
            json!({ "pattern": "what stands|ready", "context": 10 }),
        ];
        // each spelling meets every question, with other keys: the forms of one key in base64 are 12
        for (n, spelled) in redact::spelled::all().into_iter().enumerate() {
            let question = &questions[(n + n / 12) % questions.len()];
            let scratch = Scratch::new();
            scratch.write("key", &spelled.text);
            let shown = pages(&scratch, question).join("\n");
            assert_eq!(spelled.leak(&shown), None, "{}, {question}:\n{shown}", spelled.name);
        }
    }

    #[test]
    fn a_page_ends_after_a_line_that_was_looked_for_whatever_stands_before_it() {
        let scratch = Scratch::new();
        scratch.write("one", "a\nb\nc\nneedle\nd\ne\nf\nneedle\ng\n");
        for limit in 1..6 {
            let question = json!({ "pattern": "needle", "context": 3, "limit": limit });
            let matching = |page: &String| page.contains("needle");
            assert_eq!(pages(&scratch, &question).iter().filter(|page| matching(page)).count(), 2, "{limit}");
        }
    }

    #[test]
    fn the_octets_of_a_private_key_are_not_found() {
        let scratch = Scratch::new();
        let octets = "    9c:10:9a:67:e9:3d:80:4d:24:99:82:ec:8a:6a:43:\n    e5:12:d3:2b:84";
        for name in ["priv", "privateExponent", "private exponent", "prime1", "exponent2", "exp1", "coefficient"] {
            scratch.write("key", format!("Private-Key: (256 bit)\n{name}:\n{octets}\npub:\n{octets}\n"));
            let found = found(&scratch, json!({ "pattern": "^ +[0-9a-f]{2}:" }));
            assert_eq!(found.len(), 2, "{name}: {found:?}");
            assert!(found.iter().all(|line| !line.starts_with("key:3:") && !line.starts_with("key:4:")), "{found:?}");
        }
    }

    #[test]
    fn a_key_longer_than_what_is_read_again_for_a_page_is_hidden_on_every_page() {
        let scratch = Scratch::new();
        let spelled = redact::spelled::long(5_000);
        for text in [spelled.text.clone(), spelled.text.replace('\n', "\r\n"), spelled.text.replace('\n', " \n")] {
            scratch.write("key", &text);
            for pattern in [".", "[A-Za-z0-9+/]{16}", "behind"] {
                let shown = pages(&scratch, &json!({ "pattern": pattern, "context": 2, "limit": 1_500 })).join("\n");
                assert_eq!(spelled.leak(&shown), None, "{pattern}:\n{shown}");
            }
        }
    }

    #[test]
    fn a_name_counts_as_it_reads_and_not_as_it_is_written() {
        for name in [
            "pass\u{200b}word",
            "pass\u{ad}word",
            "\u{202e}password\u{202c}",
            "pass\u{2060}wor\u{fe0f}d",
            "pass\u{9b}0mword",
            "ｐａｓｓｗｏｒｄ",
            "pass\u{1b}[31mword",
        ] {
            for text in [
                format!("{name}:\n    hunter2zebra99\n"),
                format!("- name: DB_TOKEN\n  x: {name}\n- na\u{200b}me: DB_TOKEN\n  value: hunter2zebra99\n"),
                format!("{name}: |\n    one\n    hunter2zebra99\n"),
                format!("{name} = hunter2zebra99\n"),
                format!("{name}：hunter2zebra99\n"),
            ] {
                let scratch = Scratch::new();
                scratch.write("conf", &text);
                let shown = pages(&scratch, &json!({ "pattern": "." })).join("\n");
                assert!(!shown.contains("hunter2"), "{text:?}:\n{shown}");
            }
        }
        // as file_read takes it, for which each byte is a character
        let scratch = Scratch::new();
        scratch.write("latin", b"caf\xe9\npass\xadword: hunter2zebra99\npass\x9b1mword:\n  hunter2zebra99\n");
        let shown = pages(&scratch, &json!({ "pattern": "." })).join("\n");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
