//! What every client pays for on every turn: the list of tools, as the server gives it.

use std::collections::BTreeSet;

use rights::{
    grant::{Grant, Grants},
    scope::Scope,
};
use serde_json::{Value, json};

use crate::common::{Key, Request, Server, Setup};

fn tokens(text: &str) -> usize {
    tiktoken_rs::o200k_base_singleton().encode_ordinary(text).len()
}

fn list(server: &Server, request: Request) -> Vec<Value> {
    let answer = server.ask(&request.token(server.token()));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.rpc()["result"]["tools"].as_array().unwrap().clone()
}

/// A server with a token for this.
fn allowing(scopes: &[Scope]) -> Server {
    Setup { keys: vec![Key::new("agent").with_scopes(scopes)], ..Setup::default() }.start()
}

/// Every tool there is.
fn all() -> Vec<Value> {
    modern(&allowing(Scope::ALL))
}

fn modern(server: &Server) -> Vec<Value> {
    list(server, Request::modern(1, "tools/list", json!({})))
}

#[test]
fn the_list_is_the_same_each_time_and_in_both_eras() {
    let server = Server::new();
    let first = modern(&server);
    assert!(!first.is_empty());
    for _ in 0..5 {
        assert_eq!(modern(&server), first);
    }
    assert_eq!(list(&server, Request::legacy(1, "tools/list", json!({}))), first);
    let again = Server::new();
    assert_eq!(modern(&again), first, "another process gives another list");
}

#[test]
fn the_list_says_that_it_is_the_callers_own() {
    let server = Server::new();
    let answer = server.ask(&Request::rpc("tools/list", json!({})).token(server.token())).rpc();
    assert_eq!(answer["result"]["cacheScope"], "private", "{answer}");
    assert!(answer["result"]["ttlMs"].is_u64(), "{answer}");
}

#[test]
fn every_tool_is_named_described_and_marked() {
    let mut seen = BTreeSet::new();
    for tool in all() {
        let name = tool["name"].as_str().unwrap();
        assert!(seen.insert(name.to_owned()), "{name} twice");
        let snake = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        assert!(snake && name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('_'), "{name}");
        assert!(tool["title"].as_str().is_some_and(|title| !title.is_empty()), "{name} has no title");
        let description = tool["description"].as_str().unwrap_or_else(|| panic!("{name} has no description"));
        assert!(description.ends_with('.') && !description.ends_with(".."), "{name}: no sentence: {description}");
        assert!(!description.contains("  ") && !description.contains('\n'), "{name}: {description:?}");
        let cost = tokens(description);
        assert!(cost < 60, "{name}: its description takes {cost} tokens");
        let annotations = tool["annotations"].as_object().unwrap_or_else(|| panic!("{name} has no annotations"));
        for hint in ["readOnlyHint", "destructiveHint", "idempotentHint", "openWorldHint"] {
            assert!(annotations.get(hint).is_some_and(Value::is_boolean), "{name}: {hint}");
        }
        if annotations["readOnlyHint"] == true {
            assert_eq!(annotations["destructiveHint"], false, "{name}");
        }
    }
}

#[test]
fn what_only_reads_is_marked_so_and_is_all_that_read_only_scopes_see() {
    let reading: Vec<Scope> = Grants::usual().iter().map(Grant::scope).collect();
    let seen = modern(&allowing(&reading));
    assert!(seen.iter().all(|tool| tool["annotations"]["readOnlyHint"] == true));
    let marked = all().into_iter().filter(|tool| tool["annotations"]["readOnlyHint"] == true);
    assert_eq!(marked.collect::<Vec<_>>(), seen);
}

#[test]
fn every_schema_is_a_plain_object_so_that_no_client_drops_a_tool() {
    for tool in all() {
        let name = &tool["name"];
        for (key, schema) in [("inputSchema", &tool["inputSchema"]), ("outputSchema", &tool["outputSchema"])] {
            assert_eq!(schema["type"], "object", "{name}: {key}");
            for odd in ["$ref", "anyOf", "oneOf", "allOf", "not", "if", "$schema"] {
                assert!(schema.get(odd).is_none(), "{name}: {key} has {odd} at its top");
            }
            for required in schema["required"].as_array().into_iter().flatten() {
                assert!(schema["properties"][required.as_str().unwrap()].is_object(), "{name}: {key} lacks {required}");
            }
            every_ref_leads_somewhere(schema, schema);
        }
        assert_eq!(tool["inputSchema"]["additionalProperties"], false, "{name} takes arguments it does not know");
        for (argument, schema) in tool["inputSchema"]["properties"].as_object().into_iter().flatten() {
            assert!(schema["description"].is_string(), "{name}: {argument} is not described");
        }
        for field in ["host", "time"] {
            let required = tool["outputSchema"]["required"].as_array().unwrap();
            assert!(required.contains(&json!(field)), "{name}: the answer need not carry {field}");
        }
    }
}

