use systemmanager_mcp::proc::stat::Stat;

pub fn run(text: &str) {
    if let Ok(stat) = Stat::parse(text) {
        for times in stat.cpus.values().chain([&stat.cpu]) {
            assert!(times.busy() <= times.total());
        }
    }
}
