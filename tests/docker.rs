//! Docker, with real engines: every tool against each of them, next to what `docker` says at the same moment.
//!
//! The engines are started by `tests/engines` and named in `SMCP_ENGINES` (`name=/path/to/docker.sock,…`); `tests/run --only docker` does
//! both. Without them these tests have nothing to speak to, so they are ignored unless asked for.

mod away;
mod containers;
mod control;
mod deploy;
mod guard;
mod lists;
mod logs;
mod privileged;
mod prune;
mod pull;
mod reach;
mod registry;
mod stacks;
mod update;

use std::{
    path::PathBuf,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use rights::scope::Scope;
use serde_json::Value;

use crate::common::{Key, Server, Setup};

/// The image that every engine has: busybox, called `t/bb:1`.
pub(crate) const IMAGE: &str = "t/bb:1";

/// A running Docker Engine, or Podman's service.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    /// `debian`, `trixie`, `sid`, `store` or `podman`.
    pub(crate) name: String,
    pub(crate) socket: PathBuf,
}

/// All engines there are; at least one.
pub(crate) fn engines() -> Vec<Engine> {
    let named =
        std::env::var("SMCP_ENGINES").expect("SMCP_ENGINES names the engines: tests/run --only docker starts them");
    let engines: Vec<Engine> = named
        .split(',')
        .filter_map(|one| one.split_once('='))
        .map(|(name, socket)| Engine { name: name.to_owned(), socket: socket.into() })
        .collect();
    assert!(!engines.is_empty(), "SMCP_ENGINES names no engine");
    engines
}

impl Engine {
    pub(crate) fn is_podman(&self) -> bool {
        self.name == "podman"
    }

    /// What `docker` says to these words, which must succeed.
    pub(crate) fn docker(&self, words: &[&str]) -> String {
        let output = self.try_docker(words);
        assert!(
            output.status.success(),
            "{}: docker {words:?}: {}",
            self.name,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    pub(crate) fn try_docker(&self, words: &[&str]) -> std::process::Output {
        Command::new("docker").arg("-H").arg(format!("unix://{}", self.socket.display())).args(words).output().unwrap()
    }

    /// What `docker … --format '{{json .}}'` says, one value a line.
    pub(crate) fn json(&self, words: &[&str]) -> Vec<Value> {
        let said = self.docker(&[words, &["--format", "{{json .}}"]].concat());
        said.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// A running container, removed when dropped; `words` stand between its name and the image, `command` behind the image.
    pub(crate) fn run(&self, words: &[&str], command: &[&str]) -> Container {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("smcp-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        self.run_as(&name, words, command)
    }

    pub(crate) fn run_as(&self, name: &str, words: &[&str], command: &[&str]) -> Container {
        self.run_in("none", name, words, command)
    }

    /// The same in a network.
    pub(crate) fn run_in(&self, network: &str, name: &str, words: &[&str], command: &[&str]) -> Container {
        let before = ["run", "--detach", "--network", network, "--name", name];
        let all = [&before[..], words, &[IMAGE], command].concat();
        let mut output = self.try_docker(&all);
        // a busy machine is too much for Podman's monitor now and then
        if !output.status.success() && self.is_podman() {
            self.try_docker(&["rm", "--force", name]);
            output = self.try_docker(&all);
        }
        let said = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
        assert!(output.status.success(), "{}: {all:?}: {}", self.name, String::from_utf8_lossy(&output.stderr));
        Container { engine: self.clone(), name: name.to_owned(), id: said }
    }

    /// Makes the image `name` with these changes, of a container `base` in which `command` has run. Only `import` lets every engine change
    /// what an image says.
    pub(crate) fn image(&self, name: &str, base: &str, command: &str, changes: &[&str]) {
        // not `run`, which wants to read along: Podman refuses that when the container has already ended
        self.docker(&["create", "--network", "none", "--name", base, IMAGE, "sh", "-c", command]);
        self.docker(&["start", base]);
        self.docker(&["wait", base]);
        let docker = || {
            let mut docker = Command::new("docker");
            docker.arg("-H").arg(format!("unix://{}", self.socket.display()));
            docker
        };
        let mut export = docker().args(["export", base]).stdout(Stdio::piped()).spawn().unwrap();
        let mut import = docker();
        import.arg("import");
        for change in changes {
            import.args(["--change", change]);
        }
        let imported = import.args(["-", name]).stdin(export.stdout.take().unwrap()).output().unwrap();
        assert!(imported.status.success() && export.wait().unwrap().success(), "{imported:?}");
        self.docker(&["rm", "--force", base]);
    }

    /// A server that asks this engine, with a token of these scopes.
    pub(crate) fn server(&self, scopes: &[Scope]) -> Server {
        self.server_with(scopes, "")
    }

    /// The same, with more keys below `docker` in its config.
    pub(crate) fn server_with(&self, scopes: &[Scope], keys: &str) -> Server {
        let config = format!("docker: (socket: {:?}, {keys}),", self.socket.to_str().unwrap());
        // a test acts more often in a minute than an agent should
        let limits = "deploy: (per_minute: 6000), control: (per_minute: 6000)".to_owned();
        Setup { keys: vec![Key::new("agent").with_scopes(scopes)], config, limits, ..Setup::default() }.start()
    }
}

/// A container of a test's own.
pub(crate) struct Container {
    engine: Engine,
    pub(crate) name: String,
    /// 64 digits.
    pub(crate) id: String,
}

impl Container {
    /// A field of `docker inspect`, by a template.
    pub(crate) fn inspect(&self, template: &str) -> String {
        self.engine.docker(&["inspect", "--format", template, &self.id])
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.engine.try_docker(&["rm", "--force", "--volumes", &self.id]);
    }
}

/// The structured answer of a call that must succeed.
pub(crate) fn answer(server: &Server, tool: &str, arguments: Value) -> Value {
    let said = server.call(tool, arguments.clone());
    let result = &said["result"];
    assert!(result["isError"] != true && result.is_object(), "{tool} {arguments}: {said}");
    result["structuredContent"].clone()
}

/// The words of a call that must fail: `kind: sentence`.
pub(crate) fn failure(server: &Server, tool: &str, arguments: Value) -> String {
    crate::common::refusal(&server.call(tool, arguments)).to_owned()
}

#[expect(clippy::print_stdout, reason = "the duration is printed for a reader; no test depends on it")]
pub(crate) fn seen(engine: &Engine, words: std::fmt::Arguments<'_>) {
    println!("{}: {words}", engine.name);
}

/// The rows of a table as objects.
pub(crate) fn rows(table: &Value) -> Vec<Value> {
    let columns = table["columns"].as_array().expect("a table");
    let row = |row: &Value| {
        columns
            .iter()
            .zip(row.as_array().unwrap())
            .map(|(key, cell)| (key.as_str().unwrap().to_owned(), cell.clone()))
            .collect()
    };
    table["rows"].as_array().unwrap().iter().map(row).map(Value::Object).collect()
}
