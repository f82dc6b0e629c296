use systemmanager_mcp::proc::diskstats;

pub fn run(text: &str) {
    if let Ok(disks) = diskstats::parse(text) {
        assert!(disks.iter().all(|disk| text.contains(&disk.name)));
    }
}
