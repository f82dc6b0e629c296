//! What a caller holds: grants, each a scope, and of it some actions, and on some targets alone.
//!
//! ```text
//! docker:control                      all of it, on every container
//! docker:control(restart,stop)        two of its actions
//! docker:control(restart)=web-*       one of them, on containers of such a name
//! files:read=/srv/www                 a directory and what is below it, or a file
//! ```
//!
//! Grants add up, and never go beyond what the configuration allows everybody. What one of them allows is decided here alone
//! ([`Grants::allowing`]), for every path: the tools that are listed, what is found by name, what a list shows, which callers share an answer.

use std::{
    collections::BTreeSet,
    fmt,
    path::{Component, Path, PathBuf},
    str::FromStr,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::scope::{Action, Scope, Targets, UnknownScope};
use kernel::failure::Failure;

/// The most that one caller holds.
pub const MOST: usize = 64;

/// The longest name of a container that a grant can have, in bytes: the longest that Docker lets be found by DNS, and more.
const LONGEST_NAME: usize = 255;

/// The longest that an error quotes, in characters.
const QUOTED: usize = 64;

/// The longest path, in bytes: PATH_MAX without its zero.
const LONGEST_PATH: usize = 4095;

/// A scope, and of it only these actions, and only on these targets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Grant {
    scope: Scope,
    /// In the scope's order. Empty: all that there are.
    actions: Vec<Action>,
    /// A container's name, in which `*` stands for any text and `?` for a character; or an absolute path. `None`: every one.
    target: Option<Arc<str>>,
}

/// What is wrong with the text of a grant.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Its first word.
    #[error(transparent)]
    Scope(#[from] UnknownScope),
    /// A scope that is allowed or not, as a whole.
    #[error("{0} has no actions to choose from: write {0} alone, or with a target")]
    NoActions(Scope),
    /// No action of this scope.
    #[error("{scope} has no action {action:?}; it has {}", names(scope.actions()))]
    Action {
        /// The scope.
        scope: Scope,
        /// What stands there.
        action: String,
    },
    /// `(` without `)`, or something between `)` and `=`.
    #[error("expected {0}(ACTION,…) or {0}(ACTION,…)=TARGET, with nothing after the ) but =")]
    Parentheses(Scope),
    /// A scope that is about the machine as a whole.
    #[error("{0} is about the whole machine and has no target")]
    NoTarget(Scope),
    /// An action that is done to no target.
    #[error("{action} of {scope} has no target: grant it by itself, {scope}({action})", action = .action.name())]
    Untargeted {
        /// The scope.
        scope: Scope,
        /// The action.
        action: Action,
    },
    /// Not the name of a container.
    #[error(
        "expected a container's name after {0}=: letters, digits, _ . and -, with * for any text and ? for one character"
    )]
    Name(Scope),
    /// Not a path.
    #[error("expected an absolute path after {0}=, without .. and without , * or ?: it means what is below it as well")]
    Path(Scope),
}

/// More than [`MOST`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a caller holds at most {MOST} grants, and here are {0}: take wider ones, or patterns")]
pub struct TooMany(usize);

impl Grant {
    /// Its scope.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Its target; `None` is all.
    pub fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// Whether it is all of its scope, everywhere.
    pub fn is_whole(&self) -> bool {
        self.actions.is_empty() && self.target.is_none()
    }

    /// Whether it allows this action, on some target.
    pub fn allows(&self, action: Option<Action>) -> bool {
        match action {
            // where there are actions, one has to be named
            None => self.scope.actions().is_empty(),
            Some(action) if self.target.is_some() && !action.has_target() => false,
            Some(action) => self.actions.is_empty() || self.actions.contains(&action),
        }
    }

    /// Whether any of it is done to targets. Who may pull images need not know what containers there are.
    fn is_about_targets(&self) -> bool {
        self.actions.is_empty() || self.actions.iter().any(|action| action.has_target())
    }

    /// Whether it allows all that `other` does.
    pub fn includes(&self, other: &Self) -> bool {
        self.scope == other.scope
            && (self.target.is_none() || self.target == other.target)
            && (self.actions.is_empty()
                || !other.actions.is_empty() && other.actions.iter().all(|action| self.actions.contains(action)))
    }
}

impl From<Scope> for Grant {
    /// The whole of it.
    fn from(scope: Scope) -> Self {
        Self { scope, actions: vec![], target: None }
    }
}

impl FromStr for Grant {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let end = text.find(['(', '=']).unwrap_or(text.len());
        // an error quotes it, and needs no more of it
        let word: String = text[..end].chars().take(QUOTED).collect();
        let scope: Scope = word.parse()?;
        let (actions, rest) = match text[end..].strip_prefix('(') {
            None => (vec![], &text[end..]),
            Some(_) if scope.actions().is_empty() => return Err(Wrong::NoActions(scope)),
            Some(rest) => {
                let (list, rest) = rest.split_once(')').ok_or(Wrong::Parentheses(scope))?;
                (actions(scope, list)?, rest)
            }
        };
        let target = match rest.strip_prefix('=') {
            Some(target) => Some(self::target(scope, &actions, target)?),
            None if rest.is_empty() => None,
            None => return Err(Wrong::Parentheses(scope)),
        };
        Ok(Self { scope, actions, target })
    }
}

