//! Make a directory.

use std::{
    ffi::OsString,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::FileType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::change::{permissions, quoted};
use crate::tool::{Acting, Aim, Turn};
use jail::Jail;
use kernel::failure::Failure;
use lanes::lane::Lane;
use rights::scope::{Action, Scope};

/// Permissions of a new directory.
const MODE: u32 = 0o755;

/// Directories that one call makes.
const MOST: usize = 32;

/// Make a directory. One that is there already is left as it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DirectoryCreate {
    /// Absolute, no link in it, in a rw directory.
    path: String,
    /// Octal, default 755; of all that are made.
    mode: Option<String>,
    /// Make those above it, too.
    #[serde(default)]
    parents: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    pub path: String,
    /// Those that were made, the highest first; none if it was there.
    pub created: Vec<String>,
}

impl Acting for DirectoryCreate {
    const NAME: &'static str = "directory_create";
    const TITLE: &'static str = "Make a directory";
    const SCOPE: Scope = Scope::FilesWrite;
    const ACTIONS: &[Action] = &[Action::Create];
    const LANE: Lane = Lane::Write;
    const DESTRUCTIVE: bool = false;
    const IDEMPOTENT: bool = true;
    const LOOK: &'static str = "look with `directory`";
    const AUDITED: &'static [&'static str] = &["path", "mode", "parents"];
    type Output = Report;
    /// Those to be made, the highest last.
    type Target = Vec<PathBuf>;

    async fn aim(&self, turn: &Turn) -> Result<Aim<Vec<PathBuf>>, Failure> {
        let (jail, request) = (turn.jail(Self::SCOPE, Some(Action::Create)), self.clone());
        turn.read(move |_| request.plan(&jail)).await
    }

    async fn act(self, turn: &Turn, missing: Vec<PathBuf>) -> Result<Report, Failure> {
        let jail = turn.jail(Self::SCOPE, Some(Action::Create));
        turn.read(move |_| self.make(&jail, missing)).await
    }
}

impl DirectoryCreate {
    fn plan(&self, jail: &Jail) -> Result<Aim<Vec<PathBuf>>, Failure> {
        self.mode.as_deref().map(permissions).transpose()?;
        let missing = self.missing(jail)?;
        let names: Vec<String> = missing.iter().rev().map(|path| quoted(path)).collect();
        let name = if names.is_empty() { "nothing: it is there".to_owned() } else { names.join(" ") };
        Ok(Aim { name, target: missing })
    }

    /// What is asked for, whose parents may be asked for as well.
    fn path(&self) -> PathBuf {
        OsString::from_vec(text::unquote(&self.path)).into()
    }

    fn missing(&self, jail: &Jail) -> Result<Vec<PathBuf>, Failure> {
        let (mut missing, mut path) = (vec![], self.path());
        while missing.len() < MOST {
            let above = path.parent().map(Path::to_owned);
            match (jail.spot(&text::quote_path(&path)), above) {
                (Ok(spot), _) => {
                    match spot.now()? {
                        None => missing.push(spot.path().to_owned()),
                        Some(found) if found.kind() == FileType::Directory => (),
                        Some(_) => {
                            let path = text::quote_path(spot.path());
                            return Err(Failure::Refused(format!("{path} exists and is no directory")));
                        }
                    }
                    return Ok(missing);
                }
                (Err(Failure::NotFound(_)), Some(above)) if self.parents => {
                    missing.push(std::mem::replace(&mut path, above));
                }
                (Err(Failure::NotFound(what)), _) => {
                    return Err(Failure::NotFound(format!("{what} (parents: true would make it)")));
                }
                (Err(failure), _) => return Err(failure),
            }
        }
        Err(Failure::Invalid(format!("more than {MOST} directories would have to be made")))
    }

    fn make(&self, jail: &Jail, missing: Vec<PathBuf>) -> Result<Report, Failure> {
        let mode = self.mode.as_deref().map_or(Ok(MODE), permissions)?;
        let mut created: Vec<String> = vec![];
        for path in missing.into_iter().rev() {
            let made = jail.spot(&text::quote_path(&path)).and_then(|spot| spot.make_directory(mode));
            made.map_err(|failure| match created.last() {
                Some(last) => Failure::Refused(format!("{failure}; those down to {last} were made")),
                None => failure,
            })?;
            created.push(text::quote_path(&path));
        }
        Ok(Report { path: text::quote_path(&self.path()), created })
    }
}
