//! What is in a directory?

mod list;
mod tree;

use std::{ffi::OsStr, time::Duration};

use globset::{GlobBuilder, GlobMatcher};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::{
    list::{Key, Row},
    tree::Branch,
};
use super::{
    patience,
    stat::{Kind, Owners},
};
use crate::tool::{Tool, Turn};
use jail::Jail;
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::Scope;
use search::patience::Patience;
use text::{
    page::{Limit, Page},
    table::Table,
};

/// How long a directory is looked at.
const LOOKED_FOR: Duration = Duration::from_secs(8);

/// What the rows may cost together, in tokens: a page ends where the answer would be cut, so that its cursor leads on.
const MOST_TOKENS: usize = 20_000;

/// The longest pattern, in bytes.
const LONGEST_PATTERN: usize = 500;

/// How deep a tree goes at most.
const DEEPEST: u8 = 20;

/// What is in a directory, hidden files too: one row each, or with `tree` all that is below it with counts.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Directory {
    /// Absolute.
    path: String,
    /// Only names that fit this glob: `*.log`.
    pattern: Option<String>,
    /// Only these.
    kind: Option<Kind>,
    /// Default name; the largest or the last modified first.
    sort: Option<Sort>,
    /// What is below it as well, by name.
    #[serde(default)]
    tree: bool,
    /// How deep a tree goes: 2 by default, 20 at most.
    #[schemars(range(min = 1, max = 20))]
    depth: Option<u8>,
    /// Rows.
    #[serde(default)]
    limit: Limit<50, 500>,
    /// next_cursor of the same question.
    cursor: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sort {
    #[default]
    Name,
    Size,
    Modified,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// Without links in it.
    pub path: String,
    pub total: Total,
    /// Those asked for, on this and all other pages.
    pub matching: u64,
    /// Sizes of those asked for, where the order needed all of them.
    pub matching_bytes: Option<u64>,
    /// What is missing here, and why; null: nothing.
    pub left_out: Option<String>,
    pub entries: Entries,
    pub next_cursor: Option<String>,
}

/// Of all that was looked at, whatever was asked for.
#[derive(Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Total {
    pub entries: u64,
    pub directories: u64,
    pub files: u64,
    pub links: u64,
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Entries {
    List(Table<Row>),
    Tree(Table<Branch>),
}

impl Tool for Directory {
    const NAME: &'static str = "directory";
    const TITLE: &'static str = "What is in a directory";
    const SCOPE: Scope = Scope::FilesRead;
    const LANE: Lane = Lane::Files;
    const UNTRUSTED: Option<&'static str> = Some("name, path, target, owner, group");
    const AUDITED: &'static [&'static str] = &["path", "pattern", "kind", "sort", "tree", "depth", "limit", "cursor"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let (wanted, jail) = (self.check()?, turn.jail(Self::SCOPE, None));
        patience::read(turn, LOOKED_FOR, move |machine, patience| {
            read(&jail, &Owners::read(machine), &wanted, patience)
        })
        .await
    }
}

/// What is asked for, checked.
#[derive(Debug)]
struct Wanted {
    path: String,
    pattern: Option<GlobMatcher>,
    kind: Option<Kind>,
    how: How,
}

#[derive(Debug)]
enum How {
    List(Sort, Page<Key>),
    /// So deep. Rows are counted.
    Tree(usize, Page<usize>),
}

impl Directory {
    fn check(self) -> Result<Wanted, Failure> {
        let pattern = self.pattern.as_deref().map(glob).transpose()?;
        let question = (&self.path, &self.pattern, self.kind, self.sort, self.tree, self.depth);
        let (rows, cursor) = (self.limit.rows(), self.cursor.as_deref());
        let how = match (self.tree, self.depth, self.sort) {
            (false, Some(_), _) => return Err(Failure::Invalid("depth is for tree".into())),
            (true, _, Some(Sort::Size | Sort::Modified)) => {
                return Err(Failure::Invalid("a tree is sorted by name; directory_usage tells what is largest".into()));
            }
            (true, Some(depth), _) if !(1..=DEEPEST).contains(&depth) => {
                return Err(Failure::Invalid(format!("depth is a number from 1 to {DEEPEST}")));
            }
            (true, depth, _) => {
                How::Tree(usize::from(depth.unwrap_or(2)), Page::of(Self::NAME, question, rows, cursor)?)
            }
            (false, None, sort) => How::List(sort.unwrap_or_default(), Page::of(Self::NAME, question, rows, cursor)?),
        };
        Ok(Wanted { path: self.path, pattern, kind: self.kind, how })
    }
}

