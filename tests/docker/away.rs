//! The Engine is away, hangs, or is no Engine at all: a clear answer within its time, and the rest goes on.

use serde_json::json;
use systemmanager_mcp::scope::Scope;

use super::failure;
use crate::common::{Key, Setup};

#[test]
fn without_a_socket_the_answer_says_what_to_do_and_the_rest_is_well() {
    let keys = vec![Key::new("agent").with_scopes(&[Scope::SystemRead, Scope::DockerRead, Scope::DockerControl])];
    let config = "docker: (socket: \"/nonexistent/docker.sock\"),".to_owned();
    let server = Setup { keys, config, ..Setup::default() }.start();
    let why = failure(&server, "container_control", json!({ "name": "web", "action": "stop" }));
    assert!(why.starts_with("away: ") && why.contains("docker.socket"), "{why}");
    assert_eq!(server.call("memory", json!({}))["result"]["isError"], false);
}
