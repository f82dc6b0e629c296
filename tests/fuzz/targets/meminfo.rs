use systemmanager_mcp::proc::meminfo::Meminfo;

pub fn run(text: &str) {
    let _ = Meminfo::parse(text);
}