impl Wanted {
    fn fits(&self, name: &OsStr, kind: Kind) -> bool {
        self.kind.is_none_or(|wanted| wanted == kind)
            && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(name))
    }
}

impl Total {
    fn count(&mut self, kind: Kind) {
        self.entries += 1;
        match kind {
            Kind::Directory => self.directories += 1,
            Kind::File => self.files += 1,
            Kind::Link => self.links += 1,
            Kind::Fifo | Kind::Socket | Kind::Device | Kind::Unknown => (),
        }
    }
}

/// A glob of names.
fn glob(pattern: &str) -> Result<GlobMatcher, Failure> {
    if pattern.is_empty() || pattern.len() > LONGEST_PATTERN || pattern.contains('/') {
        return Err(Failure::Invalid(format!(
            "pattern is a glob of names, without / and of at most {LONGEST_PATTERN} bytes; file_find knows patterns of paths"
        )));
    }
    let glob = GlobBuilder::new(pattern).backslash_escape(true).build();
    let glob = glob.map_err(|error| Failure::Invalid(format!("pattern is no glob: {}", error.kind())))?;
    Ok(glob.compile_matcher())
}

/// How many of these rows an answer can have; at least one.
fn fitting<'a, R: Serialize + 'a>(rows: impl IntoIterator<Item = &'a R>) -> usize {
    let mut tokens = MOST_TOKENS;
    let fits = |row: &&R| {
        // in a table, only the values cost
        let values: Vec<Value> = match serde_json::to_value(row) {
            Ok(Value::Object(fields)) => fields.into_iter().map(|(_, value)| value).collect(),
            _ => vec![],
        };
        let cost = text::tokens_at_most(&Value::Array(values).to_string()) + 1;
        tokens = tokens.saturating_sub(cost);
        tokens > 0
    };
    rows.into_iter().take_while(fits).count().max(1)
}

