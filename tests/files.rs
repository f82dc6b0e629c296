//! Files, through the running server.

mod jail;

use serde_json::Value;
use systemmanager_mcp::scope::Scope;

use crate::common::{Key, Scratch, Server, Setup, refusal};

/// A server that shows `directories` of its scratch directory, given as in the config: `(path: "srv", access: Rw)`.
pub(crate) fn server(scratch: Scratch, directories: &str, mounts: Option<&'static str>) -> Server {
    let directories = directories.replace("path: \"", &format!("path: \"{}/", scratch.path("").display()));
    let keys = vec![Key { scopes: vec![Scope::FilesRead, Scope::FilesWrite], ..Key::new("agent") }];
    Setup { config: format!("files: (directories: [{directories}])"), keys, mounts, scratch, ..Setup::default() }.start()
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
    refusal(&server.call(tool, arguments)).to_owned()
}
