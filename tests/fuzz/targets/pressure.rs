use systemmanager_mcp::proc::pressure::Pressure;

pub fn run(text: &str) {
    if let Ok(pressure) = Pressure::parse(text) {
        for stall in [Some(pressure.some), pressure.full].into_iter().flatten() {
            assert!([stall.avg10, stall.avg60, stall.avg300].iter().all(|ratio| (0.0..=1.0).contains(ratio)));
        }
    }
}
