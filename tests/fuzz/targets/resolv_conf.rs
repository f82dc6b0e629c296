#![no_main]

use libfuzzer_sys::fuzz_target;
use systemmanager_mcp::proc::resolv_conf::ResolvConf;

fuzz_target!(|text: &str| {
    let conf = ResolvConf::parse(text);
    assert!(conf.nameservers.iter().chain(&conf.search).all(|word| text.contains(word.as_str())));
});
