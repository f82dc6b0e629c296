use systemmanager_mcp::guard::{Call, Head};

/// What passes is of our own making: read again it is the same, and there is nothing in it that leads elsewhere.
pub fn run(bytes: &[u8]) {
    let Ok(head) = Head::parse(bytes) else { return };
    assert!(bytes.ends_with(b"\r\n\r\n"));
    let Ok(call) = Call::of(&head.method, &head.target) else { return };
    let target = call.target();
    if call.row.acts() {
        acting(&call);
    }
    let (path, _) = target.split_once('?').unwrap_or((&target, ""));
    assert!(!path.contains('%') && !path.contains("//") && !path.contains(".."), "{target}");
    assert!(target.bytes().all(|byte| byte.is_ascii_graphic()), "{target}");
    let again = Call::of(call.row.method, &target).expect("what we make passes");
    assert!(std::ptr::eq(again.row, call.row));
    if let Some(image) = &call.pulled {
        // a whole name, which no engine searches for, and takes for nothing else
        assert!(target.contains(&format!("fromImage={}&tag=", image.name)), "{target}");
        assert_eq!(image.name, image.repository(), "{target}");
    }
    assert_eq!((again.target(), again.subject, again.query), (target, call.subject, call.query));
}

/// What acts names its container in full, its image so that it is no beginning of an id, and no time without end.
fn acting(call: &Call) {
    let is_id = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let subject = call.subject.as_deref().unwrap_or_default();
    match call.row.path {
        path if path.contains("{id}") => assert!(is_id(subject), "{subject}"),
        path if path.contains("{image}") => {
            assert!(is_id(subject) || subject.contains([':', '@']), "{subject}");
            assert!(subject.strip_prefix("sha256:").is_none_or(is_id), "{subject}");
        }
        _ => (),
    }
    assert!(call.value("t").is_none_or(|seconds| seconds.parse::<u64>().is_ok_and(|seconds| seconds <= 3600)));
}
