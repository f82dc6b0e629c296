use kernel::proc::fib_trie;

pub fn run(text: &str) {
    assert!(fib_trie::parse(text).0.is_sorted_by(|one, next| one < next));
}
