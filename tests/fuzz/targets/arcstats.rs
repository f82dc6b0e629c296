use systemmanager_mcp::proc::arcstats::Arcstats;

pub fn run(text: &str) {
    let _ = Arcstats::parse(text);
}