fn actions(scope: Scope, list: &str) -> Result<Vec<Action>, Wrong> {
    let known = |word: &str| {
        let found = scope.actions().iter().copied().find(|action| action.name() == word);
        found.ok_or_else(|| Wrong::Action { scope, action: word.chars().take(QUOTED).collect() })
    };
    let given = list.split(',').map(|word| known(word.trim())).collect::<Result<Vec<_>, _>>()?;
    let all = scope.actions().iter().copied().filter(|action| given.contains(action));
    Ok(if given.len() < scope.actions().len() || all.clone().count() < scope.actions().len() {
        all.collect()
    } else {
        vec![]
    })
}

fn target(scope: Scope, actions: &[Action], text: &str) -> Result<Arc<str>, Wrong> {
    if let Some(action) = actions.iter().copied().find(|action| !action.has_target()) {
        return Err(Wrong::Untargeted { scope, action });
    }
    match scope.targets() {
        Targets::None => Err(Wrong::NoTarget(scope)),
        Targets::Containers => {
            let fits = |c: char| c.is_ascii_alphanumeric() || "_.-*?".contains(c);
            let is_name = (1..=LONGEST_NAME).contains(&text.len()) && text.chars().all(fits);
            is_name.then(|| text.into()).ok_or(Wrong::Name(scope))
        }
        Targets::Paths => {
            // it is printed in lists and on terminals
            let is_plain = text.len() <= LONGEST_PATH
                && !text.contains([',', '*', '?'])
                && redact::clean(text, usize::MAX) == text;
            let path = absolute(Path::new(text)).filter(|_| is_plain);
            path.and_then(|path| path.to_str().map(Arc::from)).ok_or(Wrong::Path(scope))
        }
    }
}

/// The path without what stands in it for nothing. `None`: it is relative or climbs.
pub fn absolute(path: &Path) -> Option<PathBuf> {
    let climbs = path.components().any(|part| part == Component::ParentDir);
    (path.is_absolute() && !climbs).then(|| path.components().collect())
}

fn names(actions: &[Action]) -> String {
    actions.iter().map(|action| action.name()).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.scope.name())?;
        if !self.actions.is_empty() {
            write!(f, "({})", names(&self.actions).replace(' ', ""))?;
        }
        self.target.as_deref().map_or(Ok(()), |target| write!(f, "={target}"))
    }
}

impl From<Grant> for String {
    fn from(grant: Grant) -> Self {
        grant.to_string()
    }
}

impl TryFrom<String> for Grant {
    type Error = Wrong;

    fn try_from(text: String) -> Result<Self, Wrong> {
        text.parse()
    }
}

/// Of each scope the actions that are allowed on some target.
pub type Powers = Vec<(Scope, Vec<Action>)>;

/// All that a caller holds: by scope, none that another one includes. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Vec<Grant>", into = "Vec<Grant>")]
pub struct Grants(Arc<[Grant]>);

impl Grants {
    /// These, up to [`MOST`].
    pub fn new(given: Vec<Grant>) -> Result<Self, TooMany> {
        if given.len() > MOST {
            return Err(TooMany(given.len()));
        }
        let mut kept: Vec<Grant> = vec![];
        for grant in given {
            if !kept.iter().any(|other| other.includes(&grant)) {
                kept.retain(|other| !grant.includes(other));
                kept.push(grant);
            }
        }
        kept.sort();
        Ok(Self(kept.into()))
    }

    /// Every scope as a whole.
    pub fn all() -> Self {
        Scope::ALL.iter().copied().collect()
    }

    /// All tools that only read: what a trial, a stdio client and a token get unless told otherwise. Who wants the page for Prometheus says so.
    pub fn usual() -> Self {
        Scope::ALL.iter().copied().filter(|scope| scope.is_read_only() && *scope != Scope::MetricsRead).collect()
    }

    /// Whether any of this scope is among them.
    pub fn contain(&self, scope: Scope) -> bool {
        self.of(scope).next().is_some()
    }

    /// Those of one scope.
    pub fn of(&self, scope: Scope) -> impl Iterator<Item = &Grant> {
        self.0.iter().filter(move |grant| grant.scope == scope)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Grant> {
        self.0.iter()
    }

    /// Those that allow this action of the scope; without an action, those of a scope that has none.
    pub fn allowing(&self, scope: Scope, action: Option<Action>) -> impl Iterator<Item = &Grant> {
        self.of(scope).filter(move |grant| grant.allows(action))
    }

    /// The one that allows the action on what `fits` its target.
    pub fn letting(&self, scope: Scope, action: Option<Action>, fits: impl Fn(&str) -> bool) -> Option<&Grant> {
        self.allowing(scope, action).find(|grant| grant.target().is_none_or(&fits))
    }

    /// Those of `actions` that are allowed on some target.
    pub fn among(&self, scope: Scope, actions: &[Action]) -> Vec<Action> {
        actions.iter().copied().filter(|action| self.allowing(scope, Some(*action)).next().is_some()).collect()
    }

    /// What decides which tools there are for the caller.
    pub fn powers(&self) -> Powers {
        let held = Scope::ALL.iter().copied().filter(|scope| self.contain(*scope));
        held.map(|scope| (scope, self.among(scope, scope.actions()))).collect()
    }

    /// Those that `keep` says.
    pub fn only(&self, keep: impl Fn(&Grant) -> bool) -> Self {
        if self.iter().all(&keep) { self.clone() } else { Self(self.iter().filter(|one| keep(one)).cloned().collect()) }
    }
}

impl FromIterator<Scope> for Grants {
    /// The whole of each.
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let scopes: BTreeSet<Scope> = scopes.into_iter().collect();
        Self(scopes.into_iter().map(Grant::from).collect())
    }
}

