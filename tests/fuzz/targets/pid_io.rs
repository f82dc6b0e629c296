use kernel::proc::pid_io::PidIo;

pub fn run(text: &str) {
    let _ = PidIo::parse(text);
}
