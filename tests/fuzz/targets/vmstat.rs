use kernel::proc::vmstat::Vmstat;

pub fn run(text: &str) {
    let _ = Vmstat::parse(text);
}
