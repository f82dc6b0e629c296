use kernel::proc::arcstats::{Arcstats, figures};

pub fn run(text: &str) {
    let _ = Arcstats::parse(text);
    let _ = figures(text);
}
