//! Give a file or a directory another name or place.

use rustix::fs::FileType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    change::{quoted, record},
    stat::Kind,
};
use crate::tool::{Acting, Aim, Turn};
use jail::{
    Found, Jail,
    write::{Hold, Spot, Version, expect, survey},
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::{Action, Scope};

/// Rename or move a file, a link or a directory, in one step, within one filesystem. Replaces nothing unless told to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileMove {
    /// What is moved: absolute, no link on the way, in a rw directory.
    path: String,
    /// Its whole new path, likewise.
    to: String,
    /// Replace the file or link that is there.
    #[serde(default)]
    replace: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    pub path: String,
    pub to: String,
    pub kind: Kind,
    /// Of a file of at most 64 MiB.
    pub sha256: Option<String>,
    pub replaced: bool,
    /// Of the file that was replaced.
    pub sha256_replaced: Option<String>,
    /// What a directory has below it.
    pub entries: Option<usize>,
    /// What to know about it.
    pub note: Option<String>,
}

/// What is about to be moved, and over what.
#[derive(Debug)]
pub(crate) struct Plan {
    from: Spot,
    to: Spot,
    hold: Hold,
    version: Version,
    replaced: Option<Version>,
    entries: Option<usize>,
}

impl Acting for FileMove {
    const NAME: &'static str = "file_move";
    const TITLE: &'static str = "Move a file or directory";
    const SCOPE: Scope = Scope::FilesWrite;
    const ACTIONS: &[Action] = &[Action::Move];
    const LANE: Lane = Lane::Write;
    const DESTRUCTIVE: bool = true;
    const IDEMPOTENT: bool = false;
    const LOOK: &'static str = "look with `file_info`";
    const AUDITED: &'static [&'static str] = &["path", "to", "replace"];
    type Output = Report;
    type Target = Plan;

    async fn aim(&self, turn: &Turn) -> Result<Aim<Plan>, Failure> {
        let (jail, request) = (turn.jail(Self::SCOPE, Some(Action::Move)), self.clone());
        turn.read(move |_| request.plan(&jail)).await
    }

    async fn act(self, turn: &Turn, plan: Plan) -> Result<Report, Failure> {
        turn.read(move |_| plan.carry_out()).await
    }
}

impl FileMove {
    fn plan(&self, jail: &Jail) -> Result<Aim<Plan>, Failure> {
        let (from, to) = (jail.spot(&self.path)?, jail.spot(&self.to)?);
        let hold = Hold::of(&[&from, &to])?;
        let found = from.there()?;
        expect(&found, &[FileType::RegularFile, FileType::Directory, FileType::Symlink])?;
        if to.path().starts_with(from.path()) {
            return Err(Failure::Invalid(format!(
                "{} is itself, or lies in what is moved: {}",
                text::quote_path(to.path()),
                text::quote_path(from.path())
            )));
        }
        let replaced = match to.now()? {
            None => None,
            Some(there) => Some(self.over(&to, &there, found.kind())?),
        };
        let entries = match found.kind() {
            FileType::Directory => Some(survey(&found, Some(&to))?.count()),
            _ => None,
        };
        let version = Version::of(&found)?;
        let before = replaced.as_ref().map(|old| old.sha256().unwrap_or("unknown"));
        let what = format!("{} moved from {}", quoted(to.path()), quoted(from.path()));
        let name = record(before, Some(version.sha256().unwrap_or("unknown")), &what);
        Ok(Aim { name, target: Plan { from, to, hold, version, replaced, entries } })
    }

    /// What is there already, if it may be replaced.
    fn over(&self, to: &Spot, there: &Found, kind: FileType) -> Result<Version, Failure> {
        let path = text::quote_path(to.path());
        match there.kind() {
            FileType::RegularFile | FileType::Symlink if self.replace && kind != FileType::Directory => {
                Version::of(there)
            }
            FileType::RegularFile | FileType::Symlink if kind != FileType::Directory => {
                Err(Failure::Refused(format!("{path} exists, and nothing was moved; replace: true replaces it")))
            }
            _ => Err(Failure::Refused(format!(
                "{path} exists, and nothing was moved: only a file or a link is replaced, by another"
            ))),
        }
    }
}

impl Plan {
    fn carry_out(self) -> Result<Report, Failure> {
        let Self { from, to, hold, version, replaced, entries } = self;
        let note = from.rename(&to, &hold, &version, replaced.as_ref())?;
        Ok(Report {
            path: text::quote_path(from.path()),
            to: text::quote_path(to.path()),
            kind: version.kind().into(),
            sha256: version.sha256().map(str::to_owned),
            replaced: replaced.is_some(),
            sha256_replaced: replaced.as_ref().and_then(Version::sha256).map(str::to_owned),
            entries,
            note,
        })
    }
}
