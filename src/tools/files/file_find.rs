//! Which files have such a name, size, age or owner?

use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::fs::Stat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    left_out::LeftOut,
    stat::{Kind, Owners, time},
};
use crate::{
    tool::{Tool, Turn},
    window::moment,
};
use jail::{
    Jail,
    walk::{Entry, Go, Walk},
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::Scope;
use search::{
    patience::Patience,
    pattern::{Globs, NameRegex},
    resume::Resume,
};
use text::{
    page::{Limit, Page},
    table::Table,
};

/// How long it looks, and no longer.
const LOOKED_FOR: Duration = Duration::from_secs(20);

/// What the rows may cost together, in tokens: both forms of the answer stay below what any answer may have.
const MOST_TOKENS: usize = 18_000;

/// Files and directories below a directory, hidden ones too, by name, kind, size, age or owner; links are not followed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileFind {
    /// A directory, absolute.
    path: String,
    /// A glob of the name (`*.log`); with a slash, of the path below (`**/conf.d/*`). Case counts if it has a capital.
    pattern: Option<String>,
    /// A regular expression somewhere in the name; with a slash, in the path below. Case likewise.
    regex: Option<String>,
    /// Only these.
    kind: Option<Kind>,
    /// Only files at least so large.
    min_bytes: Option<u64>,
    /// Only files at most so large.
    max_bytes: Option<u64>,
    /// Modified since: RFC 3339, or how long ago: `15m`.
    newer: Option<String>,
    /// Not modified since: likewise.
    older: Option<String>,
    /// Owner: name or uid.
    user: Option<String>,
    /// How deep; 1: only what is in the directory itself. Default: all.
    #[schemars(range(min = 1))]
    depth: Option<usize>,
    /// Rows.
    #[serde(default)]
    limit: Limit<50, 1000>,
    /// next_cursor of the same question.
    cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// Without links in it.
    pub path: String,
    /// What was looked at for this page.
    pub looked_at: u64,
    /// What is missing here, and why; null: nothing.
    pub left_out: Option<String>,
    /// In the order of their paths.
    pub found: Table<Row>,
    pub next_cursor: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Row {
    /// From the directory that was asked for.
    pub path: String,
    pub kind: Kind,
    /// null: not a file, or gone meanwhile.
    pub size_bytes: Option<u64>,
    /// RFC 3339.
    pub modified: Option<String>,
}

impl Tool for FileFind {
    const NAME: &'static str = "file_find";
    const TITLE: &'static str = "Find files";
    const SCOPE: Scope = Scope::FilesRead;
    const LANE: Lane = Lane::Search;
    const UNTRUSTED: Option<&'static str> = Some("path");
    const AUDITED: &'static [&'static str] = &[
        "path",
        "pattern",
        "regex",
        "kind",
        "min_bytes",
        "max_bytes",
        "newer",
        "older",
        "user",
        "depth",
        "limit",
        "cursor",
    ];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let (wanted, jail) = (self.check(turn.host().machine().kernel.wall())?, turn.jail(Self::SCOPE, None));
        let patience = Patience::of(turn.time(LOOKED_FOR), turn.stop());
        turn.read(move |machine| {
            let uid = wanted.user.as_deref().map(|user| Owners::read(machine).uid(user)).transpose()?;
            read(&jail, &wanted, uid, &patience)
        })
        .await
    }
}

/// What is asked for, checked.
#[derive(Debug)]
struct Wanted {
    path: String,
    glob: Option<Globs>,
    regex: Option<NameRegex>,
    kind: Option<Kind>,
    least: Option<u64>,
    most: Option<u64>,
    newer: Option<SystemTime>,
    older: Option<SystemTime>,
    user: Option<String>,
    deepest: usize,
    page: Page<Resume>,
}

