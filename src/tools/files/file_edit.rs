//! Replace exact pieces of a text file, all or none, and show what that changes.

use std::{ops::Range, time::Duration};

use rustix::fs::FileType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use similar::{DiffOp, TextDiff};

use super::{
    change::{check_links, check_unchanged, note, quoted, record},
    seen::{Seen, TAB, lines},
};
use crate::tool::{Acting, Aim, Turn};
use jail::{
    Jail,
    write::{Hold, Spot, Version, expect, sha256},
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use redact::{MARK, clean};
use rights::scope::{Action, Scope};
use text::tokens_at_most;

/// What a file that is edited may have, before and after, in bytes.
const MOST: u64 = 1 << 20;

/// Replacements of one call.
const EDITS: usize = 100;

/// What is shown of the difference: lines around a change, characters of a line, and tokens of all.
const AROUND: usize = 3;
const LONGEST: usize = 300;
const TOKENS: usize = 6_000;

/// How long to look for the shortest way to tell the difference.
const DIFFED_WITHIN: Duration = Duration::from_millis(500);

/// Replace exact pieces of a UTF-8 text file of up to 1 MiB, all of them or none, and see the diff. Line ends are kept as they are.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileEdit {
    /// Absolute, no link in it, in a rw directory.
    path: String,
    /// Each looked for in the file as it is, so that none sees what another does.
    edits: Vec<Edit>,
    /// Only show what would change.
    #[serde(default)]
    dry_run: bool,
    /// The sha256 of what you have read: refused if the file is another by now.
    if_unchanged: Option<String>,
    /// Change a file that has more names, though the others keep the old content.
    #[serde(default)]
    break_links: bool,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Edit {
    /// What is there, to the letter. Must occur once, unless all or count says otherwise. [redacted] parts cannot be matched.
    old: String,
    /// What comes in its place.
    new: String,
    /// Wherever it occurs.
    #[serde(default)]
    all: bool,
    /// It occurs so often.
    count: Option<usize>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    pub path: String,
    pub dry_run: bool,
    /// Whether anything is (with dry_run: would be) other than before.
    pub changed: bool,
    /// Places that were replaced.
    pub replaced: usize,
    pub sha256_before: String,
    /// After it.
    pub sha256: String,
    /// Unified, line by line.
    pub diff: Vec<String>,
    /// What of the old file could not be kept.
    pub note: Option<String>,
}

/// What is about to be written, and in the place of what.
#[derive(Debug)]
pub(crate) struct Plan {
    spot: Spot,
    /// None for a dry run.
    hold: Option<Hold>,
    old: Version,
    text: String,
    report: Report,
}

impl Acting for FileEdit {
    const NAME: &'static str = "file_edit";
    const TITLE: &'static str = "Edit a file";
    const SCOPE: Scope = Scope::FilesWrite;
    const ACTIONS: &[Action] = &[Action::Edit];
    const LANE: Lane = Lane::Write;
    const DESTRUCTIVE: bool = true;
    const IDEMPOTENT: bool = false;
    const LOOK: &'static str = "look with `file_read`";
    const UNTRUSTED: Option<&'static str> = Some("diff");
    const AUDITED: &'static [&'static str] = &["path", "dry_run", "if_unchanged", "break_links"];
    type Output = Report;
    type Target = Plan;

    async fn aim(&self, turn: &Turn) -> Result<Aim<Plan>, Failure> {
        let (jail, request) = (turn.jail(Self::SCOPE, Some(Action::Edit)), self.clone());
        turn.read(move |_| request.plan(&jail)).await
    }

    async fn act(self, turn: &Turn, plan: Plan) -> Result<Report, Failure> {
        turn.read(move |_| plan.write()).await
    }
}

impl FileEdit {
    fn plan(&self, jail: &Jail) -> Result<Aim<Plan>, Failure> {
        let spot = jail.spot(&self.path)?;
        let hold = if self.dry_run { None } else { Some(Hold::of(&[&spot])?) };
        let found = spot.there()?;
        expect(&found, &[FileType::RegularFile])?;
        let (content, old) = Version::read(&found, MOST)?;
        check_unchanged(&spot, Some(&old), self.if_unchanged.as_deref())?;
        check_links(&spot, old.stat(), self.break_links)?;
        let path = text::quote_path(spot.path());
        let before = String::from_utf8(content).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Failure::Refused(format!("{path} is not UTF-8 (byte {at}), and only text is edited"))
        })?;
        let Edited { text, replaced, diff } =
            edit(&before, &self.edits).map_err(|why| Failure::Refused(format!("{path} is as it was: {why}")))?;
        let (sha256_before, sha256) = (sha256(before.as_bytes()), sha256(text.as_bytes()));
        let what = if self.dry_run { format!("a dry run: {}", quoted(spot.path())) } else { quoted(spot.path()) };
        let after = if self.dry_run { &sha256_before } else { &sha256 };
        let name = record(Some(&sha256_before), Some(after), &what);
        let (dry_run, changed) = (self.dry_run, before != text);
        let report = Report { path, dry_run, changed, replaced, sha256_before, sha256, diff, note: None };
        Ok(Aim { name, target: Plan { spot, hold, old, text, report } })
    }
}

