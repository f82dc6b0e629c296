use kernel::proc::stat::Stat;

pub fn run(text: &str) {
    let (stat, odd) = Stat::parse(text);
    assert!(stat.cpu.is_some() || odd.is_some());
    for times in stat.cpus.values().chain(&stat.cpu) {
        assert!(times.busy() <= times.total());
    }
}
