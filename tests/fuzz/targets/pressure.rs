use kernel::proc::pressure::{Pressure, Stall};

pub fn run(text: &str) {
    let _ = Stall::of_interrupts(text);
    if let Ok(pressure) = Pressure::parse(text) {
        for stall in [Some(pressure.some), pressure.full].into_iter().flatten() {
            assert!([stall.avg10, stall.avg60, stall.avg300].iter().all(|ratio| (0.0..=1.0).contains(ratio)));
        }
    }
}