fn read(jail: &Jail, owners: &Owners, wanted: &Wanted, patience: &Patience) -> Result<Report, Failure> {
    let found = jail.find(&wanted.path)?;
    let path = text::quote_path(found.path());
    match &wanted.how {
        How::List(sort, page) => list::read(&found, owners, wanted, *sort, page, patience, path),
        How::Tree(depth, page) => tree::read(jail, &found, wanted, *depth, page, patience, path),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{ffi::OsStrExt, fs::symlink};

    use serde_json::json;

    use super::*;
    use search::scratch::{Scratch, impatience, patience};

    fn ask(scratch: &Scratch, question: Value, patience: &Patience) -> Result<Value, Failure> {
        let mut question = question;
        if question.get("path").is_none() {
            question["path"] = scratch.path("").into();
        }
        let directory: Directory = serde_json::from_value(question).unwrap();
        let report = read(&scratch.jail, &Owners::default(), &directory.check()?, patience)?;
        Ok(serde_json::to_value(report).unwrap())
    }

    fn rows(report: &Value) -> Vec<Value> {
        let entries = &report["entries"];
        let columns = entries["columns"].as_array().unwrap();
        let row = |row: &Value| {
            let cells = columns.iter().zip(row.as_array().unwrap());
            Value::Object(cells.map(|(name, cell)| (name.as_str().unwrap().to_owned(), cell.clone())).collect())
        };
        entries["rows"].as_array().unwrap().iter().map(row).collect()
    }

    fn names(report: &Value) -> Vec<String> {
        let name = |row: &Value| row.get("name").or(row.get("path")).unwrap().as_str().unwrap().to_owned();
        rows(report).iter().map(name).collect()
    }

    /// All pages of a question.
    fn pages(scratch: &Scratch, question: &Value) -> Vec<Vec<String>> {
        let (mut pages, mut question) = (vec![], question.clone());
        loop {
            let report = ask(scratch, question.clone(), &patience()).unwrap();
            pages.push(names(&report));
            if report["next_cursor"].is_null() {
                return pages;
            }
            question["cursor"] = report["next_cursor"].clone();
        }
    }

    #[test]
    fn every_name_is_one_row_whatever_is_in_it() {
        let scratch = Scratch::new();
        for name in [&b"plain"[..], b".hidden", b"two\nlines", b"bad\xff", b"tab\there", "größe".as_bytes(), b"-rf"] {
            scratch.write(OsStr::from_bytes(name), "x");
        }
        let report = ask(&scratch, json!({}), &patience()).unwrap();
        assert_eq!(
            names(&report),
            ["-rf", ".hidden", "$'bad\\xff'", "größe", "plain", "$'tab\\there'", "$'two\\nlines'"]
        );
        assert_eq!(report["total"], json!({ "entries": 7, "directories": 0, "files": 7, "links": 0 }));
    }

    #[test]
    fn a_row_says_what_stat_says() {
        let scratch = Scratch::new();
        scratch.write("a", "12345");
        symlink("/etc/passwd", scratch.dir.join("b")).unwrap();
        let rows = rows(&ask(&scratch, json!({}), &patience()).unwrap());
        let uid = rustix::process::geteuid().as_raw().to_string();
        assert_eq!((&rows[0]["kind"], &rows[0]["size_bytes"]), (&json!("file"), &json!(5)));
        assert_eq!(
            (&rows[0]["owner"], &rows[0]["target"], &rows[0]["denied"]),
            (&json!(uid), &json!(null), &json!(null))
        );
        assert!(rows[0]["permissions"].as_str().unwrap().starts_with("rw-"));
        assert_eq!((&rows[1]["kind"], &rows[1]["target"]), (&json!("link"), &json!("/etc/passwd")));
    }

    #[test]
    fn what_is_kept_from_callers_has_a_name_and_a_kind_and_no_more() {
        let scratch = Scratch::new();
        scratch.write("id_rsa", "x".repeat(1000));
        scratch.write("state/tokens.ron", "x");
        scratch.write("open", "x");
        std::fs::hard_link(scratch.dir.join("state/tokens.ron"), scratch.dir.join("innocent")).unwrap();
        for sort in ["name", "size", "modified"] {
            let report = ask(&scratch, json!({ "sort": sort }), &patience()).unwrap();
            let rows = rows(&report);
            let denied: Vec<&Value> = rows.iter().filter(|row| row["denied"] == true).collect();
            assert_eq!(denied.len(), 3, "{sort}");
            for row in denied {
                assert!(
                    row.as_object()
                        .unwrap()
                        .iter()
                        .all(|(key, value)| value.is_null() || ["name", "kind", "denied"].contains(&key.as_str()))
                );
            }
            // and its size shows neither in the sum nor in the order
            if sort == "size" {
                assert_eq!((names(&report)[0].as_str(), &report["matching_bytes"]), ("open", &json!(1)));
            }
        }
    }

    #[test]
    fn pages_have_every_row_once_in_every_order() {
        let scratch = Scratch::new();
        for n in 0..25 {
            let path = scratch.write(format!("n{n:02}"), "x".repeat(n % 7));
            let time = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000 - n as u64 % 5);
            #[expect(clippy::disallowed_methods, reason = "gives the file its time")]
            std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
        }
        let all: Vec<String> = (0..25).map(|n| format!("n{n:02}")).collect();
        let sorted = |key: fn(usize) -> usize| {
            let mut all: Vec<usize> = (0..25).collect();
            all.sort_by_key(|n| key(*n));
            all.into_iter().map(|n| format!("n{n:02}")).collect::<Vec<_>>()
        };
        for (sort, expected) in
            [("name", all.clone()), ("size", sorted(|n| 100 - n % 7)), ("modified", sorted(|n| n % 5))]
        {
            let pages = pages(&scratch, &json!({ "sort": sort, "limit": 4 }));
            assert_eq!((pages.len(), pages.concat()), (7, expected), "{sort}");
        }
        assert_eq!(pages(&scratch, &json!({ "tree": true, "limit": 4 })).concat(), all);
        assert_eq!(
            pages(&scratch, &json!({ "limit": 4, "pattern": "n?[02]" })).concat(),
            ["n00", "n02", "n10", "n12", "n20", "n22"]
        );
    }

    #[test]
    fn none_and_ten_thousand() {
        let scratch = Scratch::new();
        let report = ask(&scratch, json!({}), &patience()).unwrap();
        assert_eq!(
            (names(&report).len(), &report["total"]["entries"], &report["next_cursor"]),
            (0, &json!(0), &json!(null))
        );
        for n in 0..10_000 {
            scratch.write(format!("{n:05}"), "");
        }
        let report = ask(&scratch, json!({}), &patience()).unwrap();
        assert_eq!(names(&report), (0..50).map(|n| format!("{n:05}")).collect::<Vec<_>>());
        assert_eq!((&report["total"]["entries"], &report["matching"]), (&json!(10_000), &json!(10_000)));
        // what time does not suffice for is said, and has no pages
        let report = ask(&scratch, json!({}), &impatience()).unwrap();
        assert!(report["left_out"].as_str().unwrap().starts_with("time ran out after 256 entries"), "{report}");
        assert!(report["next_cursor"].is_null());
    }

    #[test]
    fn a_page_ends_where_the_answer_would_be_cut() {
        let scratch = Scratch::new();
        let long = |n: usize| format!("{n:03}{}", "\u{10330}\"".repeat(50));
        for n in 0..300 {
            scratch.write(format!("d/{}", long(n)), "");
        }
        for question in [json!({ "path": scratch.path("d"), "limit": 500 }), json!({ "tree": true, "limit": 500 })] {
            let pages = pages(&scratch, &question);
            assert!(pages.len() > 1);
            let names = pages.concat().into_iter().filter_map(|name| Some(name.rsplit('/').next()?.to_owned()));
            let expected = (0..300).map(long);
            assert!(names.filter(|name| name != "d").eq(expected));
            let report = ask(&scratch, question, &patience()).unwrap();
            assert!(text::tokens_at_most(&report.to_string()) < 25_000);
        }
    }

    #[test]
    fn a_tree_counts_what_is_in_each_directory() {
        let scratch = Scratch::new();
        for name in ["a/b/c/d", "a/b/e", "a/f", "g", "z/.env", "z/y"] {
            scratch.write(name, "x");
        }
        std::fs::create_dir(scratch.dir.join("empty")).unwrap();
        std::fs::create_dir(scratch.dir.join("state")).unwrap();
        let tree = |question: Value| {
            let report = ask(&scratch, question, &patience()).unwrap();
            let row = |row: &Value| format!("{} {}", row["path"].as_str().unwrap(), row["entries"]);
            (rows(&report).iter().map(row).collect::<Vec<_>>(), report)
        };
        let (rows, report) = tree(json!({ "tree": true }));
        assert_eq!(rows, ["a 2", "a/b 2", "a/f null", "empty 0", "g null", "state null", "z 1", "z/y null"]);
        assert_eq!(report["total"], json!({ "entries": 8, "directories": 5, "files": 3, "links": 0 }));
        assert_eq!(report["left_out"], "2 that are kept from callers");
        assert_eq!(
            tree(json!({ "tree": true, "depth": 1, "kind": "directory" })).0,
            ["a 2", "empty 0", "state null", "z 1"]
        );
        // the directory's row is on one page, what is in it on the next
        assert_eq!(tree(json!({ "tree": true, "limit": 1 })).0, ["a 2"]);
        assert_eq!(tree(json!({ "tree": true, "depth": 4, "pattern": "d" })).0, ["a/b/c/d null"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let scratch = Scratch::new();
        let file = scratch.write("file", "");
        for (question, why) in [
            (json!({ "depth": 2 }), "depth is for tree"),
            (json!({ "tree": true, "depth": 0 }), "from 1 to 20"),
            (json!({ "tree": true, "sort": "size" }), "sorted by name"),
            (json!({ "pattern": "a/b" }), "without /"),
            (json!({ "pattern": "[" }), "no glob"),
            (json!({ "cursor": "0:6e-1234" }), "ask again without it"),
            (json!({ "path": file }), "not a directory"),
            (json!({ "path": scratch.path("none") }), "does not exist"),
            (json!({ "path": "relative" }), "absolute"),
            (json!({ "path": "/proc" }), "outside"),
        ] {
            let said = ask(&scratch, question.clone(), &patience()).unwrap_err().to_string();
            assert!(said.contains(why), "{question}: {said}");
        }
    }
}
