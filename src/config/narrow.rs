//! What a new configuration takes away from the one in force, and nothing that it gives.

use std::path::Path;

use super::{Files, Settings};
use crate::{
    docker::{self, Socket, allow::Rules, registries::Registries},
    jail::{Access, Allowed, Deny, Trace},
};

impl Settings {
    /// These settings without what `new` takes away of them. Only what callers can reach is looked at: Docker, files, and by which names
    /// this server is called.
    pub(super) fn without_what_is_taken_by(&mut self, new: &Self) {
        self.allowed_hosts.retain(|host| new.allowed_hosts.contains(host));
        self.allowed_origins.retain(|origin| new.allowed_origins.contains(origin));
        self.docker = docker(&self.docker, &new.docker);
        self.files = files(&self.files, &new.files, &self.root);
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

fn docker(old: &docker::Settings, new: &docker::Settings) -> docker::Settings {
    let more = new.allow.0.iter().filter(|rule| !old.allow.0.contains(rule));
    docker::Settings {
        socket: if new.socket == Socket::None { Socket::None } else { old.socket.clone() },
        // each has to permit
        allow: Rules(old.allow.0.iter().chain(more).cloned().collect()),
        binds: old.binds.iter().filter(|bind| new.binds.contains(bind)).cloned().collect(),
        registries: Registries(old.registries.0.iter().filter(|one| new.registries.0.contains(one)).cloned().collect()),
        update_privileged: old.update_privileged && new.update_privileged,
        own: old.own.clone(),
        state: old.state.clone(),
    }
}

fn files(old: &Files, new: &Files, root: &Path) -> Files {
    let patterns: Vec<String> = old.deny.written().iter().chain(new.deny.written()).cloned().collect();
    match Deny::new(false, &patterns) {
        Ok(deny) => {
            Files { allowed: old.allowed.iter().filter_map(|one| directory(one, old, new, root)).collect(), deny }
        }
        // together they are too many
        Err(_) => Files { allowed: vec![], deny: old.deny.clone() },
    }
}

/// What is left of an allowed directory: what it is in the new file, or what is around it there. One that lies in another is stricter than
/// that, and stays with it.
fn directory(one: &Allowed, old: &Files, new: &Files, root: &Path) -> Option<Allowed> {
    let within = |outer: &Allowed| new.allowed.iter().find(|new| new.path == outer.path);
    let around = innermost(&new.allowed, &one.path)
        .or_else(|| old.allowed.iter().filter(|outer| one.path.starts_with(&outer.path)).find_map(within))?;
    // by a link it may be another directory than the one below
    if around.path != one.path && !Trace::of(root, &one.path).links.is_empty() {
        return None;
    }
    // what is stricter below it in the new file is not told from the rest yet
    let below = new.allowed.iter().filter(|new| new.path.starts_with(&one.path));
    let all = [one, around].into_iter().chain(below);
    Some(Allowed {
        path: one.path.clone(),
        access: all.clone().map(|allowed| allowed.access).min().unwrap_or(Access::Ro),
        mounts: all.clone().all(|allowed| allowed.mounts),
    })
}

fn innermost<'a>(allowed: &'a [Allowed], path: &Path) -> Option<&'a Allowed> {
    let around = allowed.iter().filter(|allowed| path.starts_with(&allowed.path));
    around.max_by_key(|allowed| allowed.path.as_os_str().len())
}
