//! The page of metrics has the names, labels, units and figures of Prometheus's node_exporter, which runs beside it, and Prometheus's own
//! checker has no complaint.
//!
//! Ours is held between two readings of theirs, as in `live`: exact for what only grows, with a tolerance for the rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use facts::{
    exposition::Exposition,
    host::{Machine, Sample},
};
use serde_json::{Value, json};

use crate::common::{Key, PATIENCE, Request, Scratch, Server, Setup, eventually};

/// Families of node_exporter that this program has not, by the beginnings of their names, and why.
const NOT_HERE: &[(&str, &str)] = &[
    ("node_arp_", "the table of neighbours is not read"),
    ("node_bcache_", "not read"),
    ("node_btrfs_allocation_ratio", "follows from how the data is laid out"),
    ("node_btrfs_commit", "not read"),
    ("node_btrfs_device_errors_total", "sysfs has no names of devices here: smcp_btrfs_device_errors_total"),
    ("node_btrfs_device_unused_bytes", "only the ioctl tells, which needs root"),
    ("node_btrfs_last_commit", "not read"),
    ("node_btrfs_max_commit", "not read"),
    ("node_disk_ata_", "udev's database is not read"),
    ("node_disk_device_mapper_info", "udev's database is not read"),
    ("node_disk_filesystem_info", "udev's database is not read"),
    ("node_entropy_", "says nothing since Linux 5.18"),
    ("node_exporter_", "is about node_exporter"),
    ("node_fibrechannel_", "not read"),
    ("node_infiniband_", "not read"),
    ("node_ipvs_", "not read"),
    ("node_nfs_", "not read"),
    ("node_nfsd_", "not read"),
    ("promhttp_", "is about node_exporter"),
    ("node_rapl_", "root's alone to read since Linux 5.10"),
    ("node_schedstat_", "not read"),
    ("node_scrape_collector_", "is about node_exporter; here: smcp_scrape_gaps"),
    ("node_selinux_", "not read"),
    ("node_sockstat_", "not read"),
    ("node_softnet_", "not read"),
    ("node_systemd_", "not read"),
    ("node_tape_", "not read"),
    ("node_textfile_", "there are no text files"),
    ("node_time_zone_offset_seconds", "the rules of time zones are not read"),
    ("node_timex_", "what the clock is steered by is not read"),
    ("node_udp_queues", "not read"),
    ("node_xfs_", "not read"),
    ("node_zfs_", "but for the states of pools and the cache, not read"),
];

/// Series of theirs that ours may lack or have under other labels, and why.
const OTHERWISE: &[(&str, &str)] = &[
    ("node_disk_info", "udev's labels are not there, `rotational` is (node_exporter 1.11)"),
    ("node_dmi_info", "no serial numbers"),
    ("node_hwmon_", "disks are not asked, to let them sleep; labels without blanks at their ends"),
    ("node_network_info", "`adminstate` is there (node_exporter 1.6)"),
    ("node_network_speed_bytes", "a speed that is not known is not there instead of -125000"),
    ("node_nvme_info", "no serial numbers; `cntlid` is there (node_exporter 1.10)"),
    ("node_power_supply_info", "no serial numbers"),
];

/// By how much a gauge of ours may be off what lies between two of theirs, by the beginning of its name: others take and give back meanwhile.
const SLACK: &[(&str, f64)] = &[
    ("node_cpu_scaling_frequency_hertz", 5e9),
    ("node_cpu_frequency_hertz", 5e9),
    // what a compiler that runs beside takes and gives back within one reading
    ("node_memory_HugePages", 0.0),
    ("node_memory_", 268_435_456.0),
    ("node_filesystem_files", 20_000.0),
    ("node_filesystem_avail_bytes", 268_435_456.0),
    ("node_filesystem_free_bytes", 268_435_456.0),
    ("node_filefd_allocated", 2_000.0),
    ("node_load", 2.0),
    ("node_procs_", 200.0),
    ("node_disk_io_now", 256.0),
    ("node_netstat_Tcp_CurrEstab", 500.0),
    ("node_nf_conntrack_entries", 2_000.0),
    ("node_hwmon_", 1_000.0),
    ("node_thermal_zone_temp", 10.0),
    ("node_cooling_device_cur_state", 100.0),
    ("node_power_supply_", 1_000.0),
    // the kernel lets two of these times step back, which both programs hide from their first reading on
    ("node_cpu_seconds_total", 2.0),
];

