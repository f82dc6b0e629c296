use serde_json::Value;
use systemmanager_mcp::docker::policy;

/// What passes has nothing of what leads out of a container, in whatever spelling of a name.
pub fn run(bytes: &[u8]) {
    let Ok(body) = policy::parse(bytes) else { return };
    if policy::check(&body, &["/srv/data".into()]).is_err() {
        return;
    }
    let says = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Number(number) => number.as_i64() != Some(0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
        Value::Bool(true) => true,
    };
    let never = ["privileged", "devices", "devicerequests", "devicecgrouprules", "capadd", "volumesfrom", "runtime", "cgroupparent"];
    let look = |object: &Value| {
        for (name, value) in object.as_object().into_iter().flatten() {
            assert!(!never.contains(&name.to_lowercase().as_str()) || !says(value), "{body}");
        }
    };
    look(&body);
    look(&body["HostConfig"]);
    for bind in body["HostConfig"]["Binds"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(!bind.contains(".."), "{bind}");
        assert!(!bind.starts_with('/') || !bind.contains(':') || bind.trim_start_matches('/').starts_with("srv"), "{bind}");
    }
}
