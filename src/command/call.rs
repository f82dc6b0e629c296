//! `call`: one tool's answer on the terminal, by the same path an agent's call takes.

use std::{path::Path, pin::pin, sync::Arc, time::SystemTime};

use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Error, end, machinery::Machinery, say};
use crate::{
    auth::Caller,
    config::{DEFAULT_FILE, Environment, Settings, Source},
    gate::{Call, Refusal},
    host::First,
    scope::Scopes,
    text,
    tool::Step,
    tools::TOOLS,
};

/// Calls `tool` with `arguments`.
pub(super) async fn run(
    source: &Source,
    environment: &Environment,
    scopes: Scopes,
    tool: &str,
    arguments: Map<String, Value>,
    json: bool,
) -> Result<(), Error> {
    let settings = Settings::of(source, Path::new(DEFAULT_FILE), environment)?;
    super::log::start(settings.log);
    let gate = Machinery::open(&settings, First::Waits)?.gate;
    let caller = Arc::new(Caller::local(scopes));
    let stop = CancellationToken::new();
    tokio::spawn(end(stop.clone())?);
    let (steps, mut told) = mpsc::channel::<Step>(16);
    let call = Call { tool, arguments, caller: &caller, peer: None, client: None, request: None, steps: Some(steps) };
    let mut calling = pin!(gate.call(call, stop.cancelled()));
    let result = loop {
        tokio::select! {
            result = &mut calling => break result,
            Some(step) = told.recv() => super::complain(&text::clean(&text::redact_line(&step.words), 200)),
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
                return Err(Error::Other(format!(
                    "{tool} needs the scope {scope}, and here are only {allowed}: give --scopes {allowed},{scope}",
                    scope = one.scope,
                    allowed = caller.scopes,
                )));
            }
            let names: Vec<_> = gate.visible(&caller).map(|tool| tool.name).collect();
            Err(Error::Other(format!("there is no tool {tool:?}; there is {}", names.join(", "))))
        }
        Err(Refusal::Failed(failure)) => Err(Error::Other(format!("{}: {failure}", failure.kind()))),
    }
}
