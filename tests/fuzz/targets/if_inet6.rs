use kernel::proc::if_inet6;

pub fn run(text: &str) {
    assert!(if_inet6::parse(text).0.iter().all(|address| address.prefix <= 128));
}
