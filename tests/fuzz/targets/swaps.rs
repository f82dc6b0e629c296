use kernel::proc::swaps;

pub fn run(bytes: &[u8]) {
    let (swaps, _) = swaps::parse(bytes);
    assert!(swaps.iter().all(|swap| !swap.filename.is_empty()));
}
