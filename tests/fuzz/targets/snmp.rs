use kernel::proc::snmp::Snmp;

pub fn run(text: &str) {
    let _ = Snmp::parse(text);
}
