use systemmanager_mcp::proc::ipv6_route;

pub fn run(text: &str) {
    if let Ok(routes) = ipv6_route::parse(text) {
        assert!(routes.iter().all(|route| route.prefix <= 128));
    }
}