/// A page that was read.
#[derive(Debug, Default)]
struct Page {
    /// The kind of each family.
    families: BTreeMap<String, String>,
    /// The figure of each series, by name and labels.
    series: BTreeMap<String, f64>,
}

impl Page {
    /// Labels in their order, without those that have no value.
    fn parse(text: &str) -> Self {
        let mut page = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                page.families.insert(name.to_owned(), kind.to_owned());
            } else if !line.starts_with('#') {
                let (series, figure) = line.rsplit_once(' ').unwrap();
                page.series.insert(in_order(series), figure.parse().unwrap());
            }
        }
        page
    }
}

fn in_order(series: &str) -> String {
    let Some((name, labels)) = series.split_once('{') else { return series.to_owned() };
    let mut all = vec![];
    let mut rest = labels.strip_suffix('}').unwrap();
    while let Some((label, value)) = rest.split_once("=\"") {
        let mut escaped = false;
        let end = value.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let end = end.unwrap();
        if end > 0 {
            all.push(format!("{label}=\"{}\"", &value[..end]));
        }
        rest = value[end + 1..].trim_start_matches(',');
    }
    all.sort();
    format!("{name}{{{}}}", all.join(","))
}

fn name(series: &str) -> &str {
    series.split('{').next().unwrap()
}

/// What is wrong with the form of a page.
pub(crate) fn faults(page: &str) -> Vec<String> {
    let mut faults = vec![];
    let (mut families, mut series) = (BTreeSet::new(), BTreeSet::new());
    let mut family = "";
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            family = rest.split(' ').next().unwrap();
            if !families.insert(family) {
                faults.push(format!("{family} is there twice"));
            }
        } else if line.strip_prefix("# TYPE ").is_some_and(|rest| rest.split(' ').next() == Some(family)) {
            continue;
        } else {
            let (one, figure) = line.rsplit_once(' ').unwrap_or((line, ""));
            let is_number = figure.parse::<f64>().is_ok() && !figure.contains("inf");
            if name(one) != family || !is_number || one.contains(|c: char| c.is_control()) || !series.insert(one) {
                faults.push(format!("{line:?}"));
            }
        }
    }
    faults
}

/// Our page of this machine, now.
fn ours() -> String {
    thread_local!(static MACHINE: Arc<Machine> = Arc::new(Machine::at(Path::new("/")).unwrap()));
    let machine = MACHINE.with(Arc::clone);
    let mut page = Exposition::default();
    facts::expose(&machine, &Sample::take(&machine), &mut page);
    page.finish()
}

/// node_exporter or Prometheus itself, until this is dropped.
struct Running {
    child: Child,
    address: String,
}

impl Running {
    fn node_exporter() -> Self {
        let mut command = Command::new("prometheus-node-exporter");
        command.args(["--web.listen-address=127.0.0.1:0", "--web.disable-exporter-metrics"]);
        Self::start(command)
    }

    /// Prometheus, which scrapes this server every second with its token, and keeps all in this directory.
    fn prometheus(scratch: &Scratch, server: &Server) -> Self {
        let token = scratch.write("prometheus.token", server.token());
        let config = format!(
            "global: {{ scrape_interval: 5s, scrape_timeout: 5s }}\n\
             scrape_configs:\n  - job_name: smcp\n    authorization: {{ credentials_file: {:?} }}\n    \
             static_configs: [{{ targets: [{:?}] }}]\n",
            token,
            server.address.to_string()
        );
        let config = scratch.write("prometheus.yml", config);
        let mut command = Command::new("prometheus");
        command.arg("--config.file").arg(config).arg("--storage.tsdb.path").arg(scratch.path("tsdb"));
        command.arg("--web.listen-address=127.0.0.1:0");
        let prometheus = Self::start(command);
        eventually("Prometheus is ready", || prometheus.ask("/-/ready").ok());
        prometheus
    }

    fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert!(log.read_line(&mut line).unwrap() > 0, "it has ended");
            if let Some((_, address)) = line.split_once("msg=\"Listening on\" address=") {
                break address.trim().to_owned();
            }
        };
        // what it says further on is read, so that it never waits
        thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, address }
    }

    fn page(&self) -> String {
        self.get("/metrics")
    }

    /// What a query gives: the figures of all series, by their labels.
    fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let answer: Value = serde_json::from_str(&self.get(&format!("/api/v1/query?query={query}"))).unwrap();
        let series = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{answer}"));
        series.iter().map(|one| (one["metric"].clone(), one["value"][1].as_str().unwrap().parse().unwrap())).collect()
    }

    fn get(&self, path: &str) -> String {
        self.ask(path).unwrap_or_else(|answer| panic!("{answer}"))
    }

    /// The body of a good answer, or the whole of another one.
    fn ask(&self, path: &str) -> Result<String, String> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        if head.starts_with("HTTP/1.0 200 ") { Ok(body.to_owned()) } else { Err(answer) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether it is of a mount that another one hides. Theirs have the figures of that one for both; ours have one of the two.
fn is_hidden(page: &Page, series: &str) -> bool {
    let mount_point = |series: &str| series.split_once("mountpoint=").map(|(_, rest)| rest.to_owned());
    let is_other = |other: &&String| {
        name(other) == name(series) && other.as_str() != series && mount_point(other) == mount_point(series)
    };
    mount_point(series).is_some() && page.series.keys().filter(is_other).count() > 0
}

/// What differs between theirs before, ours, and theirs after.
fn differences(before_page: &Page, ours: &Page, after_page: &Page) -> Vec<String> {
    let mut wrong = vec![];
    let listed = |list: &[(&str, &str)], name: &str| list.iter().any(|(begin, _)| name.starts_with(begin));
    let is_theirs = |series: &&String| after_page.series.contains_key(*series);
    let mut compared = 0;
    for series in before_page.series.keys().filter(is_theirs) {
        let (name, before, after) = (name(series), before_page.series[series], after_page.series[series]);
        let kind = ours.families.get(name).map_or("", String::as_str);
        match ours.series.get(series) {
            Some(figure) => {
                compared += 1;
                let slack = SLACK.iter().find(|(begin, _)| name.starts_with(begin)).map_or(0.0, |(_, slack)| *slack);
                // both make seconds of smaller units
                let slack = slack + 1e-9 * before.abs().max(after.abs());
                if !(before.min(after) - slack..=before.max(after) + slack).contains(figure) {
                    wrong.push(format!("{series}: {figure} is not in {before}..{after}"));
                }
            }
            None if kind.is_empty() && !listed(NOT_HERE, name) && !listed(OTHERWISE, name) => {
                wrong.push(format!("the family {name} is missing"));
            }
            None if !kind.is_empty() && !listed(OTHERWISE, name) && !is_hidden(before_page, series) => {
                wrong.push(format!("{series} is missing"));
            }
            None => (),
        }
    }
    for (name, kind) in &before_page.families {
        if let Some(ours) = ours.families.get(name).filter(|ours| *ours != kind) {
            wrong.push(format!("{name}: a {ours}, and theirs is a {kind}"));
        }
    }
    if compared < 200 {
        wrong.push(format!("only {compared} series are compared"));
    }
    wrong
}

#[test]
#[ignore = "needs node_exporter: tests/run --only metrics"]
fn names_labels_and_figures_are_those_of_node_exporter() {
    let theirs = Running::node_exporter();
    let began = Instant::now();
    loop {
        let (before, ours, after) = (theirs.page(), ours(), theirs.page());
        assert_eq!(faults(&ours), [""; 0]);
        let wrong = differences(&Page::parse(&before), &Page::parse(&ours), &Page::parse(&after));
        if wrong.is_empty() {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "not once:\n{}", wrong.join("\n"));
        thread::sleep(Duration::from_millis(300));
    }
}

#[test]
#[ignore = "needs prometheus: tests/run --only metrics"]
fn a_real_prometheus_scrapes_the_page_and_answers_from_it() {
    let keys = vec![Key::new("prometheus").with_grants(&["metrics:read", "system:read"])];
    let server = Setup { keys, ..Setup::default() }.start();
    server.call("memory", json!({}));
    let scratch = Scratch::new();
    let prometheus = Running::prometheus(&scratch, &server);
    let of = |query: &str| prometheus.query(query).first().map(|(_, figure)| *figure);
    eventually("it is up", || of("up").filter(|up| *up == 1.0));
    // every sample of the page was taken up
    let all = "scrape_samples_scraped==scrape_samples_post_metric_relabeling";
    let samples = eventually("every sample is taken up", || of(all));
    assert!(samples > 300.0, "{samples}");
    let total = eventually("a figure of the kernel", || of("node_memory_MemTotal_bytes"));
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let kibibytes: f64 = meminfo.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert_eq!(total, kibibytes * 1024.0);
    eventually("the call is counted", || of("smcp_calls_total%7Btool=%22memory%22%7D").filter(|calls| *calls == 1.0));
    eventually("each scrape is a call on record", || {
        of("smcp_calls_total%7Btool=%22/metrics%22%7D").filter(|n| *n >= 2.0)
    });
    let median = "histogram_quantile(0.5,smcp_call_duration_seconds_bucket%7Btool=%22memory%22%7D)";
    eventually("its time is known", || of(median).filter(|seconds| *seconds > 0.0));
    assert!(server.calls().iter().any(|record| record["tool"] == "/metrics" && record["grant"] == "metrics:read"));
}

#[test]
#[ignore = "needs promtool: tests/run --only metrics"]
fn promtool_has_no_complaint_but_about_names_that_are_node_exporters() {
    let keys = vec![Key::new("prometheus").with_grants(&["metrics:read"])];
    let server = Setup { keys, ..Setup::default() }.start();
    server.call("memory", json!({}));
    let whole = server.ask(&Request::new("GET", "/metrics").token(server.token())).text();
    for page in [ours(), whole] {
        checked(&page);
    }
}

/// Has promtool look at a page.
fn checked(page: &str) {
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().unwrap();
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let said = promtool.wait_with_output().unwrap();
    let said = [said.stdout, said.stderr].map(|said| String::from_utf8(said).unwrap()).concat();
    // of names that others chose only the help and the form are ours
    let is_about_name = |line: &str| line.starts_with("node_") && !line.contains("no help text");
    let complaints: Vec<&str> = said.lines().filter(|line| !line.trim().is_empty() && !is_about_name(line)).collect();
    assert_eq!(complaints, [""; 0], "{said}");
}

#[test]
fn a_page_is_read_as_prometheus_reads_it() {
    let page = Page::parse("# HELP a b\n# TYPE a gauge\na{z=\"1\",empty=\"\",b=\"x \\\"y\\\", }\"} 1.5e+03\nc 2\n");
    let series: Vec<(&str, f64)> = page.series.iter().map(|(series, figure)| (series.as_str(), *figure)).collect();
    assert_eq!(series, [("a{b=\"x \\\"y\\\", }\",z=\"1\"}", 1500.0), ("c", 2.0)]);
    assert_eq!(faults("# HELP a b\n# TYPE a gauge\na 1\na 1\nb 2\na x\n"), ["\"a 1\"", "\"b 2\"", "\"a x\""]);
}

#[test]
fn this_machine_s_page_is_well_formed() {
    let page = ours();
    assert_eq!(faults(&page), [""; 0]);
    let families = Page::parse(&page).families;
    for family in ["node_cpu_seconds_total", "node_memory_MemTotal_bytes", "node_uname_info", "node_load1"] {
        assert!(families.contains_key(family), "{family}\n{page}");
    }
}
