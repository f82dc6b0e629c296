//! Every target in one program, since building them takes longer than running them. `TARGET` in the environment says which one it is.
#![no_main]

use std::{env, sync::LazyLock};

use libfuzzer_sys::fuzz_target;

macro_rules! targets {
    ($($name:ident)*) => {
        mod targets {
            $(pub mod $name;)*
        }

        /// What is called `name`.
        fn target(name: &str) -> Option<fn(&[u8])> {
            match name {
                $(stringify!($name) => Some(|bytes| targets::$name::run(Input::of(bytes))),)*
                _ => None,
            }
        }
    };
}

targets! {
    arcstats
    capability
    cgroup
    config
    cpuinfo
    cpulist
    dhcp
    diskstats
    docker_guard
    docker_log
    docker_policy
    fib_trie
    group
    if_inet6
    ipv6_route
    loadavg
    login_session
    mdstat
    meminfo
    mountinfo
    net_dev
    os_release
    passwd
    pid_cgroup
    pid_cmdline
    pid_io
    pid_limits
    pid_stat
    pid_status
    pressure
    resolv_conf
    route
    rtnetlink
    snmp
    stat
    swaps
    text
    token
    uptime
    utmp
    vmstat
    zpool_state
}

static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let name = env::var("TARGET").expect("TARGET names one of tests/fuzz/targets");
    target(&name).unwrap_or_else(|| panic!("{name} is none of the targets in tests/fuzz/main.rs"))
});

fuzz_target!(init: { LazyLock::force(&TARGET); }, |bytes: &[u8]| TARGET(bytes));

/// What a target asks for.
trait Input<'a> {
    fn of(bytes: &'a [u8]) -> Self;
}

impl<'a> Input<'a> for &'a [u8] {
    fn of(bytes: &'a [u8]) -> Self {
        bytes
    }
}

/// As far as it is UTF-8.
impl<'a> Input<'a> for &'a str {
    fn of(bytes: &'a [u8]) -> Self {
        bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
    }
}
