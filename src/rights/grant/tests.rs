use super::*;

fn grants(of: &[&str]) -> Grants {
    Grants::new(of.iter().map(|text| text.parse().unwrap()).collect()).unwrap()
}

fn may(of: &[&str], scope: Scope, action: Option<Action>, name: &str) -> bool {
    grants(of).letting(scope, action, |pattern| matches(pattern, name)).is_some()
}

#[test]
fn a_grant_reads_as_it_is_written() {
    for text in [
        "system:read",
        "docker:read=web-*",
        "docker:logs=a.b_c-?",
        "docker:control",
        "docker:control(restart)",
        "docker:control(start,restart)=web-*",
        "docker:deploy=web",
        "docker:deploy(pull,prune)",
        "files:read=/",
        "files:write(edit)=/srv/my files/ä=b(c).conf",
    ] {
        let grant: Grant = text.parse().unwrap();
        assert_eq!(grant.to_string(), text);
        assert_eq!(ron::from_str::<Grant>(&ron::to_string(&grant).unwrap()).unwrap(), grant);
    }
    for (text, same) in [
        ("docker:control(restart, start,restart)", "docker:control(start,restart)"),
        ("docker:control(start,stop,restart,pause,unpause,kill)=a", "docker:control=a"),
        ("files:read=/srv//www/./", "files:read=/srv/www"),
    ] {
        assert_eq!(text.parse::<Grant>().unwrap().to_string(), same);
    }
}

#[test]
fn what_is_wrong_with_a_grant_is_told() {
    for (text, told) in [
        ("", "there is no scope \"\"; there is system:read"),
        ("root", "there is no scope \"root\""),
        (" docker:read", "there is no scope \" docker:read\""),
        ("docker:read(list)", "docker:read has no actions"),
        ("docker:control()", "docker:control has no action \"\"; it has start, stop, restart, pause, unpause, kill"),
        ("docker:control(reboot)=web", "docker:control has no action \"reboot\""),
        ("docker:control(Restart)", "no action \"Restart\""),
        ("docker:control(restart", "expected docker:control(ACTION"),
        ("docker:control(restart)web", "expected docker:control(ACTION"),
        ("docker:control(restart)(stop)", "expected docker:control(ACTION"),
        ("system:read=web", "system:read is about the whole machine"),
        (
            "docker:deploy(run,prune)=web",
            "prune of docker:deploy has no target: grant it by itself, docker:deploy(prune)",
        ),
        ("docker:deploy(pull)=", "pull of docker:deploy has no target"),
        ("docker:read=", "a container's name after docker:read="),
        ("docker:read=/web", "a container's name after docker:read="),
        ("docker:read=web,db", "a container's name after docker:read="),
        ("docker:read=wéb", "a container's name after docker:read="),
        ("files:read=", "an absolute path after files:read="),
        ("files:read=srv", "an absolute path after files:read="),
        ("files:read=/srv/../etc", "an absolute path after files:read="),
        ("files:read=/srv/*", "an absolute path after files:read="),
        ("files:read=/srv\n", "an absolute path after files:read="),
        ("files:read=/srv,docker:control", "an absolute path after files:read="),
        ("files:read=/srv/\u{202e}gnp", "an absolute path after files:read="),
        ("files:read=/srv/a\u{200b}b", "an absolute path after files:read="),
        ("files:read(write)=/srv", "files:read has no actions"),
        ("files:write(read)=/srv", "files:write has no action \"read\"; it has write, edit, create, move, remove"),
    ] {
        let error = text.parse::<Grant>().unwrap_err().to_string();
        assert!(error.contains(told), "{text}: {error}");
    }
    let long = format!("docker:read={}", "a".repeat(LONGEST_NAME + 1));
    assert!(long.parse::<Grant>().is_err());
    let error = Grants::new(vec![Scope::SystemRead.into(); MOST + 1]).unwrap_err().to_string();
    assert!(error.contains("at most 64 grants, and here are 65"), "{error}");
}

#[test]
fn grants_add_up_and_one_that_another_includes_is_not_kept() {
    for (of, kept) in [
        (&["docker:read", "docker:read=web"][..], "docker:read"),
        (&["docker:read=web", "docker:read"], "docker:read"),
        (&["files:read=/a", "docker:control(stop)", "docker:control(stop)=a"], "docker:control(stop), files:read=/a"),
        (
            &["docker:control(stop)=a", "docker:control=a", "docker:control(kill)"],
            "docker:control=a, docker:control(kill)",
        ),
        (&["docker:control(stop,kill)", "docker:control(stop)"], "docker:control(stop,kill)"),
        (&[], ""),
    ] {
        assert_eq!(grants(of).to_string(), kept);
    }
    assert_eq!(Grants::all().to_string().split(", ").count(), Scope::ALL.len());
    assert!(Grants::usual().iter().all(|grant| grant.scope().is_read_only()));
}

