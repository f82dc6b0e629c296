use systemmanager_mcp::proc::if_inet6;

pub fn run(text: &str) {
    if let Ok(addresses) = if_inet6::parse(text) {
        assert!(addresses.iter().all(|address| address.prefix <= 128));
    }
}
