use kernel::proc::cgroup::{CpuMax, CpuStat, MemoryEvents, MemoryStat, limit};

pub fn run(text: &str) {
    let _ = (limit(text), CpuStat::parse(text), MemoryEvents::parse(text), MemoryStat::parse(text));
    if let Ok(max) = CpuMax::parse(text) {
        assert!(max.cpus().is_none_or(f64::is_finite));
    }
}
