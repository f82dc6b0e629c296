use kernel::proc::utmp;

pub fn run(bytes: &[u8]) {
    for login in utmp::parse(bytes).into_iter().flatten() {
        assert!(login.user.len() <= 32 && login.line.len() <= 32 && login.host.len() <= 256);
    }
}
