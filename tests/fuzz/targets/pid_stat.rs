use kernel::proc::pid_stat::PidStat;

pub fn run(bytes: &[u8]) {
    if let Ok(stat) = PidStat::parse(bytes) {
        assert!(bytes.as_ptr_range().contains(&stat.comm.as_ptr()));
        assert!(stat.comm.len() + 2 < bytes.len());
    }
}
