use systemmanager_mcp::proc::cpuinfo::Cpuinfo;

pub fn run(text: &str) {
    if let Ok(cpuinfo) = Cpuinfo::parse(text) {
        assert!(cpuinfo.logical > 0 && cpuinfo.mhz.values().all(|clock| clock.is_finite()));
    }
}
