//! Which containers a call reaches: as far as the operator's rules go, and of that as far as its caller's grants do. Without a rule a scope
//! reaches all; each part of a rule only narrows.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use super::{
    model::{Network, Summary},
    volume::is_predefined,
};
use kernel::failure::Failure;
use rights::{
    grant::{Reach, matches},
    scope::{Action, Scope},
};

/// The rules, and how far the caller's grants reach.
#[derive(Clone, Debug)]
pub struct Allow {
    rules: Arc<Rules>,
    reach: Reach,
}

/// The operator's rules. Of several for one scope each has to permit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(pub Vec<(Scope, Rule)>);

/// Which containers: of one of these names, and with all of these labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// Patterns (`*` for any text, `?` for any character), one of which has to fit. Without any, every name fits.
    pub names: Vec<String>,
    /// Labels, `key` or `key=value`, that it must have. Whoever makes a container gives it its labels, so that a label alone lets nobody
    /// at what the names do not.
    pub labels: Vec<String>,
}

impl From<Rules> for Allow {
    /// For everybody whom the rules let.
    fn from(rules: Rules) -> Self {
        Self { rules: Arc::new(rules), reach: Reach::everywhere() }
    }
}

impl Default for Allow {
    /// Everything, for everybody.
    fn default() -> Self {
        Rules::default().into()
    }
}

impl Allow {
    /// Of this, as far as these grants reach.
    pub fn within(&self, reach: Reach) -> Self {
        Self { rules: Arc::clone(&self.rules), reach }
    }

    /// Whether this container may be known of: by the rules for reading, and as one that the caller may read or do something to.
    pub fn sees(&self, container: &Summary) -> bool {
        self.rules.permit(Scope::DockerRead, container)
            && self.reach.sees(Scope::DockerRead, |pattern| container.names_fit(|name| matches(pattern, name)))
    }

    /// Whether `action` of `scope` (`None`: anything) may be done to this container. What may not even be seen is reached by none.
    pub fn permits(&self, scope: Scope, action: Option<Action>, container: &Summary) -> bool {
        let fits = |pattern: &str| container.names_fit(|name| matches(pattern, name));
        self.rules.permit(scope, container) && self.sees(container) && self.reach.permits(scope, action, fits)
    }

    /// The same for the one container that a call is about. Says why not.
    pub fn check(&self, scope: Scope, action: Option<Action>, container: &Summary) -> Result<(), Failure> {
        let name = container.name();
        if !self.rules.reach(scope, container) {
            return Err(Failure::Forbidden(format!(
                "the configuration does not allow {scope} on the container {name}: docker.allow says on which"
            )));
        }
        let fits = |pattern: &str| container.names_fit(|name| matches(pattern, name));
        self.reach.check(scope, action, &format_args!("the container {name}"), fits)
    }

