use kernel::proc::cpuinfo::Cpuinfo;

pub fn run(text: &str) {
    let (cpuinfo, _) = Cpuinfo::parse(text);
    assert!(cpuinfo.logical != Some(0) && cpuinfo.mhz.values().all(|clock| clock.is_finite()));
}
