use systemmanager_mcp::proc::net_dev;

pub fn run(text: &str) {
    if let Ok(interfaces) = net_dev::parse(text) {
        assert!(interfaces.iter().all(|interface| text.contains(&interface.name)));
    }
}