    /// The Engine's words, without the names and ids of containers where the caller may not see all: they can be of any.
    pub fn without_others<'a>(&self, words: &'a str) -> Cow<'a, str> {
        if self.shows_all() {
            return Cow::Borrowed(words);
        }
        let mut before = "";
        let hidden = words.split(' ').map(|word| {
            // as the Engine writes names: behind these words, with a slash before, or as `name:"…"`
            let is_name = word.contains("name:")
                || matches!(before, "container:" | "containers:" | "AS")
                || matches!(before, "to" | "container" | "with") && word.trim_start_matches('"').starts_with('/');
            before = word;
            if is_name { "…".to_owned() } else { without_ids(word) }
        });
        Cow::Owned(hidden.collect::<Vec<_>>().join(" "))
    }

    /// Whether what these containers use may be seen: it is of no container, or of one that may be seen itself.
    pub fn shows_what_is_of<'a>(&self, users: impl IntoIterator<Item = &'a Summary>) -> bool {
        let mut users = users.into_iter().peekable();
        users.peek().is_none() || users.any(|one| self.sees(one))
    }

    /// Whether this network may be seen, with `all` the containers there are. The Engine's own are nobody's.
    pub fn shows_network(&self, network: &Network, all: &[Summary]) -> bool {
        is_predefined(&network.name) || self.shows_what_is_of(all.iter().filter(|one| one.place_in(network).is_some()))
    }

    /// Whether a container of which nothing is known may be seen, and with it everything.
    pub fn shows_all(&self) -> bool {
        self.sees(&new("", &BTreeMap::new()))
    }

    /// Whether a container of this name and these labels may be seen, which may be gone.
    pub fn sees_one(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.sees(&new(name, labels))
    }

    /// Whether a container of this name and these labels may be made. Says why not.
    pub fn check_new(&self, name: &str, labels: &BTreeMap<String, String>) -> Result<(), Failure> {
        let (scope, container) = (Scope::DockerDeploy, new(name, labels));
        if !self.rules.reach(scope, &container) {
            return Err(Failure::Forbidden(format!(
                "the configuration does not allow {scope} to make a container of this name and these labels: docker.allow says which"
            )));
        }
        let fits = |pattern: &str| matches(pattern, name);
        self.reach.check(scope, Some(Action::Run), &format_args!("a container {name}"), fits)
    }
}

/// A word without what can be the id of a container: twelve hexadecimal digits or more in a row.
fn without_ids(word: &str) -> String {
    let mut kept = String::with_capacity(word.len());
    let mut rest = word;
    while let Some(at) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let length = rest[at..].find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len() - at);
        kept += &rest[..at];
        kept += if length >= 12 { "…" } else { &rest[at..at + length] };
        rest = &rest[at + length..];
    }
    kept + rest
}

/// One that is not there.
fn new(name: &str, labels: &BTreeMap<String, String>) -> Summary {
    Summary { names: vec![format!("/{name}")], labels: labels.clone(), ..Summary::default() }
}

impl Rules {
    /// Whether the rule of this very scope, if it has one, permits it.
    fn permit(&self, wanted: Scope, container: &Summary) -> bool {
        self.0.iter().filter(|(scope, _)| *scope == wanted).all(|(_, rule)| rule.permits(container))
    }

    fn reach(&self, scope: Scope, container: &Summary) -> bool {
        self.permit(scope, container) && self.permit(Scope::DockerRead, container)
    }
}

