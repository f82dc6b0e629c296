use systemmanager_mcp::proc::route;

pub fn run(text: &str) {
    if let Ok(routes) = route::parse(text) {
        assert!(routes.iter().all(|route| route.prefix <= 32));
    }
}