impl TryFrom<Vec<Grant>> for Grants {
    type Error = TooMany;

    fn try_from(grants: Vec<Grant>) -> Result<Self, TooMany> {
        Self::new(grants)
    }
}

impl From<Grants> for Vec<Grant> {
    fn from(grants: Grants) -> Self {
        grants.0.to_vec()
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&list(self.iter()))
    }
}

/// In words, as one reads them: no grant has a comma but within its parentheses.
pub fn list<'a>(grants: impl Iterator<Item = &'a Grant>) -> String {
    grants.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The grants by which a call reached what it is about, for its record.
#[derive(Debug, Default)]
pub struct Used(Mutex<BTreeSet<Grant>>);

impl Used {
    /// All of them. None for a call about no one thing.
    pub fn grants(&self) -> BTreeSet<Grant> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, grant: &Grant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(grant.clone());
    }
}

/// How far a caller's grants reach in one scope, for the time of a call.
#[derive(Clone, Debug)]
pub struct Reach(Option<Held>);

#[derive(Clone, Debug)]
struct Held {
    scope: Scope,
    grants: Grants,
    used: Arc<Used>,
}

impl Reach {
    /// Everywhere: for what the server does of itself.
    pub fn everywhere() -> Self {
        Self(None)
    }

    /// As far as these do. `used` is told by which of them.
    pub fn of(grants: Grants, scope: Scope, used: Arc<Used>) -> Self {
        Self(Some(Held { scope, grants, used }))
    }

    /// Whether the action of `scope`, which is the one that this is for, is allowed on what `fits` the target of a grant.
    pub fn permits(&self, scope: Scope, action: Option<Action>, fits: impl Fn(&str) -> bool) -> bool {
        let Some(held) = &self.0 else { return true };
        held.scope == scope && held.grants.letting(scope, action, fits).is_some()
    }

    /// Whether the caller may know of what `fits`: it may read it, or do something to it.
    pub fn sees(&self, reading: Scope, fits: impl Fn(&str) -> bool) -> bool {
        let Some(Held { scope, grants, .. }) = &self.0 else { return true };
        let of = |grant: &&Grant| [*scope, reading].contains(&grant.scope) && grant.is_about_targets();
        grants.iter().filter(of).any(|grant| grant.target().is_none_or(&fits))
    }

    /// Allows what a call is about, and puts down by which grant; or says which ones there are instead. `what` is that thing as the caller
    /// knows it.
    pub fn check(
        &self,
        scope: Scope,
        action: Option<Action>,
        what: &dyn fmt::Display,
        fits: impl Fn(&str) -> bool,
    ) -> Result<(), Failure> {
        let Some(held) = &self.0 else { return Ok(()) };
        if let Some(grant) = held.grants.letting(scope, action, fits).filter(|_| held.scope == scope) {
            held.used.add(grant);
            return Ok(());
        }
        let wanted = action.map_or_else(|| scope.to_string(), |action| format!("{scope}({})", action.name()));
        Err(Failure::NotGranted(format!("you hold no grant of {wanted} for {what}; you hold {}", self.list())))
    }

    /// The targets of the grants that allow this action. `None`: everything.
    pub fn targets(&self, action: Option<Action>) -> Option<Vec<&str>> {
        let held = self.0.as_ref()?;
        held.grants.allowing(held.scope, action).map(Grant::target).collect()
    }

    /// What is held of the scope, in words.
    pub fn list(&self) -> String {
        self.0.as_ref().map(|held| list(held.grants.of(held.scope))).unwrap_or_default()
    }
}

/// Whether `name` fits `pattern` (`*` for any text, `?` for one character), in time linear in both but for the stars.
pub fn matches(pattern: &str, name: &str) -> bool {
    if pattern.is_ascii() && name.is_ascii() {
        return glob(pattern.as_bytes(), name.as_bytes(), b'*', b'?');
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    glob(&pattern, &name, '*', '?')
}

fn glob<T: Copy + PartialEq>(pattern: &[T], name: &[T], any: T, one: T) -> bool {
    let (mut p, mut n) = (0, 0);
    // where the last star stands, and how far it reaches
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(c) if *c == any => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == one || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match &mut star {
                Some((at, reach)) => {
                    *reach += 1;
                    (p, n) = (*at + 1, *reach);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == any)
}

#[cfg(test)]
mod tests;
