use kernel::proc::netstat;

pub fn run(text: &str) {
    let wanted = |_: &str, name: &str| !name.ends_with('s');
    for (counters, _) in [netstat::pairs(text, wanted), netstat::snmp6(text, wanted)] {
        assert!(counters.keys().all(|name| !name.ends_with('s') && name.contains('_')));
    }
}