fn every_ref_leads_somewhere(schema: &Value, whole: &Value) {
    match schema {
        Value::Object(object) => {
            if let Some(Value::String(to)) = object.get("$ref") {
                assert!(to.strip_prefix('#').is_some_and(|at| whole.pointer(at).is_some()), "{to} leads nowhere");
            }
            object.values().for_each(|schema| every_ref_leads_somewhere(schema, whole));
        }
        Value::Array(array) => array.iter().for_each(|schema| every_ref_leads_somewhere(schema, whole)),
        _ => (),
    }
}

#[test]
fn every_tool_can_be_called_with_no_more_than_it_requires() {
    let server = Server::new();
    for tool in modern(&server) {
        let name = tool["name"].as_str().unwrap();
        let mut arguments = json!({});
        for required in tool["inputSchema"]["required"].as_array().into_iter().flatten() {
            arguments[required.as_str().unwrap()] = match required.as_str().unwrap() {
                "pid" => json!(1),
                other => panic!("{name} requires {other}: say here what to give it"),
            };
        }
        let answer = server.call(name, arguments);
        assert_eq!(answer["result"]["isError"], false, "{name}: {answer}");
        let structured = &answer["result"]["structuredContent"];
        for required in tool["outputSchema"]["required"].as_array().unwrap() {
            assert!(structured.get(required.as_str().unwrap()).is_some(), "{name}: no {required}: {structured}");
        }
    }
}

#[test]
fn the_whole_list_is_cheap() {
    let cost = |tools: Vec<Value>| {
        let lean = |tool: Value| json!({ "name": tool["name"], "description": tool["description"], "inputSchema": tool["inputSchema"] });
        tokens(&tools.into_iter().map(lean).collect::<Value>().to_string())
    };
    let reading: Vec<Scope> = Grants::usual().iter().map(Grant::scope).collect();
    let (reads, all) = (cost(modern(&allowing(&reading))), cost(all()));
    assert!(reads < 5_000, "the list of what only reads takes {reads} tokens");
    assert!(all < 8_000, "the whole list takes {all} tokens");
}

#[test]
fn the_instructions_are_short_and_name_only_tools_there_are() {
    let server = Server::new();
    let discovered = server.ask(&Request::modern(1, "server/discover", json!({})).token(server.token())).rpc();
    let instructions = discovered["result"]["instructions"].as_str().unwrap_or_else(|| panic!("{discovered}"));
    let initialize =
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
    let initialized = server.ask(&Request::legacy(1, "initialize", initialize).token(server.token())).rpc();
    assert_eq!(initialized["result"]["instructions"], instructions, "the eras are told different things");
    let cost = tokens(instructions);
    assert!(cost < 300, "the instructions take {cost} tokens");
    let names: BTreeSet<String> =
        modern(&server).iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect();
    for name in tools_named(instructions) {
        assert!(names.contains(&name), "the instructions name {name}, and there is no such tool");
    }
}

#[test]
fn a_caller_is_told_of_what_it_sees_and_of_nothing_that_is_empty_for_it() {
    let told = |grants: &[&str]| {
        let server = Setup { keys: vec![Key::new("agent").with_grants(grants)], ..Setup::default() }.start();
        let initialize = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "1" } });
        let old =
            server.ask(&Request::legacy(1, "initialize", initialize).token(server.token())).rpc()["result"].clone();
        let new =
            server.ask(&Request::modern(1, "server/discover", json!({})).token(server.token())).rpc()["result"].clone();
        assert_eq!(
            (&old["instructions"], &old["capabilities"]),
            (&new["instructions"], &new["capabilities"]),
            "{old} {new}"
        );
        old
    };
    let restarts = told(&["docker:control(restart)=web-*"]);
    let words = restarts["instructions"].as_str().unwrap();
    assert!(words.contains("`docker:control(restart)=web-*`") && !words.contains("overview"), "{words}");
    assert!(restarts["capabilities"]["tools"].is_object(), "{restarts}");
    let none = told(&[]);
    assert_eq!(none["capabilities"], json!({}), "{none}");
    assert!(none["instructions"].as_str().is_some_and(|words| words.contains("none of its tools")), "{none}");
}

/// The tools that the instructions name: the one to begin with, and the list in parentheses.
fn tools_named(instructions: &str) -> Vec<String> {
    let quoted = |text: &str| text.split('`').nth(1).map(str::to_owned);
    let (_, begin) = instructions.split_once("Begin with ").expect("where to begin");
    let (_, rest) = instructions.split_once("the tool that fits (").expect("the tools to go on with");
    let (list, _) = rest.split_once(')').unwrap();
    quoted(begin).into_iter().chain(list.split(", ").map(|name| name.trim().trim_matches('`').to_owned())).collect()
}
