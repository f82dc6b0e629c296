use kernel::proc::rtnetlink;

pub fn run(bytes: &[u8]) {
    let mut addresses = vec![];
    if rtnetlink::parse(bytes, 0, &mut addresses).is_ok() {
        assert!(addresses.len() <= bytes.len() / 24);
    }
}
