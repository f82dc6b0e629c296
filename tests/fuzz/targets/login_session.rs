#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::login_session::LoginSession;

fuzz_target!(|text: &str| {
    let _ = LoginSession::parse(text);
});
