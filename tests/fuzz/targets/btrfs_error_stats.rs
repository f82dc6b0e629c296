use kernel::proc::btrfs_error_stats::BtrfsErrorStats;

pub fn run(text: &str) {
    if let Ok(Some(_)) = BtrfsErrorStats::parse(text) {
        assert!(text.contains("generation_errs"));
    }
}