impl Rule {
    fn permits(&self, container: &Summary) -> bool {
        let fits = |name: &str| self.names.iter().any(|pattern| matches(pattern, name));
        (self.names.is_empty() || container.names_fit(fits))
            && self.labels.iter().all(|label| container.has_label(label))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rights::grant::Grants;

    fn container(names: &[&str], labels: &[(&str, &str)]) -> Summary {
        Summary {
            names: names.iter().map(|name| format!("/{name}")).collect(),
            labels: labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
            ..Summary::default()
        }
    }

    #[test]
    fn a_label_narrows_and_never_widens() {
        let allow = Allow::from(Rules(vec![(
            Scope::DockerControl,
            Rule { names: vec!["web-*".into()], labels: vec!["agent=yes".into(), "team".into()] },
        )]));
        let may = |names: &[&str], labels: &[(&str, &str)]| {
            allow.permits(Scope::DockerControl, Some(Action::Stop), &container(names, labels))
        };
        assert!(may(&["web-1"], &[("agent", "yes"), ("team", "")]));
        assert!(!may(&["web-1"], &[("agent", "no"), ("team", "")]));
        assert!(!may(&["web-1"], &[("agent", "yes")]));
        assert!(!may(&["db"], &[("agent", "yes"), ("team", "")]));
        assert!(!may(&["web-1", "db"], &[("agent", "yes"), ("team", "")]));
        assert!(!may(&[], &[("agent", "yes"), ("team", "")]));
        assert!(allow.permits(Scope::DockerDeploy, None, &container(&["db"], &[])), "no rule for it");
    }

    #[test]
    fn what_may_not_be_seen_may_not_be_acted_on() {
        let allow = Allow::from(Rules(vec![(Scope::DockerRead, Rule { names: vec!["web-*".into()], labels: vec![] })]));
        for scope in [Scope::DockerRead, Scope::DockerLogs, Scope::DockerControl, Scope::DockerDeploy] {
            assert!(allow.permits(scope, None, &container(&["web-1"], &[])));
            assert!(!allow.permits(scope, None, &container(&["db"], &[])), "{scope}");
        }
        let (seen, hidden) = (container(&["web-1"], &[]), container(&["db"], &[]));
        assert!(allow.shows_what_is_of([]) && allow.shows_what_is_of([&hidden, &seen]));
        assert!(!allow.shows_what_is_of([&hidden]));
    }

    #[test]
    fn the_engines_words_name_no_container_to_who_may_not_see_all() {
        let id = "c3334f6e0011c3334f6e0011c3334f6e0011c3334f6e0011c3334f6e0011c333";
        let words = format!(
            "Cannot link to a non running container: /atk-old AS /web/db; cannot join network of a non running container: {id}; \
             has dependent containers which must be removed before it: {id},{id}; exec: \"/bin/x\": no such file; \
             network n has active endpoints (name:\"atk-old\" id:\"c3334f6e0011\"); Cannot link to /atk-old, as it is elsewhere; \
             /var/lib/docker/containers/{id}/hostname; container init failed with error 1"
        );
        assert_eq!(Allow::default().without_others(&words), words);
        let rule = Rule { names: vec!["web".into()], labels: vec![] };
        let some = Allow::from(Rules(vec![(Scope::DockerRead, rule)]));
        let told = some.without_others(&words);
        assert!(!told.contains("atk-old") && !told.contains("web/db") && !told.contains(id), "{told}");
        assert!(!told.contains("c3334f6e0011") && told.contains("container init failed with error 1"), "{told}");
        assert!(told.contains("Cannot link to a non running container: …") && told.contains("/bin/x"), "{told}");
    }

    /// Every way of narrowing, and the two together: what both let is reached, and nothing else.
    #[test]
    fn grants_and_rules_narrow_one_another() {
        let grants = |of: &[&str]| Grants::new(of.iter().map(|text| text.parse().unwrap()).collect()).unwrap();
        let rules = |scope| Rules(vec![(scope, Rule { names: vec!["web-*".into(), "db".into()], labels: vec![] })]);
        for scope in [Scope::DockerRead, Scope::DockerControl] {
            let allow = Allow::from(rules(scope));
            let held = grants(&["docker:control(restart)=web-?", "docker:control(stop)=mail"]);
            let allow = allow.within(Reach::of(held, Scope::DockerControl, Arc::default()));
            let may = |action, name| allow.check(Scope::DockerControl, Some(action), &container(&[name], &[])).is_ok();
            assert!(may(Action::Restart, "web-1"), "{scope}");
            for (action, name) in [
                (Action::Stop, "web-1"),
                (Action::Restart, "web-10"),
                (Action::Restart, "db"),
                (Action::Stop, "mail"),
                (Action::Restart, "mail"),
            ] {
                assert!(!may(action, name), "{scope}: {action:?} {name}");
            }
            assert!(!allow.sees(&container(&["db"], &[])) && allow.sees(&container(&["web-1"], &[])));
            // a second name is no way around, and what `--link` calls it is none of its own
            assert!(allow.sees(&container(&["web-1", "db/web"], &[])) && !allow.sees(&container(&["db/web-1"], &[])));
            assert!(!allow.permits(Scope::DockerControl, Some(Action::Restart), &container(&["web-1", "db"], &[])));
            assert!(!allow.sees(&container(&[], &[])) && !allow.shows_all());
        }
    }
}
