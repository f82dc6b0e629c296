use systemmanager_mcp::guard::{Call, Head};

/// What passes is of our own making: read again it is the same, and there is nothing in it that leads elsewhere.
pub fn run(bytes: &[u8]) {
    let Ok(head) = Head::parse(bytes) else { return };
    assert!(bytes.ends_with(b"\r\n\r\n"));
    let Ok(call) = Call::of(&head.method, &head.target) else { return };
    let target = call.target();
    let (path, _) = target.split_once('?').unwrap_or((&target, ""));
    assert!(!path.contains('%') && !path.contains("//") && !path.contains(".."), "{target}");
    assert!(target.bytes().all(|byte| byte.is_ascii_graphic()), "{target}");
    let again = Call::of(call.row.method, &target).expect("what we make passes");
    assert!(std::ptr::eq(again.row, call.row));
    assert_eq!((again.target(), again.subject, again.query), (target, call.subject, call.query));
}
