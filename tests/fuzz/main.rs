//! Every target in one program, since building them takes longer than running them. `TARGET` in the environment says which one it is.
#![no_main]

mod targets;

use std::{env, sync::LazyLock};

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = env::var("TARGET").expect("TARGET names one of tests/fuzz/targets");
    let target = targets::TARGETS.iter().find(|(target, _)| *target == name);
    target.unwrap_or_else(|| panic!("{name} is none of the targets in tests/fuzz/targets/mod.rs")).1
});

fuzz_target!(init: { LazyLock::force(&TARGET); }, |bytes: &[u8]| TARGET(bytes));
