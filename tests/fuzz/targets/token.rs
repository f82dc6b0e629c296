#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::auth::token::Token;

fuzz_target!(|text: &str| {
    if let Ok(token) = Token::parse(text) {
        assert_eq!(token.expose(), text);
        assert!(!format!("{token:?}").contains(&text[text.len() / 2..]));
    }
});
