//! Every fuzz target over a corpus: the recorded machines' files, what is made here of other formats, mutations of both by a fixed seed, and
//! every input in tests/fuzz/found that once broke a promise. The same inputs in every run; `SMCP_LONG` in the environment makes twenty
//! times as many. New inputs are found by the fuzzer itself (`tests/run --full`, step `fuzz`).

use std::{
    fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
};

use crate::targets::TARGETS;

/// Mutations per target, at most.
const MUTATIONS: usize = 5_000;

/// Bytes that a target is given in mutations, at most: most targets take time in proportion to them.
const BYTES: usize = 4 << 20;

/// The longest seed that is mutated.
const LONGEST: usize = 32 << 10;

/// Which recorded files a target reads, by the end of their paths: `PID` stands for a number, `*` for any name.
const RECORDED: &[(&str, &[&str])] = &[
    ("arcstats", &["kstat/zfs/arcstats"]),
    ("btrfs_error_stats", &["error_stats"]),
    ("capability", &[]),
    ("cgroup", &["fs/cgroup/*", "fs/cgroup/*/*"]),
    ("config", &["images/*", "systemd/config.ron"]),
    ("cpuinfo", &["proc/cpuinfo"]),
    ("cpulist", &["cpu/online", "cpu/possible", "cpu/present", "cpuset.cpus.effective", "cpuset.effective_cpus"]),
    ("dhcp", &[]),
    ("diskstats", &["proc/diskstats"]),
    ("docker_guard", &[]),
    ("docker_log", &["proc/cpuinfo", "recorded/*"]),
    ("docker_policy", &["recorded/*"]),
    ("fib_trie", &["net/fib_trie"]),
    ("group", &["etc/group"]),
    ("if_inet6", &["net/if_inet6"]),
    ("ipv6_route", &["net/ipv6_route"]),
    ("loadavg", &["proc/loadavg"]),
    ("login_session", &["systemd/sessions/*"]),
    ("mdstat", &["proc/mdstat"]),
    ("meminfo", &["proc/meminfo"]),
    ("mountinfo", &["PID/mountinfo"]),
    ("net_dev", &["net/dev"]),
    ("netstat", &["net/snmp"]),
    ("nf_conntrack", &[]),
    ("os_release", &["etc/os-release", "lib/os-release"]),
    ("passwd", &["etc/passwd"]),
    ("pid_cgroup", &["PID/cgroup"]),
    ("pid_cmdline", &["PID/cmdline"]),
    ("pid_io", &["PID/io"]),
    ("pid_limits", &["PID/limits"]),
    ("pid_stat", &["PID/stat"]),
    ("pid_status", &["PID/status"]),
    ("pressure", &["pressure/*", "*.pressure"]),
    ("resolv_conf", &["etc/resolv.conf"]),
    ("route", &["net/route"]),
    ("rtnetlink", &[]),
    ("snmp", &["net/snmp"]),
    ("stat", &["proc/stat"]),
    ("swaps", &["proc/swaps"]),
    ("text", &["PID/cmdline", "recorded/*", "PID/environ", "images/*"]),
    ("token", &[]),
    ("uptime", &["proc/uptime"]),
    ("utmp", &["run/utmp"]),
    ("vmstat", &["proc/vmstat"]),
    ("zpool_state", &["kstat/zfs/*/state"]),
];

