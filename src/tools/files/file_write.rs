//! Write a whole file, new or in the place of another, in one step.

use rustix::fs::FileType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::change::{check_links, check_unchanged, note, permissions, quoted, record};
use crate::tool::{Acting, Aim, Turn};
use jail::{
    Jail,
    write::{Hold, Spot, Version, expect, sha256},
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use redact::MARK;
use rights::scope::{Action, Scope};

/// What a file that is looked at for its marks may have, in bytes.
const MOST_COMPARED: u64 = 16 << 20;

/// Permissions of a new file.
const MODE: u32 = 0o644;

/// Write a whole text file, new or over another, in one step: readers see the old or the new one. Permissions, owner and attributes stay.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileWrite {
    /// Absolute, no link in it, in a rw directory that exists.
    path: String,
    /// All of it, UTF-8.
    content: String,
    /// The sha256 of what you have read: refused if the file is another by now.
    if_unchanged: Option<String>,
    /// Refuse if it exists.
    #[serde(default)]
    create: bool,
    /// Of a new file, octal, default 644.
    mode: Option<String>,
    /// Replace a file that has more names, though the others keep the old content.
    #[serde(default)]
    break_links: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    pub path: String,
    /// Whether there was none before.
    pub created: bool,
    /// Whether anything is other than before.
    pub changed: bool,
    pub size_bytes: usize,
    /// Null if there was none, or one of more than 64 MiB.
    pub sha256_before: Option<String>,
    pub sha256: String,
    /// What of the old file could not be kept.
    pub note: Option<String>,
}

/// What is about to be written, and in the place of what.
#[derive(Debug)]
pub(crate) struct Plan {
    spot: Spot,
    hold: Hold,
    old: Option<Version>,
    mode: u32,
    sha256: String,
}

impl Acting for FileWrite {
    const NAME: &'static str = "file_write";
    const TITLE: &'static str = "Write a file";
    const SCOPE: Scope = Scope::FilesWrite;
    const ACTIONS: &[Action] = &[Action::Write];
    const LANE: Lane = Lane::Write;
    const DESTRUCTIVE: bool = true;
    const IDEMPOTENT: bool = true;
    const LOOK: &'static str = "look with `file_info`";
    const AUDITED: &'static [&'static str] = &["path", "if_unchanged", "create", "mode", "break_links"];
    type Output = Report;
    type Target = Plan;

    async fn aim(&self, turn: &Turn) -> Result<Aim<Plan>, Failure> {
        let (jail, request) = (turn.jail(Self::SCOPE, Some(Action::Write)), self.clone());
        turn.read(move |_| request.plan(&jail)).await
    }

    async fn act(self, turn: &Turn, plan: Plan) -> Result<Report, Failure> {
        turn.read(move |_| self.write(plan)).await
    }
}

impl FileWrite {
    fn plan(&self, jail: &Jail) -> Result<Aim<Plan>, Failure> {
        let spot = jail.spot(&self.path)?;
        let hold = Hold::of(&[&spot])?;
        let given = self.mode.as_deref().map(permissions).transpose()?;
        let old = match spot.now()? {
            None => None,
            Some(found) => {
                expect(&found, &[FileType::RegularFile])?;
                let old = Version::of(&found)?;
                if self.create {
                    return Err(Failure::Refused(format!(
                        "{} exists; without create it is replaced",
                        text::quote_path(spot.path())
                    )));
                }
                check_links(&spot, old.stat(), self.break_links)?;
                if let Some(given) = given
                    && given != old.stat().st_mode & 0o777
                {
                    let mode = old.stat().st_mode & 0o7777;
                    return Err(Failure::Invalid(format!(
                        "mode is for new files: {} exists and keeps its {mode:04o}",
                        text::quote_path(spot.path())
                    )));
                }
                if self.content.contains(MARK) {
                    self.check_marks(&spot, &Version::read(&found, MOST_COMPARED)?.0)?;
                }
                Some(old)
            }
        };
        check_unchanged(&spot, old.as_ref(), self.if_unchanged.as_deref())?;
        let sha256 = sha256(self.content.as_bytes());
        let before = old.as_ref().map(|old| old.sha256().unwrap_or("unknown"));
        let name = record(before, Some(&sha256), &quoted(spot.path()));
        Ok(Aim { name, target: Plan { spot, hold, old, mode: given.unwrap_or(MODE), sha256 } })
    }

    /// Who writes back what was read would write the marks over the secrets.
    fn check_marks(&self, spot: &Spot, old: &[u8]) -> Result<(), Failure> {
        let there = String::from_utf8_lossy(old).matches(MARK).count();
        if self.content.matches(MARK).count() <= there {
            return Ok(());
        }
        Err(Failure::Refused(format!(
            "content has {MARK} where {} has what callers do not see, and would lose it: use file_edit, which leaves the rest alone",
            text::quote_path(spot.path())
        )))
    }

    fn write(&self, plan: Plan) -> Result<Report, Failure> {
        let Plan { spot, hold, old, mode, sha256 } = plan;
        let sha256_before = old.as_ref().and_then(Version::sha256).map(str::to_owned);
        let changed = sha256_before.as_deref() != Some(&*sha256);
        let notes = if changed { spot.put(&hold, old.as_ref(), self.content.as_bytes(), mode)? } else { vec![] };
        Ok(Report {
            path: text::quote_path(spot.path()),
            created: old.is_none(),
            changed,
            size_bytes: self.content.len(),
            sha256_before,
            sha256,
            note: note(notes),
        })
    }
}
