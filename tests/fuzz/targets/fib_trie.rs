use systemmanager_mcp::proc::fib_trie;

pub fn run(text: &str) {
    if let Ok(addresses) = fib_trie::parse(text) {
        assert!(addresses.is_sorted_by(|one, next| one < next));
    }
}