/// What no recorded machine has.
fn made(target: &str) -> Vec<Vec<u8>> {
    let texts: &[&str] = match target {
        "config" => &["(listen: [\"127.0.0.1:8080\"], limits: (machine: (running: 4)), docker: (off: true))"],
        "cgroup" => {
            &["max 100000\n", "cpu cpuset io memory pids\n", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n"]
        }
        "docker_guard" => &[
            "GET /v1.41/containers/json?all=1 HTTP/1.1\r\nHost: docker\r\n\r\n",
            "POST /containers/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef/stop?t=5 HTTP/1.1\r\nHost: docker\r\nContent-Length: 0\r\n\r\n",
            "DELETE /images/t/bb:1 HTTP/1.1\r\nHost: docker\r\n\r\n",
            "GET /containers/../images/json HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n",
        ],
        "docker_policy" => &[
            r#"{"Image":"nginx","Env":["A=b"],"HostConfig":{"Binds":["/srv/data/x:/x:ro"],"Memory":67108864}}"#,
            r#"{"Image":"a","HostConfig":{"Privileged":true,"CapAdd":["SYS_ADMIN"],"Devices":[{"PathOnHost":"/dev/sda"}]}}"#,
            r#"{"Image":"a","hostConfig":{"binds":["/srv/data/../../etc:/x"]},"HostConfig":{"VolumesFrom":["a"]}}"#,
            r#"{"Image":"a","HostConfig":{"CpusetCpus":"0-3,8","LogConfig":{"Type":"json-file","Config":{"max-size":"10m","max-file":"3","tag":"{{.ID}}"}}}}"#,
            r#"{"Image":"a","WorkingDir":"/srv","HostConfig":{"Ulimits":[{"Name":"nofile","Soft":1,"Hard":9}],"BlkioDeviceReadBps":[{"Path":"/dev/sda","Rate":1}]}}"#,
            r#"{"Image":"a","Healthcheck":{"Interval":1000000000},"HostConfig":{"PortBindings":{"80/tcp":[{"HostIp":"::1","HostPort":"80-90"}]},"Tmpfs":{"/x":"size=1m"}}}"#,
        ],
        "login_session" => &[
            "# This is private data. Do not parse.\nUID=1000\nUSER=ann\nACTIVE=1\nREMOTE=1\nREMOTE_HOST=192.0.2.9\nTTY=pts/0\n",
        ],
        "netstat" => &[
            "TcpExt: SyncookiesSent ListenDrops TCPTimeouts\nTcpExt: 0 3 18\nIpExt: InOctets OutOctets\nIpExt: 123 456\n",
            "Ip6InOctets                     \t27040\nIcmp6InType135                  \t2\nUdpLite6InErrors                \t0\n",
        ],
        "nf_conntrack" => &[
            "entries  clashres found new invalid\n00000005  00000000 0000000a 00000000 ffffffff\n00000005  00000001 00000001 00000000 00000000\n",
        ],
        "text" => &[
            "DB_PASSWORD=hunter2 --token=abc Bearer eyJhbGciOi.J9 https://user:pass@host/x",
            "password: |\n  one\n  two\nnext: 1\n",
            "[{\"name\": \"DB_PASSWORD\", \"value\": \"hunter2\"}]",
            "resource \"x\" {\n  secret = <<EOT\nabc\nEOT\n}\n<password>x</password>",
            "-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----\n",
            "2026-11-30T12:00:00Z app[7]: \"\t\\n\" +",
            "    <l>\t</l> \r",
            "+| `\t` |\u{a0}",
            "key.pem-7-\t %0A",
            "pass\u{200b}wo\u{ad}rd: ｔｏｋｅｎ：hunter2",
            "tls.key: LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQpNSUlFdlFJQkFEQU5CZ2txaGtpRw==",
            "Private-Lines: 2\nq7RkT2vXa9Lw/ZbN4cJ8+eYhPdGm1sUf\nq7RkT2vX\nPrivate-MAC: 0f5d9c\n",
            "fastcgi_param DB_PASSWORD hunter2;\nrocommunity hunter2 10.0.0.0/8\ncreateUser bob SHA \"a b\" AES hunter2\n",
        ],
        "token" => &["smcp_0011223344556677_00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff_00112233"],
        _ => &[],
    };
    let mut seeds: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    match target {
        "capability" => seeds.push([0x3f_u64.to_ne_bytes().to_vec(), 40_u32.to_ne_bytes().to_vec()].concat()),
        // the options of an offer: address mask, router, name server, lease, server, end
        "dhcp" => {
            let options = [
                53, 1, 2, 1, 4, 255, 255, 255, 0, 3, 4, 192, 0, 2, 1, 6, 4, 192, 0, 2, 53, 51, 4, 0, 0, 0, 120, 54, 4,
                192, 0, 2, 1, 255,
            ];
            let mut offer = vec![0; 240];
            offer[16..20].copy_from_slice(&[192, 0, 2, 50]);
            seeds.push([&offer[..], &options].concat());
        }
        // nlmsghdr, ifaddrmsg, IFA_ADDRESS, then NLMSG_DONE
        "rtnetlink" => {
            let address = [&32_u32.to_ne_bytes()[..], &20_u16.to_ne_bytes(), &2_u16.to_ne_bytes(), &[0; 8]].concat();
            let message = [2, 24, 0, 0, 1, 0, 0, 0, 8, 0, 1, 0, 192, 0, 2, 7];
            let done = [&20_u32.to_ne_bytes()[..], &3_u16.to_ne_bytes(), &[0; 14]].concat();
            seeds.push([&address[..], &message, &done].concat());
        }
        // USER_PROCESS on pts/0
        "utmp" => {
            let mut record = vec![0; 384];
            record[0] = 7;
            record[8..13].copy_from_slice(b"pts/0");
            record[44..47].copy_from_slice(b"ann");
            record[76..85].copy_from_slice(b"192.0.2.9");
            seeds.push([record.clone(), record].concat());
        }
        _ => (),
    }
    seeds
}

#[test]
fn every_target_holds_over_its_corpus() {
    let files = files();
    let next = Mutex::new(TARGETS.iter());
    let broken = Mutex::new(vec![]);
    let times = if std::env::var_os("SMCP_LONG").is_some() { 20 } else { 1 };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((name, run)) = { next.lock().unwrap().next() } {
                    if let Some(input) = breaks(name, *run, &seeds(name, &files), times) {
                        broken.lock().unwrap().push((*name, input));
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().unwrap();
    let said = broken.iter().map(|(name, input)| {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&file, input).unwrap();
        format!("{name}: put {} into tests/fuzz/found/{name}, and mend what is wrong", file.display())
    });
    assert!(broken.is_empty(), "{}", said.collect::<Vec<_>>().join("\n"));
}

#[test]
fn every_target_has_seeds_and_every_found_input_a_target() {
    let files = files();
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        RECORDED.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        names,
        "RECORDED has the targets in their order"
    );
    for name in &names {
        assert!(!seeds(name, &files).is_empty(), "{name} has no seed: name recorded files, or make one");
    }
    for (name, endings) in RECORDED {
        for ending in *endings {
            assert!(files.iter().any(|(path, _)| ends(path, ending)), "{name}: no recorded file is {ending}");
        }
    }
    for directory in fs::read_dir(tests().join("fuzz/found")).unwrap().map(Result::unwrap) {
        if directory.file_type().unwrap().is_dir() {
            let name = directory.file_name().into_string().unwrap();
            assert!(names.contains(&name.as_str()), "tests/fuzz/found/{name} is of no target");
        }
    }
}

/// The first input that breaks a promise: a seed, or a mutation of one or two.
fn breaks(name: &str, run: fn(&[u8]), seeds: &[Vec<u8>], times: usize) -> Option<Vec<u8>> {
    let holds = |input: &[u8]| panic::catch_unwind(AssertUnwindSafe(|| run(input))).is_ok();
    if let Some(seed) = seeds.iter().find(|seed| !holds(seed)) {
        return Some(seed.clone());
    }
    let seeds: Vec<&Vec<u8>> = seeds.iter().filter(|seed| seed.len() <= LONGEST).collect();
    let mut random = Random::of(name);
    let mut bytes = 0;
    for _ in 0..MUTATIONS * times {
        let mut input = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            let other = seeds[random.below(seeds.len())];
            random.mutate(&mut input, other);
        }
        bytes += input.len();
        if bytes > BYTES * times {
            break;
        }
        if !holds(&input) {
            return Some(input);
        }
    }
    None
}

