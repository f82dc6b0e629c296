//! What a model has to read, in tokens of o200k.

use serde_json::{Map, Value, json};
use tiktoken_rs::CoreBPE;

use crate::{
    Options,
    figures::{percent, row, verdict},
    server::Server,
};

/// How many rows make a table one that the target means.
const TABLE: usize = 10;

/// Counts them.
pub fn run(options: &Options) {
    let server = Server::ours(options);
    let bpe = tiktoken_rs::o200k_base().expect("o200k");
    let tools = server.tools();
    list(&bpe, &tools);
    for tool in &tools {
        let name = tool["name"].as_str().expect("a name");
        match server.call(name, arguments(tool)) {
            Ok(result) => answer(&bpe, name, &result),
            Err(why) => row(&format!("answer of `{name}`"), &format!("none: {}", why.replace('|', "/")), "", "", ""),
        }
    }
}

fn list(bpe: &CoreBPE, tools: &[Value]) {
    let of = |wanted: &dyn Fn(&Value) -> bool| -> (usize, usize) {
        let lean: Vec<Value> = tools
            .iter()
            .filter(|tool| wanted(tool))
            .map(|tool| {
                let mut input = tool["inputSchema"].clone();
                if let Some(input) = input.as_object_mut() {
                    input.remove("$schema");
                }
                json!({ "name": tool["name"], "description": tool["description"], "inputSchema": input })
            })
            .collect();
        (lean.len(), count(bpe, &Value::from(lean).to_string()))
    };
    let reads = |tool: &Value| tool["annotations"]["readOnlyHint"] == true;
    for (name, (number, tokens), most) in
        [("all tools", of(&|_| true), 8_000), ("tools that only read", of(&reads), 5_000)]
    {
        row(
            &format!("list of {name} ({number}): name, description, inputSchema"),
            &format!("{tokens} tokens"),
            "",
            "",
            &verdict(&format!("< {most} tokens"), tokens < most),
        );
    }
}

fn answer(bpe: &CoreBPE, tool: &str, result: &Value) {
    let text = count(bpe, result["content"][0]["text"].as_str().unwrap_or_default());
    let structured = &result["structuredContent"];
    let compact = count(bpe, &structured.to_string());
    let mut longest = 0;
    let objects = count(bpe, &as_objects(structured, &mut longest).to_string());
    let share = |tokens: usize| tokens as f64 / objects as f64;
    // a table of a few rows cannot save what its heading costs
    let target =
        if longest >= TABLE { verdict("both ≤ 60 %", share(text.max(compact)) <= 0.6) } else { String::new() };
    row(
        &format!("answer of `{tool}` on this machine, longest table {longest} rows"),
        &format!("text {text}, structured {compact} tokens"),
        &format!("tables as arrays of objects: {objects} tokens"),
        &format!("text {}, structured {}", percent(share(text)), percent(share(compact))),
        &target,
    );
}

fn count(bpe: &CoreBPE, text: &str) -> usize {
    bpe.encode_ordinary(text).len()
}

/// The same answer with every table of `columns` and `rows` as an array of objects, and how many rows the longest has.
fn as_objects(value: &Value, longest: &mut usize) -> Value {
    match value {
        Value::Object(fields) => {
            if fields.len() == 2
                && let (Some(Value::Array(columns)), Some(Value::Array(rows))) =
                    (fields.get("columns"), fields.get("rows"))
            {
                *longest = rows.len().max(*longest);
                return rows.iter().map(|row| object(columns, row)).collect();
            }
            fields.iter().map(|(key, value)| (key.clone(), as_objects(value, longest))).collect()
        }
        Value::Array(values) => values.iter().map(|value| as_objects(value, longest)).collect(),
        other => other.clone(),
    }
}

fn object(columns: &[Value], row: &Value) -> Value {
    let cells = row.as_array().into_iter().flatten();
    let fields = columns.iter().zip(cells);
    Value::Object(
        fields.map(|(key, cell)| (key.as_str().unwrap_or_default().to_owned(), cell.clone())).collect::<Map<_, _>>(),
    )
}

/// What a tool must be told: a process number, where it asks for one.
fn arguments(tool: &Value) -> Value {
    let required = tool["inputSchema"]["required"].as_array().into_iter().flatten();
    let given = required.filter_map(Value::as_str).filter(|name| *name == "pid");
    given.map(|name| (name.to_owned(), json!(1))).collect::<Map<_, _>>().into()
}
