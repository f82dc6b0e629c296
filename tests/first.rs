//! The first half second: what can only be said with a second sample is unknown, or waited for, and never zero.

use std::sync::Arc;

use auth::Caller;
use facts::host::{First, Host};
use rights::grant::Grants;
use serde_json::{Map, Value};
use systemmanager_mcp::{
    audit::{Audit, Sink},
    gate::{Answer, Call, Gate, Limits},
};
use tools::TOOLS;

use crate::common::Scratch;

/// What the tools that show rates say of this machine at once, each as the first that is asked.
const TOOLS_WITH_RATES: [&str; 6] = ["overview", "cpu", "memory", "disks", "network", "history"];

async fn answer(tool: &str, first: First) -> Arc<Answer> {
    let scratch = Scratch::new();
    let audit = Audit::open(&Sink::File(scratch.path("audit.jsonl"))).unwrap();
    let gate = Gate::new(TOOLS, Host::open("/".as_ref(), first).unwrap(), Arc::new(audit), Limits::default());
    let caller = Arc::new(Caller::local(Grants::all()));
    let call =
        Call { tool, arguments: Map::new(), caller: &caller, peer: None, client: None, request: None, steps: None };
    gate.call(call, std::future::pending()).await.unwrap_or_else(|_| panic!("{tool} answers"))
}

/// Every value with the name it stands under; a table's by their columns.
fn named<'a>(name: &'a str, value: &'a Value, into: &mut Vec<(&'a str, &'a Value)>) {
    match value {
        Value::Object(fields) => match (fields.get("columns"), fields.get("rows")) {
            (Some(Value::Array(columns)), Some(Value::Array(rows))) => {
                for row in rows {
                    let cells = columns.iter().filter_map(Value::as_str).zip(row.as_array().unwrap());
                    cells.for_each(|(column, cell)| named(column, cell, into));
                }
            }
            _ => fields.iter().for_each(|(name, value)| named(name, value, into)),
        },
        Value::Array(values) => values.iter().for_each(|value| named(name, value, into)),
        value => into.push((name, value)),
    }
}

/// Whether it takes two samples to know this.
fn is_rate(name: &str) -> bool {
    let ratios = ["busy", "iowait", "steal", "user", "nice", "system", "irq", "softirq", "guest", "busiest"];
    name.ends_with("_per_second")
        || name == "busiest"
        || name.strip_suffix("_ratio").is_some_and(|ratio| ratios.contains(&ratio))
}

#[tokio::test]
async fn at_once_means_that_no_rate_is_known() {
    for tool in TOOLS_WITH_RATES {
        let answer = answer(tool, First::Comes).await;
        let (structured, mut values) = (answer.structured.clone(), vec![]);
        named("", &structured, &mut values);
        for (name, value) in values {
            match name {
                "window_seconds" if tool != "history" => assert_eq!(value.as_f64(), Some(0.0), "{tool}"),
                "covered_seconds" => assert_eq!(value, 0, "{tool}"),
                name if is_rate(name) => assert!(value.is_null(), "{tool}: {name} is {value}\n{}", answer.text),
                _ => (),
            }
        }
        assert!(!answer.text.contains("0 B/s") && !answer.text.contains("busy: 0"), "{}", answer.text);
    }
}

#[tokio::test]
async fn whoever_waits_has_rates() {
    let answer = answer("overview", First::Waits).await;
    assert!(answer.structured["cpu"]["window_seconds"].as_f64().unwrap() > 0.4, "{}", answer.text);
    assert!(answer.structured["cpu"]["busy_ratio"].is_f64(), "{}", answer.text);
}