fn seeds(target: &str, files: &[(PathBuf, Vec<u8>)]) -> Vec<Vec<u8>> {
    let (_, endings) =
        RECORDED.iter().find(|(name, _)| *name == target).unwrap_or_else(|| panic!("{target} is not in RECORDED"));
    let mut seeds = made(target);
    let recorded = files.iter().filter(|(path, _)| endings.iter().any(|ending| ends(path, ending)));
    seeds.extend(recorded.map(|(_, bytes)| bytes.clone()));
    if let Ok(found) = fs::read_dir(tests().join("fuzz/found").join(target)) {
        let mut found: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
        found.sort();
        seeds.extend(found.iter().map(|path| fs::read(path).unwrap()));
    }
    seeds.sort();
    seeds.dedup();
    seeds
}

fn ends(path: &Path, ending: &str) -> bool {
    let mut names = path.iter().rev().map(|name| name.to_string_lossy());
    ending.rsplit('/').all(|wanted| {
        names.next().is_some_and(|name| match wanted {
            "*" => true,
            "PID" => name.bytes().all(|byte| byte.is_ascii_digit()),
            _ if wanted.starts_with('*') => name.ends_with(&wanted[1..]),
            _ => name == wanted,
        })
    })
}

/// The recorded machines, the Engines' recorded answers and the shipped configurations, in the order of their paths.
fn files() -> Vec<(PathBuf, Vec<u8>)> {
    fn visit(path: PathBuf, files: &mut Vec<(PathBuf, Vec<u8>)>) {
        let kind = fs::symlink_metadata(&path).unwrap();
        if kind.is_dir() {
            fs::read_dir(path).unwrap().for_each(|entry| visit(entry.unwrap().path(), files));
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap();
            files.push((path, bytes));
        }
    }
    let mut files = vec![];
    for place in [tests().join("machines"), tests().join("docker/recorded"), tests().join("../images")] {
        visit(place, &mut files);
    }
    files.sort();
    files
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// SplitMix64: the same numbers in every run, and nothing more is asked of them.
struct Random(u64);

impl Random {
    fn of(name: &str) -> Self {
        // FNV-1a
        Self(
            name.bytes()
                .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)),
        )
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, 0 if there is none.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit as u64).max(1)).unwrap()
    }

    /// A part of `length` bytes, mostly a short one.
    fn part(&mut self, length: usize) -> std::ops::Range<usize> {
        let begin = self.below(length);
        let most = if self.below(8) == 0 { length - begin } else { (length - begin).min(16) };
        begin..begin + self.below(most + 1)
    }

    fn mutate(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        /// What parsers trip over.
        const ODD: &[&[u8]] = &[
            b"",
            b"\n",
            b"\0",
            b" ",
            b"\t",
            b"-1",
            b"0",
            b"18446744073709551615",
            b"18446744073709551616",
            b"9223372036854775808",
            b"4294967296",
            b"1e308",
            b"nan",
            b"\xff\xfe",
            b"\xe2\x80\xae",
            b"\"",
            b"\\",
            b"\r\n\r\n",
            b"=",
            b":",
            b"/../",
            b"[",
            b"{\"",
            b"(deleted)",
            b"password",
        ];
        let (length, part) = (input.len(), self.part(input.len()));
        match self.below(7) {
            0 => input.truncate(self.below(length + 1)),
            1 if length > 0 => input[part.start.min(length - 1)] ^= 1 << self.below(8),
            2 => drop(input.drain(part)),
            3 => drop(input.splice(part, ODD[self.below(ODD.len())].iter().copied())),
            4 => {
                let again = input[part.clone()].to_vec();
                drop(input.splice(part.start..part.start, again.repeat(1 + self.below(3))));
            }
            5 => {
                let from = self.part(other.len());
                drop(input.splice(part, other[from].iter().copied()));
            }
            // a number becomes an odd one
            _ => {
                let digits = |byte: &u8| byte.is_ascii_digit();
                if let Some(begin) = input[part.start..].iter().position(digits).map(|at| part.start + at) {
                    let end = begin + input[begin..].iter().position(|byte| !digits(byte)).unwrap_or(length - begin);
                    drop(input.splice(begin..end, ODD[5 + self.below(8)].iter().copied()));
                }
            }
        }
    }
}
