use kernel::proc::pid_status::PidStatus;

pub fn run(bytes: &[u8]) {
    let (status, odd) = PidStatus::parse(bytes);
    assert!(status.uid.is_some() || odd.is_some());
}
