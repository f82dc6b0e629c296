use kernel::proc::pid_cmdline;

pub fn run(bytes: &[u8]) {
    assert!(pid_cmdline::parse(bytes).all(|argument| !argument.contains(&0)));
    assert!(pid_cmdline::parse(bytes).map(<[u8]>::len).sum::<usize>() <= bytes.len());
    let whole = pid_cmdline::line(bytes, usize::MAX);
    for limit in 0..bytes.len().min(64) {
        assert_eq!(pid_cmdline::line(bytes, limit), whole[..limit.min(whole.len())]);
    }
}
