use kernel::proc::ipv6_route;

pub fn run(text: &str) {
    assert!(ipv6_route::parse(text).0.iter().all(|route| route.prefix <= 128));
}
