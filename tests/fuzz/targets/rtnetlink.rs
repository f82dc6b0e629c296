use systemmanager_mcp::proc::rtnetlink;

pub fn run(bytes: &[u8]) {
    if let Ok(answer) = rtnetlink::parse(bytes, 0) {
        assert!(answer.addresses.len() <= bytes.len() / 24);
    }
}
