//! What a trial prints: how to connect the usual clients, and a line that works as it stands.

use std::{io::IsTerminal, net::SocketAddr};

use serde_json::json;

use crate::config::Tokens;
use auth::token::Token;
use rights::grant::Grants;

/// The greeting of a trial. Its token is shown to a terminal only: a container's log can be read by others.
pub(super) fn greeting(address: SocketAddr, grants: &Grants, token: &Token, tokens: &Tokens) -> String {
    let reachable = match address.ip() {
        ip if ip.is_unspecified() => SocketAddr::new(
            if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() },
            address.port(),
        ),
        _ => address,
    };
    let url = format!("http://{reachable}/mcp");
    let head = format!(
        "systemmanager-mcp {}: a trial on {url}\nIts grants: {grants}. Stop it with Ctrl-C.\n",
        env!("CARGO_PKG_VERSION"),
    );
    if !std::io::stdout().is_terminal() {
        let way = match tokens {
            Tokens::Trial(Some(file)) => format!("The token is in {}.\n", file.display()),
            _ => "The token is shown on a terminal only. Start with --token-file FILE to have it written there.\n"
                .to_owned(),
        };
        return head + &way;
    }
    let bearer = format!("Bearer {}", token.expose());
    let program =
        std::env::current_exe().map_or_else(|_| "systemmanager-mcp".to_owned(), |path| path.display().to_string());
    let vs_code = json!({ "servers": { "systemmanager": { "type": "http", "url": url, "headers": { "Authorization": bearer } } } });
    let cursor = json!({ "mcpServers": { "systemmanager": { "url": url, "headers": { "Authorization": bearer } } } });
    let desktop = json!({ "mcpServers": { "systemmanager": { "command": program, "args": ["stdio"] } } });
    let call =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "overview", "arguments": {} } });
    format!(
        "{head}
Claude Code:
  claude mcp add --transport http systemmanager {url} --header \"Authorization: {bearer}\"

VS Code, in .vscode/mcp.json:
  {vs_code}

Cursor, in ~/.cursor/mcp.json:
  {cursor}

Claude Desktop, in claude_desktop_config.json (it starts the program itself and needs no token):
  {desktop}

Try it:
  curl -s {url} -H 'Authorization: {bearer}' -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' -d '{call}'
"
    )
}
