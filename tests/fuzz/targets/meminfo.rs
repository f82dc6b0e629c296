use kernel::proc::meminfo::Meminfo;

pub fn run(text: &str) {
    let (meminfo, odd) = Meminfo::parse(text);
    assert!(meminfo.total.is_some() || odd.is_some());
}
