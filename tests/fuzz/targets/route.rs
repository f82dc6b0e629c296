use kernel::proc::route;

pub fn run(text: &str) {
    assert!(route::parse(text).0.iter().all(|route| route.prefix <= 32));
}
