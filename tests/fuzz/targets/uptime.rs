use kernel::proc::uptime::Uptime;

pub fn run(text: &str) {
    if let Ok(uptime) = Uptime::parse(text) {
        assert!(uptime.up.is_finite() && uptime.idle.is_finite());
    }
}
