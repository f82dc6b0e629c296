use kernel::proc::passwd::Passwd;

pub fn run(bytes: &[u8]) {
    let passwd = Passwd::parse(bytes);
    for user in passwd.users() {
        assert!(passwd.name(user.uid).is_some() && passwd.uid(&user.name).is_some());
    }
}