impl Plan {
    fn write(self) -> Result<Report, Failure> {
        let Self { spot, hold, old, text, report } = self;
        match hold {
            Some(hold) if report.changed => {
                // the file is there, and has its own mode
                let notes = spot.put(&hold, Some(&old), text.as_bytes(), 0)?;
                Ok(Report { note: note(notes), ..report })
            }
            _ => Ok(report),
        }
    }
}

#[derive(Debug)]
struct Edited {
    text: String,
    replaced: usize,
    diff: Vec<String>,
}

/// `before` with all edits made, or why none is. What callers do not see of it can neither be matched nor brought to light: nothing here
/// depends on it but whether it stays hidden.
fn edit(before: &str, edits: &[Edit]) -> Result<Edited, String> {
    if edits.is_empty() || edits.len() > EDITS {
        return Err(format!("edits are 1 to {EDITS}"));
    }
    let seen = Seen::of(before);
    let is_crlf = before.contains('\n') && before.matches('\n').count() == before.matches("\r\n").count();
    let in_file = |text: &str| if is_crlf { text.replace("\r\n", "\n").replace('\n', "\r\n") } else { text.to_owned() };
    let edits: Vec<Edit> =
        edits.iter().map(|edit| Edit { old: in_file(&edit.old), new: in_file(&edit.new), ..edit.clone() }).collect();
    let mut pieces: Vec<Piece<'_>> = vec![];
    for (at, edit) in edits.iter().enumerate() {
        let failed = |why: String| format!("edit {}: {why}", at + 1);
        edit.check().map_err(failed)?;
        let places = places(before, &seen, edit).map_err(failed)?;
        pieces.extend(places.into_iter().map(|place| Piece { range: place..place + edit.old.len(), at, edit }));
    }
    pieces.sort_by_key(|piece| piece.range.start);
    if let Some([one, other]) = pieces.array_windows().find(|[one, other]| one.range.end > other.range.start) {
        return Err(format!("edits {} and {} overlap: make one of them", one.at + 1, other.at + 1));
    }
    let length = pieces.iter().fold(before.len(), |length, piece| length + piece.edit.new.len() - piece.range.len());
    if length as u64 > MOST {
        return Err(format!("it would have {length} bytes, and at most {MOST} are edited"));
    }
    let (text, moved) = replaced(before, &pieces);
    let after = Seen::of(&text);
    if !seen.stays_hidden(&after, |at| moved.of(at)) {
        return Err("what is redacted in it would be seen; leave the words around that as they are".into());
    }
    let diff = diff(before, &seen, &text, &after);
    Ok(Edited { text, replaced: pieces.len(), diff })
}

/// What is replaced, and by which edit.
struct Piece<'a> {
    range: Range<usize>,
    at: usize,
    edit: &'a Edit,
}

impl Edit {
    fn check(&self) -> Result<(), String> {
        if self.old.is_empty() || self.old == self.new {
            return Err("old is empty, or the same as new".into());
        }
        if self.new.matches(MARK).count() > self.old.matches(MARK).count() {
            return Err(format!(
                "new has {MARK}, which only stands for what is there; leave that part out of the edit"
            ));
        }
        Ok(())
    }
}

/// Where `old` is among what callers see, if that is as often as it should be.
fn places(text: &str, seen: &Seen, edit: &Edit) -> Result<Vec<usize>, String> {
    let old = &*edit.old;
    let found: Vec<usize> = seen
        .stretches(text.len())
        .flat_map(|stretch| text[stretch.clone()].match_indices(old).map(move |(at, _)| stretch.start + at))
        .collect();
    let again = |at: usize| {
        let next = at + text[at..].chars().next().map_or(1, char::len_utf8);
        let stretch = seen.stretches(text.len()).find(|stretch| stretch.contains(&at))?;
        text[next..stretch.end].find(old)
    };
    match (found.as_slice(), edit.count) {
        ([], _) => Err(format!(
            "its old text is not in what is shown of the file: read it again; blanks count, a tab is a tab and not {TAB}, and {MARK} cannot be matched"
        )),
        (_, Some(count)) if count == found.len() => Ok(found),
        (_, Some(count)) => Err(format!("its old text occurs {} times, and not {count}", found.len())),
        (_, None) if edit.all => Ok(found),
        ([at], None) if again(*at).is_none() => Ok(found),
        ([_], None) => Err("its old text occurs twice, one over the other; give more of what is around it".into()),
        (_, None) => Err(format!(
            "its old text occurs {} times: give more of what is around it, or count: {0}, or all: true",
            found.len()
        )),
    }
}

