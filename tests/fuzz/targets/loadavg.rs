use kernel::proc::loadavg::Loadavg;

pub fn run(text: &str) {
    if let Ok(load) = Loadavg::parse(text) {
        assert!(load.one.is_finite() && load.five.is_finite() && load.fifteen.is_finite());
    }
}
