//! Remove a file, a link or a directory.

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
    write::{Below, Hold, Spot, Version, survey},
};
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::{Action, Scope};

/// Remove a file, a link (not what it leads to) or an empty directory; one with content only if you say how many entries it holds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileRemove {
    /// Absolute, no link on the way, in a rw directory.
    path: String,
    /// Entries below the directory, at any depth; must be exact. All go with it.
    count: Option<usize>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    pub path: String,
    pub kind: Kind,
    /// Of a file of at most 64 MiB.
    pub sha256_before: Option<String>,
    /// Removed below a directory.
    pub entries: usize,
    /// What to know about it.
    pub note: Option<String>,
}

/// What is about to go.
#[derive(Debug)]
pub(crate) struct Plan {
    spot: Spot,
    hold: Hold,
    found: Found,
    version: Version,
    below: Option<Below>,
}

impl Acting for FileRemove {
    const NAME: &'static str = "file_remove";
    const TITLE: &'static str = "Remove a file or directory";
    const SCOPE: Scope = Scope::FilesWrite;
    const ACTIONS: &[Action] = &[Action::Remove];
    const LANE: Lane = Lane::Write;
    const DESTRUCTIVE: bool = true;
    const IDEMPOTENT: bool = false;
    const LOOK: &'static str = "look with `file_info`";
    const AUDITED: &'static [&'static str] = &["path", "count"];
    type Output = Report;
    type Target = Plan;

    async fn aim(&self, turn: &Turn) -> Result<Aim<Plan>, Failure> {
        let (jail, request) = (turn.jail(Self::SCOPE, Some(Action::Remove)), self.clone());
        turn.read(move |_| request.plan(&jail)).await
    }

    async fn act(self, turn: &Turn, plan: Plan) -> Result<Report, Failure> {
        turn.read(move |_| plan.carry_out()).await
    }
}

impl FileRemove {
    fn plan(&self, jail: &Jail) -> Result<Aim<Plan>, Failure> {
        let spot = jail.spot(&self.path)?;
        let hold = Hold::of(&[&spot])?;
        let found = spot.there()?;
        let path = text::quote_path(spot.path());
        let below = match (found.kind(), self.count) {
            (FileType::Directory, count) => Some(counted(&found, count)?),
            (FileType::RegularFile | FileType::Symlink, None) => None,
            (FileType::RegularFile | FileType::Symlink, Some(_)) => {
                return Err(Failure::Invalid(format!("{path} is no directory, and count is for those")));
            }
            _ => return Err(Failure::Forbidden(format!("{path} is no file, link or directory, and is not removed"))),
        };
        let version = Version::of(&found)?;
        let what = match below.as_ref().map(Below::count) {
            Some(count) => format!("{} and {count} entries below it", quoted(spot.path())),
            None => quoted(spot.path()),
        };
        let name = record(Some(version.sha256().unwrap_or("unknown")), None, &what);
        Ok(Aim { name, target: Plan { spot, hold, found, version, below } })
    }
}

/// What lies below a directory, if it is as much as the caller says.
fn counted(found: &Found, count: Option<usize>) -> Result<Below, Failure> {
    let below = survey(found, None)?;
    let path = text::quote_path(found.path());
    match (below.count(), count) {
        (0, None) => Ok(below),
        (all, Some(count)) if all == count => Ok(below),
        (all, None) => Err(Failure::Refused(format!(
            "{path} holds {all} entries, and nothing was removed; count: {all} removes it with all of them"
        ))),
        (all, Some(count)) => Err(Failure::Refused(format!(
            "{path} holds {all} entries and not {count}, and nothing was removed: look again"
        ))),
    }
}

impl Plan {
    fn carry_out(self) -> Result<Report, Failure> {
        let Self { spot, hold, found, version, below } = self;
        if let Some(below) = &below {
            below.remove(&found)?;
        }
        let note = spot.remove(&hold, &version)?;
        Ok(Report {
            path: text::quote_path(spot.path()),
            kind: version.kind().into(),
            sha256_before: version.sha256().map(str::to_owned),
            entries: below.map_or(0, |below| below.count()),
            note,
        })
    }
}
