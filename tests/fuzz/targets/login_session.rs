use kernel::proc::login_session::LoginSession;

pub fn run(text: &str) {
    let _ = LoginSession::parse(text);
}
