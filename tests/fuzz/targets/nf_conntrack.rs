use kernel::proc::nf_conntrack;

pub fn run(text: &str) {
    let (counters, _) = nf_conntrack::parse(text);
    assert!(!counters.contains_key("entries"));
}
