//! The fuzz targets: one file each, with `run`, which panics if a promise is broken. `cargo fuzz` runs them with inputs that the coverage leads to
//! (tests/fuzz/main.rs), and every `tests/run` over a corpus (tests/fuzzed.rs).

macro_rules! targets {
    ($($name:ident)*) => {
        $(pub mod $name;)*

        /// Each by its name.
        pub const TARGETS: &[(&str, fn(&[u8]))] = &[$((stringify!($name), |bytes| $name::run(Input::of(bytes)))),*];
    };
}

targets! {
    arcstats
    btrfs_error_stats
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
    netstat
    nf_conntrack
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
