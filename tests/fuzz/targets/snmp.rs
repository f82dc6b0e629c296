use systemmanager_mcp::proc::snmp::Snmp;

pub fn run(text: &str) {
    let _ = Snmp::parse(text);
}
