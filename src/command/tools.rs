//! `tools`: every tool there is, for a terminal or for the README.

use super::{Error, say};
use tools::TOOLS;

/// Lists them.
pub(super) fn run(markdown: bool) -> Result<(), Error> {
    say(if markdown { markdown_table() } else { plain_list() }.trim_end())
}

/// The README's table.
fn markdown_table() -> String {
    let mut table = "| tool | scope | what it tells |\n|---|---|---|\n".to_owned();
    for tool in TOOLS {
        let told = tool.describe();
        let words = told.description.as_deref().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        table += &format!("| `{}` | `{}` | {words} |\n", tool.name, tool.scope);
    }
    table
}

fn plain_list() -> String {
    let widest = TOOLS.iter().map(|tool| tool.name.len()).max().unwrap_or(0);
    let mut list = String::new();
    for tool in TOOLS {
        let told = tool.describe();
        let words = told.description.as_deref().unwrap_or_default();
        list += &format!("{:widest$}  {}  {}\n", tool.name, tool.scope, words.lines().next().unwrap_or_default());
    }
    list
}
