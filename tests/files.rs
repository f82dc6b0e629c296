//! Files, with the running program as uid 65532, next to what the usual commands say of the same ones.

mod jail;
mod read;
mod search;
mod write;

use std::{path::PathBuf, process::Command};

use rights::scope::Scope;
use serde_json::Value;

use crate::common::{Key, Scratch, Server, Setup, refusal};

/// A directory that callers of a server may see.
pub(crate) struct Shown {
    pub(crate) server: Server,
    scratch: Scratch,
}

impl Shown {
    pub(crate) fn new() -> Self {
        Self::with(&[Scope::FilesRead])
    }

    pub(crate) fn with(scopes: &[Scope]) -> Self {
        let scratch = Scratch::new();
        let config = format!("files: (directories: [(path: {:?}), (path: \"/usr/bin\")])", scratch.0);
        let keys = vec![Key::new("agent").with_scopes(scopes)];
        Self { server: Setup { keys, config, ..Setup::default() }.start(), scratch }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.scratch.path(name).display().to_string()
    }

    /// Makes a file that everybody may read.
    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path: PathBuf = self.scratch.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }

    /// What a tool answers, which must be an answer.
    pub(crate) fn ask(&self, tool: &str, arguments: Value) -> Value {
        answer(&self.server, tool, arguments)
    }

    /// The sentence of a failure.
    pub(crate) fn refused(&self, tool: &str, arguments: Value) -> String {
        failure(&self.server, tool, arguments)
    }
}

/// The structured answer of a call that must succeed.
pub(crate) fn answer(server: &Server, tool: &str, arguments: Value) -> Value {
    let said = server.call(tool, arguments.clone());
    assert_eq!(said["result"]["isError"], false, "{tool} {arguments}: {said}");
    said["result"]["structuredContent"].clone()
}

/// The words of a call that must fail: `kind: sentence`.
pub(crate) fn failure(server: &Server, tool: &str, arguments: Value) -> String {
    refusal(&server.call(tool, arguments)).to_owned()
}

/// What a command says, which must succeed.
pub(crate) fn said(command: &[&str]) -> String {
    let output = Command::new(command[0]).args(&command[1..]).env("LC_ALL", "C").env("TZ", "UTC").output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A table's rows, each as an object.
pub(crate) fn rows(table: &Value) -> Vec<Value> {
    let columns = table["columns"].as_array().unwrap();
    let row = |row: &Value| {
        let cells = columns.iter().zip(row.as_array().unwrap());
        Value::Object(cells.map(|(name, cell)| (name.as_str().unwrap().to_owned(), cell.clone())).collect())
    };
    table["rows"].as_array().unwrap().iter().map(row).collect()
}
