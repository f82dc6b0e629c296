//! Which containers a scope reaches, as the operator says. Without a rule a scope reaches all; each part of a rule only narrows.

use std::collections::BTreeMap;

use super::{
    model::{Network, Summary},
    volume::is_predefined,
};
use crate::scope::Scope;

/// The rules, at most one a scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allow(pub Vec<(Scope, Rule)>);

/// Which containers: of one of these names, and with all of these labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Patterns (`*` for any text, `?` for any character), one of which has to fit. Without any, every name fits.
    pub names: Vec<String>,
    /// Labels, `key` or `key=value`, that it must have. Whoever makes a container gives it its labels, so that a label alone lets nobody
    /// at what the names do not.
    pub labels: Vec<String>,
}

impl Allow {
    /// Whether `scope` reaches this container. What may not even be seen is reached by none.
    pub fn permits(&self, scope: Scope, container: &Summary) -> bool {
        let permits = |wanted: Scope| {
            self.0.iter().filter(|(scope, _)| *scope == wanted).all(|(_, rule)| rule.permits(container))
        };
        permits(scope) && permits(Scope::DockerRead)
    }

    /// Whether what these containers use may be seen: it is of no container, or of one that may be seen itself.
    pub fn shows_what_is_of<'a>(&self, users: impl IntoIterator<Item = &'a Summary>) -> bool {
        let mut users = users.into_iter().peekable();
        users.peek().is_none() || users.any(|one| self.permits(Scope::DockerRead, one))
    }

    /// Whether this network may be seen, with `all` the containers there are. The Engine's own are nobody's.
    pub fn shows_network(&self, network: &Network, all: &[Summary]) -> bool {
        is_predefined(&network.name) || self.shows_what_is_of(all.iter().filter(|one| one.place_in(network).is_some()))
    }

    /// Whether a container of which nothing is known may be seen, and with it everything.
    pub fn shows_all(&self) -> bool {
        self.permits_new(Scope::DockerRead, "", &BTreeMap::new())
    }

    /// Whether `scope` reaches a container of this name and these labels, which is not there yet.
    pub fn permits_new(&self, scope: Scope, name: &str, labels: &BTreeMap<String, String>) -> bool {
        let container = Summary { names: vec![format!("/{name}")], labels: labels.clone(), ..Summary::default() };
        self.permits(scope, &container)
    }
}

impl Rule {
    fn permits(&self, container: &Summary) -> bool {
        // a container can have several names: each of them must be one that fits, or a second name would be a way around
        let fits = |name: &str| self.names.is_empty() || self.names.iter().any(|pattern| matches(pattern, name));
        let mut names = container.names.iter().map(|name| name.strip_prefix('/').unwrap_or(name)).peekable();
        let named = if names.peek().is_some() { names.all(fits) } else { self.names.is_empty() };
        named && self.labels.iter().all(|label| container.has_label(label))
    }
}

/// Whether `name` fits `pattern`, in time linear in both but for the stars.
pub fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // where the last star stands, and how far it reaches
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
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
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(names: &[&str], labels: &[(&str, &str)]) -> Summary {
        Summary {
            names: names.iter().map(|name| format!("/{name}")).collect(),
            labels: labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            ..Summary::default()
        }
    }

    #[test]
    fn patterns_fit_whole_names() {
        for (pattern, name, fits) in [
            ("web-*", "web-1", true),
            ("web-*", "web-", true),
            ("web-*", "my-web-1", false),
            ("*", "", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "xxaxxbxx", false),
            ("", "a", false),
            ("web", "web2", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
        assert!(!matches(&"*a".repeat(50), &"a".repeat(49)));
    }

    #[test]
    fn a_label_narrows_and_never_widens() {
        let allow = Allow(vec![(
            Scope::DockerControl,
            Rule { names: vec!["web-*".into()], labels: vec!["agent=yes".into(), "team".into()] },
        )]);
        let may =
            |names: &[&str], labels: &[(&str, &str)]| allow.permits(Scope::DockerControl, &container(names, labels));
        assert!(may(&["web-1"], &[("agent", "yes"), ("team", "")]));
        assert!(!may(&["web-1"], &[("agent", "no"), ("team", "")]));
        assert!(!may(&["web-1"], &[("agent", "yes")]));
        assert!(!may(&["db"], &[("agent", "yes"), ("team", "")]));
        assert!(!may(&["web-1", "db"], &[("agent", "yes"), ("team", "")]));
        assert!(!may(&[], &[("agent", "yes"), ("team", "")]));
        assert!(allow.permits(Scope::DockerDeploy, &container(&["db"], &[])), "no rule for it");
    }

    #[test]
    fn what_may_not_be_seen_may_not_be_acted_on() {
        let allow = Allow(vec![(Scope::DockerRead, Rule { names: vec!["web-*".into()], labels: vec![] })]);
        for scope in [Scope::DockerRead, Scope::DockerLogs, Scope::DockerControl, Scope::DockerDeploy] {
            assert!(allow.permits(scope, &container(&["web-1"], &[])));
            assert!(!allow.permits(scope, &container(&["db"], &[])), "{scope}");
        }
        let (seen, hidden) = (container(&["web-1"], &[]), container(&["db"], &[]));
        assert!(allow.shows_what_is_of([]) && allow.shows_what_is_of([&hidden, &seen]));
        assert!(!allow.shows_what_is_of([&hidden]));
    }
}
