use kernel::proc::zpool_state::ZpoolState;

pub fn run(text: &str) {
    if let Ok(ZpoolState::Unknown(word)) = ZpoolState::parse(text) {
        assert!(!word.is_empty() && word.chars().count() <= 32);
    }
}