/// The text with its pieces replaced, and where everything else of it has come to.
fn replaced(text: &str, pieces: &[Piece<'_>]) -> (String, Moved) {
    let (mut out, mut at, mut ends) = (String::with_capacity(text.len()), 0, vec![(0, 0)]);
    for Piece { range, edit, .. } in pieces {
        out.push_str(&text[at..range.start]);
        out.push_str(&edit.new);
        at = range.end;
        ends.push((at, out.len()));
    }
    out.push_str(&text[at..]);
    (out, Moved(ends))
}

/// Places from which on a text is unchanged, before and after.
struct Moved(Vec<(usize, usize)>);

impl Moved {
    /// Where a place has come to that is in no piece.
    fn of(&self, at: usize) -> usize {
        let last = self.0.partition_point(|(before, _)| *before <= at).saturating_sub(1);
        self.0.get(last).map_or(at, |(before, after)| at - before + after)
    }
}

/// The difference as `diff -u` has it, of lines as they are shown.
fn diff(before: &str, old: &Seen, after: &str, new: &Seen) -> Vec<String> {
    let (before, after): (Vec<&str>, Vec<&str>) = (lines(before).collect(), lines(after).collect());
    let diff = TextDiff::configure().timeout(DIFFED_WITHIN).diff_slices(&before, &after);
    let mut out = vec![];
    let mut show = |mark: &str, line: &str, whole: &str| {
        out.push(clean(&format!("{mark}{line}"), LONGEST).into_owned());
        if !whole.ends_with('\n') {
            out.push("\\ No newline at end of file".to_owned());
        }
    };
    for group in diff.grouped_ops(AROUND) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let range = |from: Range<usize>, to: Range<usize>| format!("{},{}", from.start + 1, to.end - from.start);
        let (minus, plus) = (range(first.old_range(), last.old_range()), range(first.new_range(), last.new_range()));
        show("", &format!("@@ -{minus} +{plus} @@"), "\n");
        for op in &group {
            let is_same = matches!(op, DiffOp::Equal { .. });
            for at in op.old_range() {
                show(if is_same { " " } else { "-" }, old.line(at), before[at]);
            }
            for at in op.new_range().filter(|_| !is_same) {
                show("+", new.line(at), after[at]);
            }
        }
    }
    bounded(out)
}