impl FileFind {
    fn check(self, now: SystemTime) -> Result<Wanted, Failure> {
        let question = (&self.path, &self.pattern, &self.regex, self.kind, (self.min_bytes, self.max_bytes));
        let question = (question, &self.newer, &self.older, &self.user, self.depth);
        let page = Page::of(Self::NAME, question, self.limit.rows(), self.cursor.as_deref())?;
        let newer = self.newer.as_deref().map(|text| moment("newer", text, now)).transpose()?;
        let older = self.older.as_deref().map(|text| moment("older", text, now)).transpose()?;
        if newer.zip(older).is_some_and(|(newer, older)| newer > older) {
            return Err(Failure::Invalid("newer has to be before older: what is found is between the two".into()));
        }
        if self.min_bytes.zip(self.max_bytes).is_some_and(|(least, most)| least > most) {
            return Err(Failure::Invalid("min_bytes is larger than max_bytes".into()));
        }
        if self.depth == Some(0) {
            return Err(Failure::Invalid("depth is a number from 1 on".into()));
        }
        Ok(Wanted {
            glob: self.pattern.as_ref().map(|glob| Globs::new("pattern", &[glob])).transpose()?,
            regex: self.regex.as_deref().map(|regex| NameRegex::new("regex", regex)).transpose()?,
            path: self.path,
            kind: self.kind,
            least: self.min_bytes,
            most: self.max_bytes,
            newer,
            older,
            user: self.user,
            deepest: self.depth.unwrap_or(usize::MAX),
            page,
        })
    }
}

impl Wanted {
    /// By what is known without looking at the file.
    fn fits(&self, entry: &Entry<'_>, kind: Kind) -> bool {
        self.kind.is_none_or(|wanted| wanted == kind)
            && (self.least.or(self.most).is_none() || kind == Kind::File)
            && self.glob.as_ref().is_none_or(|glob| glob.fit(entry.name(), entry.path))
            && self.regex.as_ref().is_none_or(|regex| regex.fits(entry.name(), entry.path))
    }

    /// By what stat says; what is gone fits nothing.
    fn fits_stat(&self, uid: Option<u32>, stat: Option<&Stat>) -> bool {
        if self.least.or(self.most).is_none() && self.newer.or(self.older).is_none() && uid.is_none() {
            return true;
        }
        let Some(stat) = stat else { return false };
        let size = size(stat);
        let modified = modified(stat);
        self.least.is_none_or(|least| size >= least)
            && self.most.is_none_or(|most| size <= most)
            && self.newer.is_none_or(|newer| modified >= newer)
            && self.older.is_none_or(|older| modified <= older)
            && uid.is_none_or(|uid| stat.st_uid == uid)
    }
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}

fn modified(stat: &Stat) -> SystemTime {
    let seconds = Duration::from_secs(stat.st_mtime.unsigned_abs());
    let whole = if stat.st_mtime < 0 { UNIX_EPOCH.checked_sub(seconds) } else { UNIX_EPOCH.checked_add(seconds) };
    whole.unwrap_or(UNIX_EPOCH) + Duration::from_nanos(stat.st_mtime_nsec)
}

fn read(jail: &Jail, wanted: &Wanted, uid: Option<u32>, patience: &Patience) -> Result<Report, Failure> {
    let found = jail.find(&wanted.path)?;
    let is_over = || patience.is_over();
    let mut walk = Walk::new(&found, wanted.deepest)?.until(&is_over);
    if let Some(told) = wanted.page.told() {
        walk = walk.after(&told.path);
    }
    let (mut rows, mut looked_at, mut left, mut is_full) = (vec![], 0, MOST_TOKENS, false);
    let mut last = None;
    let passed = walk.each(|entry| {
        let kind = Kind::from(entry.kind);
        if wanted.fits(entry, kind) {
            let stat = entry.stat().ok();
            if wanted.fits_stat(uid, stat.as_ref()) {
                let row = Row::of(entry.path, kind, stat.as_ref());
                let cost = row.cost();
                // the first of the next page
                if rows.len() == wanted.page.limit() || cost > left && !rows.is_empty() {
                    is_full = true;
                    return Go::Stop;
                }
                left = left.saturating_sub(cost);
                rows.push(row);
                last = Some(entry.path.to_owned());
            }
        }
        looked_at += 1;
        Go::On
    })?;
    let mut left_out = LeftOut::of(&passed);
    let stopped = if is_full { last } else { passed.stopped };
    let place = stopped.map(|path| Resume { path, line: None });
    let next_cursor = place.as_ref().filter(|place| place.is_short()).map(|place| wanted.page.cursor(place));
    if let Some(place) = place {
        let at = text::quote_path(&place.path);
        match (is_full, place.is_short()) {
            (true, true) => left_out.say_first("what comes after these: ask with next_cursor"),
            (false, true) => {
                left_out.say_first(format!("time ran out after {looked_at} entries: go on with next_cursor"))
            }
            (_, false) => {
                left_out.say_first(format!("what comes after {at}, which is too long for a cursor: ask below it"))
            }
        }
    }
    Ok(Report {
        path: text::quote_path(found.path()),
        looked_at,
        left_out: left_out.told(),
        found: rows.into_iter().collect(),
        next_cursor,
    })
}

