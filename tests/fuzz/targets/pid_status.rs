use systemmanager_mcp::proc::pid_status::PidStatus;

pub fn run(bytes: &[u8]) {
    if let Ok(status) = PidStatus::parse(bytes) {
        assert!(status.name.len() <= bytes.len());
    }
}
