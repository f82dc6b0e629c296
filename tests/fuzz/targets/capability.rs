use kernel::proc::capability;

pub fn run(bytes: &[u8]) {
    let Some((mask, rest)) = bytes.split_first_chunk() else { return };
    let last = rest.first_chunk().map(|last| u32::from_ne_bytes(*last));
    assert!(!capability::names(u64::from_ne_bytes(*mask), last).is_empty());
}