impl Row {
    fn of(path: &Path, kind: Kind, stat: Option<&Stat>) -> Self {
        Self {
            path: text::quote_path(path),
            kind,
            size_bytes: stat.filter(|_| kind == Kind::File).map(size),
            modified: stat.and_then(|stat| time(stat.st_mtime)),
        }
    }

    /// What it costs in the dearer form, in tokens.
    fn cost(&self) -> usize {
        // its brackets, kind, size and time
        const REST: usize = 30;
        text::tokens_at_most(&self.path) + REST
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use serde_json::{Value, json};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use search::scratch::{Scratch, impatience, patience};

    fn ask(scratch: &Scratch, question: &Value, patience: &Patience) -> Result<Value, Failure> {
        let mut question = question.clone();
        if question.get("path").is_none() {
            question["path"] = scratch.path("").into();
        }
        let question: FileFind = serde_json::from_value(question).unwrap();
        let wanted = question.check(SystemTime::now())?;
        let uid = wanted.user.as_deref().map(|user| Owners::default().uid(user)).transpose()?;
        Ok(serde_json::to_value(read(&scratch.jail, &wanted, uid, patience)?).unwrap())
    }

    fn paths(report: &Value) -> Vec<String> {
        let rows = report["found"]["rows"].as_array().unwrap();
        rows.iter().map(|row| row[0].as_str().unwrap().to_owned()).collect()
    }

    fn found(scratch: &Scratch, question: Value) -> Vec<String> {
        paths(&ask(scratch, &question, &patience()).unwrap())
    }

    #[test]
    fn each_bound_alone_and_all_together() {
        let scratch = Scratch::new();
        for (name, size) in [("a.log", 10), ("b/A.LOG", 20), ("b/c/x.txt", 30), ("b/c/y", 0), (".hidden/z.log", 40)] {
            scratch.write(name, "x".repeat(size));
        }
        symlink("a.log", scratch.dir.join("link.log")).unwrap();
        let old = UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        #[expect(clippy::disallowed_methods, reason = "gives the file its time")]
        std::fs::File::options().write(true).open(scratch.dir.join("a.log")).unwrap().set_modified(old).unwrap();
        let uid = rustix::process::geteuid().as_raw();
        for (question, expected) in [
            (json!({ "pattern": "*.log" }), vec![".hidden/z.log", "a.log", "b/A.LOG", "link.log"]),
            (json!({ "pattern": "*.LOG" }), vec!["b/A.LOG"]),
            (json!({ "pattern": "b/*" }), vec!["b/A.LOG", "b/c"]),
            (json!({ "regex": r"^[xy](\.|$)" }), vec!["b/c/x.txt", "b/c/y"]),
            (json!({ "regex": "^b/c/" }), vec!["b/c/x.txt", "b/c/y"]),
            (json!({ "pattern": "*.log", "kind": "link" }), vec!["link.log"]),
            (json!({ "kind": "directory" }), vec![".hidden", "b", "b/c"]),
            (json!({ "min_bytes": 20, "max_bytes": 30 }), vec!["b/A.LOG", "b/c/x.txt"]),
            (json!({ "max_bytes": 0 }), vec!["b/c/y"]),
            (json!({ "kind": "file", "older": "1h" }), vec!["a.log"]),
            (json!({ "kind": "file", "newer": "1h", "pattern": "*.log" }), vec![".hidden/z.log", "b/A.LOG"]),
            (json!({ "older": "2001-09-09T01:46:40Z", "newer": "2001-09-09T01:46:40Z" }), vec!["a.log"]),
            (json!({ "user": uid.to_string(), "depth": 1, "kind": "file" }), vec!["a.log"]),
            (json!({ "user": "4294967294" }), vec![]),
            (json!({ "depth": 2, "regex": "[xy]|log$" }), vec![".hidden/z.log", "a.log", "b/A.LOG", "link.log"]),
        ] {
            assert_eq!(found(&scratch, question.clone()), expected, "{question}");
        }
    }

    #[test]
    fn pages_have_everything_once_however_the_search_stops() {
        let scratch = Scratch::new();
        for n in 0..300 {
            scratch.write(format!("{}/{}/f{n:03}", n % 7, n % 3), "");
        }
        let all = found(&scratch, json!({ "kind": "file", "limit": 1000 }));
        assert_eq!(all.len(), 300);
        for (limit, is_patient) in [(1, true), (7, true), (1000, false)] {
            let (mut seen, mut question, mut pages) = (vec![], json!({ "kind": "file", "limit": limit }), 0);
            loop {
                let patience = if is_patient { patience() } else { impatience() };
                let report = ask(&scratch, &question, &patience).unwrap();
                seen.extend(paths(&report));
                pages += 1;
                assert!(pages < 1000 && report["left_out"].is_null() == report["next_cursor"].is_null(), "{report}");
                if report["next_cursor"].is_null() {
                    break;
                }
                question["cursor"] = report["next_cursor"].clone();
            }
            assert_eq!(seen, all, "{limit}");
            assert!(pages > 10, "{pages}");
        }
    }

    #[test]
    fn what_is_kept_from_callers_is_counted_and_not_found() {
        let scratch = Scratch::new();
        for name in ["state/tokens.ron", "id_rsa", ".ssh/config", "x/.env", "x/fine"] {
            scratch.write(name, "x");
        }
        let report = ask(&scratch, &json!({ "kind": "file" }), &patience()).unwrap();
        assert_eq!(paths(&report), ["x/fine"]);
        assert_eq!(report["left_out"], "kept from callers: 4");
    }

    #[test]
    fn a_search_that_nobody_waits_for_ends() {
        let scratch = Scratch::new();
        for n in 0..100 {
            scratch.write(format!("{n}"), "");
        }
        let stop = CancellationToken::new();
        stop.cancel();
        let report = ask(&scratch, &json!({}), &Patience::of(LOOKED_FOR, &stop)).unwrap();
        assert!(report["looked_at"].as_u64().unwrap() < 100, "{report}");
    }

    #[test]
    fn a_path_that_is_too_long_for_a_cursor_is_told() {
        let scratch = Scratch::new();
        let deep = format!("{}/", "d".repeat(200)).repeat(5);
        scratch.write(format!("{deep}a"), "");
        scratch.write(format!("{deep}b"), "");
        let report = ask(&scratch, &json!({ "pattern": "[ab]", "limit": 1 }), &patience()).unwrap();
        assert!(report["next_cursor"].is_null());
        assert!(report["left_out"].as_str().unwrap().contains("too long for a cursor"), "{report}");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let scratch = Scratch::new();
        let file = scratch.write("file", "");
        for (question, why) in [
            (json!({ "depth": 0 }), "depth"),
            (json!({ "pattern": "[" }), "no glob"),
            (json!({ "pattern": "" }), "1 to 500"),
            (json!({ "regex": "(" }), "unclosed group"),
            (json!({ "newer": "yesterday" }), "newer is a time"),
            (json!({ "newer": "1h", "older": "2h" }), "before older"),
            (json!({ "min_bytes": 2, "max_bytes": 1 }), "larger"),
            (json!({ "user": "nobody-by-this-name" }), "etc/passwd"),
            (json!({ "cursor": "61-1234" }), "ask again without it"),
            (json!({ "path": file }), "not a directory"),
            (json!({ "path": "/proc" }), "outside"),
        ] {
            let said = ask(&scratch, &question, &patience()).unwrap_err().to_string();
            assert!(said.contains(why), "{question}: {said}");
        }
    }
}
