use kernel::proc::cpulist;

pub fn run(text: &str) {
    if let Ok(cpus) = cpulist::parse(text) {
        assert!(cpus.len() <= 8192 && cpus.is_sorted_by(|one, next| one < next));
    }
}
