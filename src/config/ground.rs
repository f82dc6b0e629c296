//! What the operator's decisions stand on, and that no caller can take it away: where callers may change files, they could put a link in
//! the place of a directory, and it would lead where they like.

use std::path::Path;

use super::{
    Settings, Sink, Tokens,
    key::{At, Wrong},
};
use jail::{Access, Trace};

const BINDS: At = At { section: Some("docker"), key: "binds" };
const DIRECTORIES: At = At { section: Some("files"), key: "directories" };

impl Settings {
    /// The server's own files and directories: state, tokens, audit log, key; and the configuration where callers could change it.
    pub(crate) fn own(&self) -> Vec<&Path> {
        let mut own: Vec<&Path> = vec![&self.state_directory];
        match &self.tokens {
            Tokens::Store(file) | Tokens::Trial(Some(file)) => own.push(file),
            Tokens::Trial(None) => (),
        }
        if let Sink::File(file) = &self.audit {
            own.push(file);
        }
        own.extend(self.listeners.iter().filter_map(|listener| listener.tls.as_ref()).map(|tls| tls.key.as_path()));
        own.extend(self.file.as_deref().filter(|file| self.may_change_configuration(file)));
        own
    }

    /// Refuses directories for containers whose place callers could take, or which hold what is the server's own, and own paths that
    /// lead through what callers could replace.
    pub(super) fn check_ground(&self) -> Result<(), Wrong> {
        // in another tree than the callers' nothing can be said of them by their paths
        let own = if self.is_of_this_machine() { self.own() } else { vec![] };
        let own: Vec<_> = own.into_iter().map(|path| (path, Trace::of(&self.root, path))).collect();
        for bind in &self.docker.binds {
            let trace = Trace::of(&self.root, bind);
            if !trace.links.is_empty() {
                let why = "a directory for containers leads through a symbolic link; write the path that it leads to";
                return Err((BINDS, why.to_owned()));
            }
            if self.may_change(&trace.end) {
                let why = "a directory for containers may not lie below one that files lets callers change: they could put a link in its place";
                return Err((BINDS, why.to_owned()));
            }
            let is_around = |own: &Path| own.starts_with(bind) || bind.starts_with(own);
            if own.iter().any(|(path, trace)| is_around(path) || is_around(&trace.end)) {
                let why = "a directory for containers may not hold this server's state, tokens, audit log or key, nor lie in them: whoever is given that could let himself in";
                return Err((BINDS, why.to_owned()));
            }
        }
        if own.iter().flat_map(|(_, trace)| &trace.links).any(|link| self.may_change(link)) {
            let why = "this server's state, tokens, audit log or key are reached through a symbolic link that callers could replace here; name them by their path without links";
            return Err((DIRECTORIES, why.to_owned()));
        }
        Ok(())
    }

    /// Whether callers could change the configuration. Where they see another tree than the server, it may be in that as well.
    fn may_change_configuration(&self, file: &Path) -> bool {
        if self.is_of_this_machine() {
            return self.may_change(&Trace::of(&self.root, file).end);
        }
        self.files.allowed.iter().any(|allowed| allowed.access == Access::Rw)
    }

    /// Whether callers could put something else in the place of `path`, which has no link in it.
    fn may_change(&self, path: &Path) -> bool {
        let holds = |outer: &Path| path != outer && path.starts_with(outer);
        let mut changeable = self.files.allowed.iter().filter(|allowed| allowed.access == Access::Rw);
        changeable.any(|one| holds(&one.path) || holds(&Trace::of(&self.root, &one.path).end))
    }

    /// Whether the paths of callers and those of the server are of one tree.
    fn is_of_this_machine(&self) -> bool {
        self.root == Path::new("/")
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "makes the links to be looked for")]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::super::{Environment, Settings};

    /// What is said of a configuration whose `@` is a directory with links in it.
    fn said(text: &str) -> Result<Settings, String> {
        let at = fs::canonicalize(std::env::temp_dir()).unwrap().join(format!("ground-{}", std::process::id()));
        for directory in ["srv/old", "releases/5/state", "rw"] {
            fs::create_dir_all(at.join(directory)).unwrap();
        }
        for (link, target) in [("data", "srv"), ("rw/current", "../releases/5")] {
            let _ = symlink(target, at.join(link));
        }
        let file = at.join("rw/config.ron");
        fs::write(&file, text.replace('@', at.to_str().unwrap())).unwrap();
        let environment = Environment { state_directory: Some("/state".into()), ..Environment::default() };
        Settings::read(&file, &environment).map_err(|error| error.to_string())
    }

    #[test]
    fn nobody_can_take_the_place_of_what_the_operator_has_decided() {
        for (text, why) in [
            (r#"(docker: (binds: ["@/srv/b"]), files: (directories: [(path: "@/srv", access: Rw)]))"#, "put a link"),
            // the same directory by two paths, either way
            (r#"(docker: (binds: ["@/data/b"]), files: (directories: [(path: "@/srv", access: Rw)]))"#, "leads to"),
            (r#"(docker: (binds: ["@/srv/b"]), files: (directories: [(path: "@/data", access: Rw)]))"#, "put a link"),
            (r#"(docker: (binds: ["/state"]))"#, "let himself in"),
            (r#"(docker: (binds: ["/a"]), token_file: "/a/b/tokens.ron")"#, "let himself in"),
            (
                r#"(state_directory: "@/rw/current/state", files: (directories: [(path: "@/rw", access: Rw)]))"#,
                "path without links",
            ),
        ] {
            let error = said(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        for text in [
            r#"(docker: (binds: ["@/srv"]), files: (directories: [(path: "@/srv", access: Rw)]))"#,
            r#"(docker: (binds: ["@/srv/b"]), files: (directories: [(path: "@/srv")]))"#,
            r#"(state_directory: "@/rw/current/state", files: (directories: [(path: "@/rw")]))"#,
            r#"(state_directory: "@/rw/state", files: (directories: [(path: "@/rw", access: Rw)]))"#,
        ] {
            said(text).unwrap();
        }
        // the configuration is the server's own where it could be changed
        let own = |settings: Settings| settings.own().iter().any(|path| path.ends_with("rw/config.ron"));
        assert!(own(said(r#"(files: (directories: [(path: "@/rw", access: Rw)]))"#).unwrap()));
        assert!(!own(said(r#"(files: (directories: [(path: "@/rw")]))"#).unwrap()));
    }
}