/// What is printed is the language: each is read back, alone and in a list.
#[test]
fn a_list_of_grants_is_read_back_as_it_is_printed() {
    let all =
        grants(&["files:read=/srv/a b", "docker:control(start,stop)=a-?", "system:read", "files:write(edit,move)=/x"]);
    let mut rest = all.to_string();
    for grant in all.iter() {
        let printed = grant.to_string();
        assert!(rest.starts_with(&printed) && printed.parse::<Grant>().unwrap() == *grant, "{rest}");
        rest = rest[printed.len()..].trim_start_matches(", ").to_owned();
    }
    assert_eq!(rest, "");
}

#[test]
fn a_grant_lets_pass_what_it_says_and_nothing_else() {
    use Action::*;
    let restarts = ["docker:control(restart)=web-*"];
    assert!(may(&restarts, Scope::DockerControl, Some(Restart), "web-1"));
    assert!(!may(&restarts, Scope::DockerControl, Some(Stop), "web-1"));
    assert!(!may(&restarts, Scope::DockerControl, Some(Restart), "db"));
    assert!(!may(&restarts, Scope::DockerRead, None, "web-1"));
    assert!(!may(&restarts, Scope::DockerDeploy, Some(Remove), "web-1"));
    let both = ["docker:control(restart)=web-*", "docker:control(stop)=db"];
    assert!(
        may(&both, Scope::DockerControl, Some(Stop), "db") && !may(&both, Scope::DockerControl, Some(Stop), "web-1")
    );
    // what is done to no container is not part of a grant for some of them
    let deploys = ["docker:deploy=web-*"];
    assert!(may(&deploys, Scope::DockerDeploy, Some(Update), "web-1"));
    for action in [Pull, RemoveImage, Prune] {
        assert!(!may(&deploys, Scope::DockerDeploy, Some(action), "web-1"), "{action:?}");
        assert!(may(&["docker:deploy"], Scope::DockerDeploy, Some(action), ""), "{action:?}");
    }
    assert_eq!(grants(&deploys).among(Scope::DockerDeploy, &[Prune, Pull, Run]), [Run]);
    // where there are actions, no action is none of them
    assert!(!may(&["docker:control"], Scope::DockerControl, None, "web-1"));
}

#[test]
fn a_reach_puts_down_by_which_grants_and_says_which_there_are_instead() {
    let used = Arc::new(Used::default());
    let held = grants(&["docker:control(restart)=web-*", "docker:control(stop)=db", "docker:read=logs-*"]);
    let reach = Reach::of(held, Scope::DockerControl, Arc::clone(&used));
    let at = |name: &'static str| move |pattern: &str| matches(pattern, name);
    let check = |action, name| reach.check(Scope::DockerControl, Some(action), &name, at(name));
    let refused = check(Action::Restart, "db").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "you hold no grant of docker:control(restart) for db; you hold docker:control(stop)=db, docker:control(restart)=web-*"
    );
    assert_eq!((refused.kind(), used.grants().len()), ("not_granted", 0));
    check(Action::Stop, "db").unwrap();
    check(Action::Restart, "web-1").unwrap();
    check(Action::Restart, "web-2").unwrap();
    assert_eq!(list(used.grants().iter()), "docker:control(stop)=db, docker:control(restart)=web-*");
    assert!(reach.sees(Scope::DockerRead, at("logs-1")) && reach.sees(Scope::DockerRead, at("db")));
    assert!(!reach.sees(Scope::DockerRead, at("other")));
    // it is for one scope, and for no other that the caller holds too
    assert!(!reach.permits(Scope::DockerRead, None, at("logs-1")));
    let pulls = Reach::of(grants(&["docker:deploy(pull)"]), Scope::DockerDeploy, Arc::default());
    assert!(!pulls.sees(Scope::DockerRead, at("db")));
    assert!(pulls.permits(Scope::DockerDeploy, Some(Action::Pull), |_| false));
    assert_eq!(reach.targets(Some(Action::Stop)), Some(vec!["db"]));
    let everywhere = Reach::everywhere();
    assert!(everywhere.permits(Scope::DockerDeploy, Some(Action::Prune), at("")) && everywhere.targets(None).is_none());
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
        ("ä?*", "äöü", true),
        ("?", "ö", true),
        ("?", "öö", false),
    ] {
        assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
    }
    assert!(!matches(&"*a".repeat(50), &"a".repeat(49)));
}
