//! What a new configuration takes away from the one in force, and nothing that it gives.

use std::{cmp::Reverse, path::Path};

use super::{Files, Settings};
use engine::{self, Socket, allow::Rules};
use jail::{Access, Allowed, Deny, Trace};

impl Settings {
    /// These settings without what `new` takes away of them. Only what callers can reach is looked at: Docker, files, and by which names
    /// this server is called.
    pub(super) fn without_what_is_taken_by(&mut self, new: &Self) {
        // taken apart without `..`: a new key has to say here whether it opens something to callers
        let Self {
            allowed_hosts,
            allowed_origins,
            docker: new_docker,
            files: new_files,
            // these wait for a restart
            file: _,
            listeners: _,
            state_directory: _,
            root: _,
            tokens: _,
            audit: _,
            log: _,
            // a trial's
            grants: _,
            // they open nothing
            limits: _,
        } = new;
        self.allowed_hosts = common(&self.allowed_hosts, allowed_hosts, |host, other| {
            other.strip_prefix(host).is_some_and(|port| port.starts_with(':') && !host.contains(':'))
        });
        self.allowed_origins = common(&self.allowed_origins, allowed_origins, |origin, other| {
            let any = origin.strip_suffix(":*").and_then(|any| other.strip_prefix(any));
            any.is_some_and(|port| port.is_empty() || port.starts_with(':'))
        });
        self.docker = docker(&self.docker, new_docker);
        self.files = files(&self.files, new_files, &self.root);
    }

    /// Closes what is at fault on the ground that it stands on, if something is: a link has changed. Says what, and why.
    pub(super) fn close_what_has_no_ground(&mut self) -> Vec<String> {
        let mut closed = vec![];
        if let Err((at, why)) = self.check_ground() {
            self.docker.binds.clear();
            closed.push(format!("{at}: {why}; until that is mended no directory is given to containers"));
        }
        if let Err((at, why)) = self.check_ground() {
            self.files.allowed.iter_mut().for_each(|allowed| allowed.access = Access::Ro);
            closed.push(format!("{at}: {why}; until that is mended no file is changed"));
        }
        closed
    }
}

/// What stands in both, or is covered by something in the other.
fn common(old: &[String], new: &[String], covers: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let has = |all: &[String], one: &String| all.iter().any(|other| other == one || covers(other, one));
    let olds = old.iter().filter(|one| has(new, one));
    let news = new.iter().filter(|one| has(old, one) && !old.contains(one));
    olds.chain(news).cloned().collect()
}

/// Of an Engine that is to be asked elsewhere, the socket stays: the other one is given, and that it is another is not known.
fn docker(old: &engine::Settings, new: &engine::Settings) -> engine::Settings {
    let more = new.allow.0.iter().filter(|rule| !old.allow.0.contains(rule));
    engine::Settings {
        socket: if new.socket == Socket::None { Socket::None } else { old.socket.clone() },
        // each has to permit
        allow: Rules(old.allow.0.iter().chain(more).cloned().collect()),
        binds: old.binds.iter().filter(|bind| new.binds.contains(bind)).cloned().collect(),
        registries: old.registries.common(&new.registries),
        update_privileged: old.update_privileged && new.update_privileged,
        own: old.own.clone(),
        state: old.state.clone(),
    }
}

fn files(old: &Files, new: &Files, root: &Path) -> Files {
    let more: Vec<String> =
        new.deny.written().iter().filter(|pattern| !old.deny.written().contains(pattern)).cloned().collect();
    let deny =
        if more.is_empty() { Ok(old.deny.clone()) } else { Deny::new(false, &[old.deny.written(), &more].concat()) };
    // together they are too many: then nothing is seen
    let Ok(deny) = deny else { return Files { allowed: vec![], deny: old.deny.clone() } };
    let mut allowed: Vec<Allowed> = old.allowed.iter().filter_map(|one| directory(one, new, root)).collect();
    // what may only be read, in either of them, may also where it is not an entry of its own, and by whatever link it is reached
    let read_only = old.allowed.iter().chain(&new.allowed).filter(|one| one.access == Access::Ro);
    let read_only: Vec<_> = read_only.filter(|one| !allowed.iter().any(|left| left.path == one.path)).collect();
    for one in read_only {
        let end = Trace::of(root, &one.path).end;
        let around = |left: &&mut Allowed| {
            one.path.starts_with(&left.path)
                || end.starts_with(&left.path)
                || end.starts_with(Trace::of(root, &left.path).end)
        };
        allowed.iter_mut().filter(around).for_each(|left| left.access = Access::Ro);
    }
    Files { allowed, deny }
}

/// What is left of an allowed directory: what it is in the new file, or what is around it there.
fn directory(one: &Allowed, new: &Files, root: &Path) -> Option<Allowed> {
    let around = innermost(&new.allowed, &one.path)?;
    // by a link it may be another directory than the one below
    if around.path != one.path && !Trace::of(root, &one.path).links.is_empty() {
        return None;
    }
    // whether disks below it are seen is not told apart by directories that are new
    let below = new.allowed.iter().filter(|new| new.path.starts_with(&one.path));
    let end = Trace::of(root, &one.path).end;
    let by_place = [&one.path, &end].into_iter().filter_map(|here| access_at(here, new, root)).min();
    Some(Allowed {
        path: one.path.clone(),
        access: one.access.min(around.access).min(by_place.unwrap_or(Access::Ro)),
        mounts: [one, around].into_iter().chain(below).all(|allowed| allowed.mounts),
    })
}

/// What may be done at `path` by the innermost directory around it, by its name or by where that leads: the jail goes by both.
fn access_at(path: &Path, files: &Files, root: &Path) -> Option<Access> {
    let names = files
        .allowed
        .iter()
        .flat_map(|one| [one.path.clone(), Trace::of(root, &one.path).end].map(|name| (name, one.access)));
    let around = names.filter(|(name, _)| path.starts_with(name));
    around.min_by_key(|(name, access)| (Reverse(name.as_os_str().len()), *access)).map(|(_, access)| access)
}

fn innermost<'a>(allowed: &'a [Allowed], path: &Path) -> Option<&'a Allowed> {
    let around = allowed.iter().filter(|allowed| path.starts_with(&allowed.path));
    around.max_by_key(|allowed| allowed.path.as_os_str().len())
}