/// The first lines, as many as an answer has room for.
fn bounded(mut lines: Vec<String>) -> Vec<String> {
    let mut tokens = 0;
    let fits = lines.iter().take_while(|line| {
        tokens += tokens_at_most(line) + 4;
        tokens <= TOKENS
    });
    let (kept, all) = (fits.count(), lines.len());
    if kept < all {
        lines.truncate(kept);
        lines.push(format!("… {} more lines", all - kept));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(old: &str, new: &str) -> Edit {
        Edit { old: old.to_owned(), new: new.to_owned(), all: false, count: None }
    }

    fn text(before: &str, edits: &[Edit]) -> Result<String, String> {
        edit(before, edits).map(|edited| edited.text)
    }

    #[test]
    fn all_edits_are_made_or_none() {
        let before = "a = 1\nb = 2\nc = 3\n";
        assert_eq!(text(before, &[one("3", "4"), one("a = 1\n", "")]).unwrap(), "b = 2\nc = 4\n");
        assert!(text(before, &[one("3", "4"), one("9", "8")]).unwrap_err().starts_with("edit 2: "));
        // each sees the file as it is
        assert_eq!(text("x y", &[one("x", "y"), one("y", "x")]).unwrap(), "y x");
        assert!(text("abc", &[one("ab", "1"), one("bc", "2")]).unwrap_err().contains("edits 1 and 2 overlap"));
        for wrong in [one("", "x"), one("a", "a")] {
            assert!(text(before, &[wrong]).is_err());
        }
        assert!(text(before, &[]).is_err());
    }

    #[test]
    fn what_occurs_more_than_once_must_be_meant() {
        let before = "x\nx\nx\n";
        assert!(text(before, &[one("x", "y")]).unwrap_err().contains("occurs 3 times"));
        assert_eq!(text(before, &[Edit { all: true, ..one("x", "y") }]).unwrap(), "y\ny\ny\n");
        assert_eq!(text(before, &[Edit { count: Some(3), ..one("x", "y") }]).unwrap(), "y\ny\ny\n");
        assert!(text(before, &[Edit { count: Some(2), ..one("x", "y") }]).unwrap_err().contains("3 times, and not 2"));
        assert!(text("äää", &[one("ää", "y")]).unwrap_err().contains("one over the other"));
    }

    #[test]
    fn line_ends_and_the_missing_last_one_are_kept() {
        assert_eq!(text("a\r\nb\r\nc", &[one("a\nb", "1\n2\n3")]).unwrap(), "1\r\n2\r\n3\r\nc");
        assert_eq!(text("a\r\nb\r\n", &[one("a\r\nb", "1\r\n2")]).unwrap(), "1\r\n2\r\n");
        // of both kinds: to the letter
        assert!(text("a\r\nb\nc\n", &[one("a\nb", "x")]).is_err());
        assert_eq!(text("a\r\nb\nc\n", &[one("a\r\nb\nc", "x\ny")]).unwrap(), "x\ny\n");
        let edited = edit("a\nb", &[one("b", "c")]).unwrap();
        let no = "\\ No newline at end of file";
        assert_eq!(edited.diff, ["@@ -1,2 +1,2 @@", " a", "-b", no, "+c", no]);
    }

    #[test]
    fn a_tab_is_shown_as_an_arrow_and_matched_as_a_tab() {
        let edited = edit("a\tb\n", &[one("\tb", "\tc")]).unwrap();
        assert_eq!(
            (&*edited.text, edited.diff),
            ("a\tc\n", vec!["@@ -1,1 +1,1 @@".into(), "-a→b".into(), "+a→c".into()])
        );
        assert!(text("a\tb\n", &[one("→b", "x")]).unwrap_err().contains("a tab is a tab and not →"));
    }

    #[test]
    fn what_is_redacted_is_no_oracle() {
        let before = "user = me\npassword = hunter22\nport = 1\n";
        let none = text(before, &[one("not there at all", "")]).unwrap_err();
        // right, nearly right and wrong: the same words
        for guess in [
            "hunter22",
            "password = hunter22",
            "password = hunter23",
            "h",
            "22\nport",
            "[redacted]",
            "= hunter22\nport = 1",
        ] {
            assert_eq!(text(before, &[one(guess, "x")]).unwrap_err(), none, "{guess}");
            assert_eq!(text(before, &[Edit { all: true, ..one(guess, "x") }]).unwrap_err(), none, "{guess}");
        }
        // one letter of it is elsewhere as well, and it counts there alone
        assert_eq!(text(before, &[one("u", "U")]).unwrap(), before.replacen('u', "U", 1));
        // one that begins in what is seen does not use up the one that is seen whole
        let before = "ab\npassword = abababab\nab";
        assert_eq!(text(before, &[Edit { count: Some(2), ..one("ab", "x") }]).unwrap(), "x\npassword = abababab\nx");
    }

    #[test]
    fn what_is_redacted_does_not_come_to_light() {
        let before = "user = me\npassword = hunter22\nport = 1\n";
        for words in [one("password", "note"), one("password = ", ""), one("\npassword = ", " "), one("pass", "")] {
            let why = text(before, &[words]).unwrap_err();
            assert!(why.contains("would be seen"), "{why}");
        }
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA7\nabcd\n-----END RSA PRIVATE KEY-----\n";
        for words in [one("BEGIN RSA PRIVATE KEY", "x"), one("-----BEGIN RSA PRIVATE KEY-----\n", "x\n\n")] {
            assert!(text(key, &[words]).is_err());
        }
        // and what is around it can be changed
        let edited = edit(before, &[one("user = me", "user = you"), one("port = 1", "port = 2")]).unwrap();
        assert_eq!(edited.text, "user = you\npassword = hunter22\nport = 2\n");
        assert_eq!(
            edited.diff,
            ["@@ -1,3 +1,3 @@", "-user = me", "+user = you", " password = [redacted]", "-port = 1", "+port = 2"]
        );
        assert!(text(before, &[one("port = 1", "port = [redacted]")]).unwrap_err().contains("[redacted]"));
    }

    #[test]
    fn a_key_in_the_middle_of_which_the_difference_begins_is_not_shown() {
        let key = format!(
            "-----BEGIN RSA PRIVATE KEY-----\n{}-----END RSA PRIVATE KEY-----\nport = 1\n",
            "MIIEowIBAAKCAQEA7\n".repeat(9)
        );
        let diff = edit(&key, &[one("port = 1", "port = 2")]).unwrap().diff;
        assert!(diff.iter().all(|line| !line.contains("MIIE")) && diff.contains(&"+port = 2".to_owned()), "{diff:?}");
    }

    #[test]
    fn a_long_difference_is_cut_and_says_so() {
        let before: String = (0..5_000).map(|number| format!("line {number}\n")).collect();
        let diff = edit(&before, &[Edit { all: true, ..one("line", "row") }]).unwrap().diff;
        assert!(diff.last().unwrap().starts_with("… ") && diff.len() < 2_000, "{}", diff.len());
        let wide = edit("a\n", &[one("a", &"b".repeat(5_000))]).unwrap().diff;
        assert!(wide.iter().all(|line| line.chars().count() < 320));
    }
}
