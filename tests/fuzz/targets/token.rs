use auth::token::Token;

pub fn run(text: &str) {
    if let Ok(token) = Token::parse(text) {
        assert_eq!(token.expose(), text);
        assert!(!format!("{token:?}").contains(&text[text.len() / 2..]));
    }
}
