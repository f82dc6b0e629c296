//! `call`: one tool's answer on the terminal, by the same path an agent's call takes.

use std::{path::Path, pin::pin, sync::Arc, time::SystemTime};

use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Error, end, machinery::Machinery, say};
use crate::{
    config::{DEFAULT_FILE, Environment, Settings, Source},
    gate::{Call, Refusal},
};
use auth::Caller;
use facts::host::First;
use rights::{
    grant::{Grant, Grants},
    scope::Scope,
};
use tools::{
    TOOLS,
    tool::{Entry, Step},
};

/// Calls `tool` with `arguments`.
pub(super) async fn run(
    source: &Source,
    environment: &Environment,
    grants: Grants,
    tool: &str,
    arguments: Map<String, Value>,
    json: bool,
) -> Result<(), Error> {
    let settings = Settings::of(source, Path::new(DEFAULT_FILE), environment)?;
    super::log::start(settings.log);
    let gate = Machinery::open(&settings, First::Waits)?.gate;
    let caller = Arc::new(Caller::local(grants));
    let stop = CancellationToken::new();
    tokio::spawn(end(stop.clone())?);
    let (steps, mut told) = mpsc::channel::<Step>(16);
    let call = Call { tool, arguments, caller: &caller, peer: None, client: None, request: None, steps: Some(steps) };
    let mut calling = pin!(gate.call(call, stop.cancelled()));
    let result = loop {
        tokio::select! {
            result = &mut calling => break result,
            Some(step) = told.recv() => super::complain(&redact::clean(&redact::redact_line(&step.words), 200)),
        }
    };
    // what acts is brought to its end, also when it was interrupted: the task would go with the process
    gate.rest().await;
    gate.audit().finish(SystemTime::now()).map_err(Error::other)?;
    match result {
        Ok(answer) if json => say(&serde_json::to_string_pretty(&answer.structured).map_err(Error::other)?),
        Ok(answer) => say(&answer.text),
        Err(Refusal::NoSuchTool) => {
            if let Some(one) = TOOLS.iter().find(|one| one.name == tool) {
                let held =
                    if caller.grants.iter().next().is_some() { caller.grants.to_string() } else { "none".into() };
                return Err(Error::Other(format!(
                    "{tool} needs a grant of {}, and here is {held}: give{}",
                    one.scope,
                    flags(&caller.grants, one)
                )));
            }
            let names: Vec<_> = gate.visible(&caller).map(|tool| tool.name).collect();
            let there = if names.is_empty() { "none for these grants".to_owned() } else { names.join(", ") };
            Err(Error::Other(format!("there is no tool {tool:?}; there is {there}")))
        }
        Err(Refusal::Failed(failure)) => Err(Error::Other(format!("{}: {failure}", failure.kind()))),
    }
}

/// The flags that grant what is held, and what this tool needs.
fn flags(held: &Grants, tool: &Entry) -> String {
    if held.contain(tool.scope) || held.iter().any(|grant| !grant.is_whole()) {
        // of a scope that is there in part, the one action that is missing
        let needed = match tool.actions {
            [action] => format!("{}({})", tool.scope, action.name()),
            _ => tool.scope.to_string(),
        };
        return format!(" --allow '{needed}' as well");
    }
    let scopes: Vec<&str> = held.iter().map(Grant::scope).chain([tool.scope]).map(Scope::name).collect();
    format!(" --scopes {}", scopes.join(","))
}
