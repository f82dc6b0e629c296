use serde_json::Value;
use engine::policy;

/// What passes has nothing of what leads out of a container, in whatever spelling of a name, and nothing without an end.
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
    ends(&body);
    bounds(&body["HostConfig"]);
    let directory = body["WorkingDir"].as_str().unwrap_or_default().trim_start_matches(['/', '.']);
    assert!(directory.split('/').next() != Some("proc"), "{directory}");
    for often in ["Interval", "StartInterval"] {
        let interval = body["Healthcheck"][often].as_i64().unwrap_or(0);
        assert!(interval == 0 || interval >= 1_000_000_000, "{interval}");
    }
}

/// The largest number, the longest text, and the longest list that any field may have.
fn ends(value: &Value) {
    match value {
        Value::Number(number) => {
            assert!(number.as_i64().is_some_and(|number| (-1_000_000..=1 << 50).contains(&number)), "{number}");
        }
        Value::String(text) => assert!(text.len() <= 256 << 10),
        Value::Array(list) => {
            assert!(list.len() <= 8192);
            list.iter().for_each(ends);
        }
        Value::Object(object) => {
            assert!(object.len() <= 256);
            object.values().for_each(ends);
        }
        Value::Null | Value::Bool(_) => (),
    }
}

/// What has made an engine do endless work, or look at a path of the machine.
fn bounds(host: &Value) {
    for set in ["CpusetCpus", "CpusetMems"] {
        let numbers = host[set].as_str().unwrap_or_default().split([',', '-']).filter(|number| !number.is_empty());
        assert!(numbers.into_iter().all(|number| number.parse::<u32>().is_ok_and(|number| number < 8192)), "{host}");
    }
    let log = &host["LogConfig"]["Config"];
    let says = |name: &str| log[name].as_str().unwrap_or_default();
    assert!(says("max-file").is_empty() || says("max-file").parse::<u32>().is_ok_and(|files| files <= 100), "{log}");
    assert!(says("max-size").parse::<u64>().map_or(true, |bytes| bytes >= 64_000), "{log}");
    let is_field = |rest: &str| rest.trim_start_matches(' ').starts_with('.');
    assert!(says("tag").split("{{").skip(1).all(is_field), "{log}");
    for list in ["BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps"] {
        for device in host[list].as_array().into_iter().flatten() {
            if let Some(path) = device["Path"].as_str() {
                assert!(path.strip_prefix("/dev/").is_some_and(|name| !name.contains('/')), "{path}");
            }
        }
    }
    for limit in host["Ulimits"].as_array().into_iter().flatten() {
        let most = limit["Soft"].as_i64().max(limit["Hard"].as_i64()).unwrap_or(0);
        match limit["Name"].as_str() {
            Some("rtprio") => assert_eq!(most, 0),
            Some("memlock") => assert!((0..=64 << 20).contains(&most)),
            _ => (),
        }
    }
    let ports = host["PortBindings"].as_object().into_iter().flatten();
    assert!(ports.map(|(_, bindings)| bindings.as_array().map_or(0, Vec::len)).sum::<usize>() <= 256);
    assert!(host["PublishAllPorts"] != true);
}
