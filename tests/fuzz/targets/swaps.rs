use systemmanager_mcp::proc::swaps;

pub fn run(bytes: &[u8]) {
    if let Ok(swaps) = swaps::parse(bytes) {
        assert!(swaps.iter().all(|swap| !swap.filename.is_empty()));
    }
}
