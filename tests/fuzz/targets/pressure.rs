#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::pressure::Pressure;

fuzz_target!(|text: &str| {
    if let Ok(pressure) = Pressure::parse(text) {
        for stall in [Some(pressure.some), pressure.full].into_iter().flatten() {
            assert!([stall.avg10, stall.avg60, stall.avg300].iter().all(|ratio| (0.0..=1.0).contains(ratio)));
        }
    }
});
