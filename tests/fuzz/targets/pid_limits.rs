use kernel::proc::pid_limits;

pub fn run(text: &str) {
    if let Ok(limits) = pid_limits::parse(text) {
        assert!(limits.iter().all(|limit| limit.name.len() <= 25));
    }
}
