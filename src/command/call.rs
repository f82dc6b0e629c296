//! `call`: one tool's answer on the terminal, by the same path an agent's call takes.

use std::{path::Path, sync::Arc};

use serde_json::{Map, Value};

use super::{Error, machinery::Machinery, say};
use crate::{
    auth::Caller,
    config::{DEFAULT_FILE, Environment, Settings, Source},
    gate::{Call, Refusal},
    host::First,
};

/// Calls `tool` with `arguments`.
pub(super) async fn run(
    source: &Source,
    environment: &Environment,
    tool: &str,
    arguments: Map<String, Value>,
    json: bool,
) -> Result<(), Error> {
    let settings = Settings::of(source, Path::new(DEFAULT_FILE), environment)?;
    super::log::start(settings.log);
    let gate = Machinery::open(&settings, First::Waits)?.gate;
    let caller = Arc::new(Caller::local(settings.scopes));
    let call = Call { tool, arguments, caller: &caller, peer: None, client: None, request: None, steps: None };
    match gate.call(call, std::future::pending()).await {
        Ok(answer) if json => say(&serde_json::to_string_pretty(&answer.structured).map_err(Error::other)?),
        Ok(answer) => say(&answer.text),
        Err(Refusal::NoSuchTool) => {
            let names: Vec<_> = gate.visible(&caller).map(|tool| tool.name).collect();
            Err(Error::Other(format!("there is no tool {tool:?}; there is {}", names.join(", "))))
        }
        Err(Refusal::Failed(failure)) => Err(Error::Other(format!("{}: {failure}", failure.kind()))),
    }
}
