//! Which machine is this, what may this server see of it, and what may who asks?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tool::{Tool, Turn};
use facts::{
    gap::{Gaps, Reader},
    host::{self, Container, Machine, Place, Whose},
    os::{self, rfc3339},
};
use kernel::{
    failure::Failure,
    proc::{
        capability, cpuinfo::Cpuinfo, login_session::LoginSession, mountinfo::Mount, pid_cgroup::PidCgroup,
        pid_status::PidStatus, utmp,
    },
    root::Root,
};
use lanes::lane::Lane;
use rights::scope::Scope;
use text::{
    page::{Limit, Page},
    table::Table,
};

/// Which machine this is: OS, kernel, virtualization or container, hardware, start, who is logged in, what this server may see, and
/// what you may do. Serial numbers are never shown.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Identity {
    /// Show at most this many logged-in users.
    #[serde(default)]
    limit: Limit<20, 200>,
    /// The `next_cursor` of an earlier answer.
    #[serde(default)]
    cursor: Option<String>,
}

/// What cannot be found out is null.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    /// Whose the OS, users and time zone are. The virtualization is always the machine's.
    pub scope: Whose,
    pub os: Option<os::Os>,
    pub kernel: Kernel,
    /// In systemd-detect-virt's words: `none`, `kvm`, `qemu`, `vmware`, `vm-other` and the like.
    pub virtualization: Option<String>,
    /// The container the server runs in.
    pub container: Option<Confined>,
    pub proxmox: Option<Proxmox>,
    pub hardware: Option<Hardware>,
    pub uptime: Option<os::Started>,
    /// Null: none is set, which means UTC.
    pub time_zone: Option<String>,
    /// The program of PID 1.
    pub init: Option<String>,
    /// Whether systemd runs it.
    pub systemd: bool,
    /// Control groups: `v1`, `v2` or `hybrid`.
    pub cgroups: Option<&'static str>,
    /// Whether there is a Docker socket.
    pub docker_socket: bool,
    pub server: Option<Server>,
    /// Your grants: scopes, of some only these actions (`(restart)`) or targets (`=web-*`).
    pub you_may: Vec<String>,
    /// How many sessions there are.
    pub users_logged_in: Option<usize>,
    /// The latest first.
    pub users: Option<Table<User>>,
    pub next_cursor: Option<String>,
    /// Files that could not be read, and why; their figures are null.
    #[serde(skip_serializing_if = "Gaps::is_empty")]
    pub gaps: Gaps,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Kernel {
    pub scope: Whose,
    pub release: Option<String>,
    /// Its build.
    pub version: Option<String>,
    pub architecture: String,
}

/// A container and its limits; null where it has none that can be seen from inside.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Confined {
    pub kind: String,
    pub id: Option<String>,
    pub memory_limit_bytes: Option<u64>,
    /// CPUs' worth of time.
    pub cpu_limit: Option<f64>,
    /// Processes and threads.
    pub pids_limit: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Proxmox {
    /// This is a Proxmox VE node.
    Host,
    /// A container on one.
    Guest,
}

#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Hardware {
    pub scope: Whose,
    pub vendor: Option<String>,
    pub product: Option<String>,
    pub board: Option<String>,
    /// BIOS or UEFI: vendor and version.
    pub firmware: Option<String>,
    /// As the vendor wrote it.
    pub firmware_date: Option<String>,
}

/// What this server is and may see.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Server {
    pub uid: Option<u32>,
    /// Effective: none, all, all but some, or names.
    pub capabilities: Option<String>,
    pub other_processes: Sight,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Sight {
    /// With their I/O, open files and environment.
    Readable,
    /// Only what everyone may see of them.
    Denied,
    /// Not even that they are there (hidepid).
    Hidden,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct User {
    pub user: String,
    pub tty: Option<String>,
    /// Remote host; null for a login at the machine itself.
    pub from: Option<String>,
    /// RFC 3339, UTC.
    pub since: Option<String>,
}

impl Tool for Identity {
    const NAME: &'static str = "identity";
    const TITLE: &'static str = "Identity";
    const SCOPE: Scope = Scope::SystemRead;
    const LANE: Lane = Lane::Machine;
    const UNTRUSTED: Option<&'static str> = Some("users");
    const AUDITED: &'static [&'static str] = &["limit"];
    type Output = Report;

    async fn run(self, turn: &Turn) -> Result<Report, Failure> {
        let page = Page::of(Self::NAME, (), self.limit.rows(), self.cursor.as_deref())?;
        let you_may = turn.caller().grants.iter().map(ToString::to_string).collect();
        turn.read(move |machine| read(machine, &page, you_may)).await
    }
}

fn read(machine: &Machine, page: &Page<usize>, you_may: Vec<String>) -> Result<Report, Failure> {
    let root = &machine.root;
    let reader = Reader::new(root);
    let place = Place::of(&reader);
    let mounts = host::mounts(&reader, |line| {
        line.is_cgroup() || OWN_FILES.iter().any(|file| line.mount_point == file.as_bytes())
    });
    let release = reader.word("proc/sys/kernel/osrelease");
    let logins = logins(root);
    let users_logged_in = logins.as_ref().map(Vec::len);
    let (users, next_cursor) = logins.map(|logins| page.by_count(logins)).unzip();
    Ok(Report {
        scope: place.inside(),
        os: os::os(&reader),
        virtualization: Marks::of(machine, &reader).verdict().map(str::to_owned),
        proxmox: proxmox(&place, release.as_deref(), root.exists("etc/pve")),
        kernel: Kernel {
            scope: Whose::Machine,
            release,
            version: reader.word("proc/sys/kernel/version").or_else(|| {
                let text = reader.word("proc/version")?;
                text.find('#').map(|at| text[at..].to_owned())
            }),
            architecture: machine.kernel.architecture(),
        },
        hardware: hardware(&reader),
        uptime: os::started(machine, &place, &reader),
        time_zone: time_zone(&reader),
        init: reader.word("proc/1/comm"),
        systemd: root.exists("run/systemd/system"),
        cgroups: cgroups(&mounts),
        docker_socket: root.exists("run/docker.sock") || root.exists("var/run/docker.sock"),
        server: server(&reader),
        you_may,
        container: place.container.map(|Container(kind)| Confined {
            kind,
            id: container_id(root, &mounts),
            memory_limit_bytes: place.limits.memory,
            cpu_limit: place.limits.cpu,
            pids_limit: place.limits.pids,
        }),
        users_logged_in,
        users: users.map(Table),
        next_cursor: next_cursor.flatten(),
        gaps: reader.gaps(),
    })
}

fn proxmox(place: &Place, release: Option<&str>, cluster: bool) -> Option<Proxmox> {
    let kernel = release.is_some_and(|release| release.ends_with("-pve"));
    match place.container {
        // the kernel is the node's
        Some(_) => kernel.then_some(Proxmox::Guest),
        None => (kernel || cluster).then_some(Proxmox::Host),
    }
}

fn hardware(reader: &Reader<'_>) -> Option<Hardware> {
    let dmi = |name: &str| reader.word(&format!("sys/class/dmi/id/{name}")).filter(|word| !is_placeholder(word));
    let joined = |first: Option<String>, second: Option<String>| {
        let words: Vec<_> = first.into_iter().chain(second).collect();
        (!words.is_empty()).then(|| words.join(" "))
    };
    let hardware = Hardware {
        scope: Whose::Machine,
        vendor: dmi("sys_vendor"),
        product: joined(dmi("product_name"), dmi("product_version")).or_else(|| device_tree(reader, "model")),
        board: joined(dmi("board_vendor"), dmi("board_name")),
        firmware: joined(dmi("bios_vendor"), dmi("bios_version")),
        firmware_date: dmi("bios_date"),
    };
    let Hardware { scope: _, vendor, product, board, firmware, firmware_date } = &hardware;
    [vendor, product, board, firmware, firmware_date].iter().any(|word| word.is_some()).then_some(hardware)
}

/// What makers leave in the firmware where a name should be.
fn is_placeholder(word: &str) -> bool {
    const LEFT: [&str; 13] = [
        "to be filled by o.e.m.",
        "default string",
        "system manufacturer",
        "system product name",
        "system version",
        "not specified",
        "not applicable",
        "none",
        "unknown",
        "o.e.m.",
        "x.x",
        "0123456789",
        "123456789",
    ];
    LEFT.contains(&word.to_ascii_lowercase().as_str()) || word.bytes().all(|byte| byte == b'0' || byte == b'.')
}

/// A property of the device tree; its strings end in NUL.
fn device_tree(reader: &Reader<'_>, property: &str) -> Option<String> {
    let text = reader.text(&format!("sys/firmware/devicetree/base/{property}"))?;
    Some(text.trim_end_matches('\0').replace('\0', " ")).filter(|text| !text.is_empty())
}

/// The link counts for the C library; the file is what Debian's tools leave beside it.
fn time_zone(reader: &Reader<'_>) -> Option<String> {
    let link = reader.keep("etc/localtime", reader.root().link("etc/localtime")).flatten();
    let linked = link.and_then(|target| target.split_once("zoneinfo/").map(|(_, zone)| zone.to_owned()));
    linked.or_else(|| reader.word("etc/timezone"))
}

/// Which control groups are mounted. A v1 tree without controllers is only systemd's own and counts as none.
fn cgroups(mounts: &[Mount]) -> Option<&'static str> {
    let v2 = mounts.iter().any(|mount| mount.fs_type == b"cgroup2");
    let v1 = mounts.iter().any(|mount| {
        let named = mount.super_options.split(|byte| *byte == b',').any(|option| option.starts_with(b"name="));
        mount.fs_type == b"cgroup" && !named
    });
    match (v1, v2) {
        (true, true) => Some("hybrid"),
        (true, false) => Some("v1"),
        (false, true) => Some("v2"),
        (false, false) => None,
    }
}

/// Files that a container has of its own, mounted from where its engine keeps them.
const OWN_FILES: &[&str] = &["/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/run/.containerenv"];

/// The id of an OCI container (its first 12 digits, as Docker shows it) or the name of an LXC one, where a path tells it.
fn container_id(root: &Root, mounts: &[Mount]) -> Option<String> {
    let files = mounts.iter().filter(|mount| OWN_FILES.iter().any(|file| mount.mount_point == file.as_bytes()));
    let membership =
        root.bytes("proc/1/cgroup").ok().and_then(|bytes| PidCgroup::parse(&bytes).ok()).unwrap_or_default();
    let groups = membership.memberships.iter().map(|one| one.path.as_slice());
    let paths: Vec<_> = files.map(|mount| mount.root.as_slice()).chain(groups).map(String::from_utf8_lossy).collect();
    paths.iter().find_map(|path| id_in(path))
}

fn id_in(path: &str) -> Option<String> {
    let digits = path.split(|character: char| !character.is_ascii_hexdigit()).find(|digits| digits.len() == 64);
    let lxc = || {
        let name = path.strip_prefix("/lxc/").or_else(|| path.strip_prefix("/lxc.payload."))?.split('/').next()?;
        Some(name.to_owned()).filter(|name| !name.is_empty())
    };
    digits.and_then(|digits| digits.get(..12)).map(str::to_owned).or_else(lxc)
}

/// What tells a virtual machine.
#[derive(Debug, Default)]
struct Marks {
    /// Product, vendor, board vendor and BIOS vendor, in systemd's order.
    dmi: Vec<String>,
    /// x86's flag for it; other architectures have none.
    flag: Option<bool>,
    /// What the machine can tell time by: hypervisors offer their own.
    clocks: String,
    /// `xen`, and whether this is the domain in control.
    xen: Option<bool>,
    /// The device tree's hypervisor and machine.
    tree: Option<(String, String)>,
}

impl Marks {
    fn of(machine: &Machine, reader: &Reader<'_>) -> Self {
        let root = &machine.root;
        let architecture = machine.kernel.architecture();
        let x86 = architecture.starts_with("x86") || (architecture.starts_with('i') && architecture.ends_with("86"));
        let cpuinfo = root.text("proc/cpuinfo").ok().map(|text| Cpuinfo::parse(&text).0);
        let control = || reader.word("proc/xen/capabilities").is_some_and(|text| text.contains("control_d"));
        Self {
            dmi: (["product_name", "sys_vendor", "board_vendor", "bios_vendor"].iter())
                .filter_map(|name| reader.word(&format!("sys/class/dmi/id/{name}")))
                .collect(),
            flag: cpuinfo.filter(|_| x86).map(|cpuinfo| cpuinfo.hypervisor),
            clocks: reader
                .word("sys/devices/system/clocksource/clocksource0/available_clocksource")
                .unwrap_or_default(),
            xen: reader.word("sys/hypervisor/type").filter(|kind| kind == "xen").map(|_| control()),
            tree: device_tree(reader, "compatible")
                .map(|compatible| (device_tree(reader, "hypervisor/compatible").unwrap_or_default(), compatible)),
        }
    }

    /// The word for it. `None`: nothing here would tell.
    fn verdict(&self) -> Option<&'static str> {
        if self.xen == Some(true) {
            return Some("none");
        }
        let dmi = self.firmware();
        // their clouds run on KVM or Xen, and are told by name
        if let Some("oracle" | "amazon" | "google" | "parallels") = dmi {
            return dmi;
        }
        let clocks = [("kvm-clock", "kvm"), ("hyperv_clocksource", "microsoft"), ("xen", "xen")];
        if let Some((_, name)) = clocks.iter().find(|(mark, _)| self.clocks.contains(mark)) {
            return Some(name);
        }
        if dmi.is_some() {
            return dmi;
        }
        if self.xen.is_some() {
            return Some("xen");
        }
        let (hypervisor, machine) = self.tree.as_ref().map_or(("", ""), |(a, b)| (a.as_str(), b.as_str()));
        let trees = [("linux,kvm", "kvm"), ("xen", "xen"), ("vmware", "vmware")];
        if let Some((_, name)) = trees.iter().find(|(mark, _)| hypervisor.contains(mark)) {
            return Some(name);
        }
        if machine.contains("linux,dummy-virt") || machine.contains("qemu") {
            return Some("qemu");
        }
        match self.flag {
            Some(true) => Some("vm-other"),
            Some(false) => Some("none"),
            None => (!self.dmi.is_empty() || self.tree.is_some()).then_some("none"),
        }
    }

    /// systemd's table of what hypervisors call their machines.
    fn firmware(&self) -> Option<&'static str> {
        const NAMES: [(&str, &str); 17] = [
            ("KVM", "kvm"),
            ("OpenStack", "kvm"),
            ("KubeVirt", "kvm"),
            ("Amazon EC2", "amazon"),
            ("QEMU", "qemu"),
            ("VMware", "vmware"),
            ("VMW", "vmware"),
            ("innotek GmbH", "oracle"),
            ("VirtualBox", "oracle"),
            ("Oracle Corporation", "oracle"),
            ("Xen", "xen"),
            ("Bochs", "bochs"),
            ("Parallels", "parallels"),
            ("BHYVE", "bhyve"),
            ("Hyper-V", "microsoft"),
            ("Apple Virtualization", "apple"),
            ("Google Compute Engine", "google"),
        ];
        let found = self.dmi.iter().find_map(|word| NAMES.iter().find(|(name, _)| word.starts_with(name)));
        let (name, kind) = found?;
        // these also stand on real machines
        let metal = self.flag == Some(false) || self.dmi.iter().any(|word| word.ends_with(".metal"));
        (!(metal && matches!(*name, "Amazon EC2" | "Oracle Corporation" | "Google Compute Engine"))).then_some(*kind)
    }
}

/// Who is logged in, the latest first: from systemd's sessions, else from utmp. `None`: neither is there, or may be read.
fn logins(root: &Root) -> Option<Vec<User>> {
    let mut logins = sessions(root).or_else(|| {
        let bytes = root.bytes("run/utmp").or_else(|_| root.bytes("var/run/utmp")).ok()?;
        let text = |bytes: &[u8]| Some(String::from_utf8_lossy(bytes).into_owned()).filter(|text| !text.is_empty());
        // where processes are hidden, nobody's end can be seen
        let hidden = !root.exists("proc/1");
        let there = |login: &utmp::Login| hidden || root.exists(&format!("proc/{}", login.pid));
        let logins = utmp::parse(&bytes).ok()?.into_iter().filter(there).filter_map(|login| {
            let since = Some(login.time).filter(|time| *time > 0).and_then(rfc3339);
            Some(User { user: text(&login.user)?, tty: text(&login.line), from: text(&login.host), since })
        });
        Some(logins.collect())
    })?;
    logins.sort_by(|a, b| (&b.since, &a.user, &a.tty).cmp(&(&a.since, &b.user, &b.tty)));
    Some(logins)
}

fn sessions(root: &Root) -> Option<Vec<User>> {
    let names = root.names("run/systemd/sessions").ok()?;
    let session = |name: &String| {
        let session = LoginSession::parse(&root.text(&format!("run/systemd/sessions/{name}")).ok()?).ok()?;
        is_person(&session).then(|| User {
            user: session.user,
            tty: session.tty,
            from: session.remote_host,
            since: session.realtime_us.and_then(|micros| rfc3339(micros / 1_000_000)),
        })
    };
    // beside each session lies a FIFO of the same name
    Some(names.iter().filter(|name| !name.ends_with(".ref")).filter_map(session).collect())
}

/// Someone's session, not one of a service, a login screen, or one that has ended.
fn is_person(session: &LoginSession) -> bool {
    let class = session.class.as_deref().unwrap_or("user");
    matches!(class, "user" | "user-early" | "user-light" | "user-early-light" | "user-incomplete")
        && session.state.as_deref() != Some("closing")
}

/// `None` on a recorded machine, where this server never ran.
fn server(reader: &Reader<'_>) -> Option<Server> {
    let status = reader.lenient("proc/self/status", PidStatus::parse(&reader.bytes("proc/self/status")?));
    let last = reader.number("proc/sys/kernel/cap_last_cap");
    Some(Server {
        uid: status.uid.map(|uid| uid.effective),
        capabilities: status.cap_eff.map(|mask| capability::names(mask, last)),
        other_processes: sight(reader.root()),
    })
}

/// PID 1 and the kernel's own PID 2 stand for those that are not ours: PID 1 alone may be this server, or guarded more than others.
fn sight(root: &Root) -> Sight {
    let any = |files: &[&str]| files.iter().any(|file| root.bytes(file).is_ok());
    if any(&["proc/2/io", "proc/1/io", "proc/1/environ"]) {
        Sight::Readable
    } else if any(&["proc/2/stat", "proc/1/stat"]) {
        Sight::Denied
    } else {
        Sight::Hidden
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(dmi: &[&str], flag: Option<bool>, clocks: &str) -> Marks {
        Marks {
            dmi: dmi.iter().map(|word| (*word).to_owned()).collect(),
            flag,
            clocks: clocks.into(),
            ..Marks::default()
        }
    }

    #[test]
    fn virtual_machines_are_told_by_name_and_clock() {
        for (dmi, flag, clocks, verdict) in [
            (&["Standard PC (Q35 + ICH9, 2009)", "QEMU"][..], Some(true), "kvm-clock tsc", Some("kvm")),
            (&["Standard PC (Q35 + ICH9, 2009)", "QEMU"], Some(true), "tsc hpet", Some("qemu")),
            (&["VMware Virtual Platform", "VMware, Inc."], Some(true), "tsc", Some("vmware")),
            (&["VirtualBox", "innotek GmbH"], Some(true), "kvm-clock", Some("oracle")),
            (
                &["Virtual Machine", "Microsoft Corporation", "Microsoft Corporation"],
                Some(true),
                "hyperv_clocksource_tsc_page",
                Some("microsoft"),
            ),
            (&["t3.micro", "Amazon EC2"], Some(true), "kvm-clock", Some("amazon")),
            (&["m5.metal", "Amazon EC2"], Some(false), "tsc", Some("none")),
            (&["a1.metal", "Amazon EC2"], None, "arch_sys_counter", Some("none")),
            (&["SUN FIRE X4170", "Oracle Corporation"], Some(false), "tsc", Some("none")),
            (&["PowerEdge R640", "Dell Inc."], Some(false), "tsc hpet", Some("none")),
            (&[], Some(true), "tsc kvm-clock", Some("kvm")),
            (&[], Some(true), "tsc", Some("vm-other")),
            (&[], Some(false), "tsc", Some("none")),
            (&[], None, "", None),
        ] {
            assert_eq!(marks(dmi, flag, clocks).verdict(), verdict, "{dmi:?} {flag:?} {clocks}");
        }
    }

    #[test]
    fn the_domain_in_control_is_no_guest_and_device_trees_name_theirs() {
        let xen = |control| Marks { xen: Some(control), ..marks(&[], Some(true), "tsc") };
        assert_eq!((xen(true).verdict(), xen(false).verdict()), (Some("none"), Some("xen")));
        let tree = |hypervisor: &str, machine: &str| {
            Marks { tree: Some((hypervisor.into(), machine.into())), ..Marks::default() }.verdict()
        };
        assert_eq!(tree("", "raspberrypi,4-model-b brcm,bcm2711"), Some("none"));
        assert_eq!(tree("", "linux,dummy-virt"), Some("qemu"));
        assert_eq!(tree("linux,kvm", "x"), Some("kvm"));
    }

    #[test]
    fn a_path_may_hold_the_containers_id() {
        let id = "0123456789abcdef".repeat(4);
        for path in [format!("/var/lib/docker/containers/{id}/hostname"), format!("/system.slice/docker-{id}.scope")] {
            assert_eq!(id_in(&path).as_deref(), Some("0123456789ab"), "{path}");
        }
        assert_eq!(id_in("/lxc/101/ns").as_deref(), Some("101"));
        assert_eq!(id_in("/lxc.payload.web").as_deref(), Some("web"));
        assert_eq!(id_in("/init.scope"), None);
        assert_eq!(id_in(&format!("/{id}0")), None);
    }

    #[test]
    fn what_the_maker_left_blank_is_no_name() {
        for word in ["To Be Filled By O.E.M.", "Default string", "0.0", "None", "0123456789"] {
            assert!(is_placeholder(word), "{word}");
        }
        assert!(!is_placeholder("PowerEdge R640") && !is_placeholder("1.0"));
    }

    #[test]
    fn only_people_are_logged_in() {
        let session = |rest: &str| LoginSession::parse(&format!("UID=1\nUSER=a\n{rest}")).unwrap();
        assert!(is_person(&session("CLASS=user\nSTATE=active\n")) && is_person(&session("")));
        for rest in ["CLASS=manager\n", "CLASS=greeter\n", "CLASS=background\n", "CLASS=user\nSTATE=closing\n"] {
            assert!(!is_person(&session(rest)), "{rest}");
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "makes the tree to be read")]
    fn the_latest_session_comes_first_and_the_dead_are_not_logged_in() {
        let dir = std::env::temp_dir().join(format!("identity-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("run")).unwrap();
        std::fs::create_dir_all(dir.join("proc/1")).unwrap();
        let root = Root::open(&dir).unwrap();
        assert_eq!(logins(&root), None);

        let mut record = vec![0; 384];
        record[0] = 7;
        record[44..48].copy_from_slice(b"root");
        for (pid, users) in [(1_u8, 1), (9, 0)] {
            record[4] = pid;
            std::fs::write(dir.join("run/utmp"), &record).unwrap();
            assert_eq!(logins(&root).unwrap().len(), users);
        }

        let sessions = dir.join("run/systemd/sessions");
        std::fs::create_dir_all(&sessions).unwrap();
        let session = |name: &str, time: u64| {
            let text = format!("UID=1\nUSER={name}\nTTY=pts/0\nREALTIME={time}000000\n");
            std::fs::write(sessions.join(name), text).unwrap();
        };
        session("old", 1_600_000_000);
        session("new", 1_700_000_000);
        session("2.ref", 1);
        let users: Vec<_> = logins(&root).unwrap().into_iter().map(|login| (login.user, login.since)).collect();
        let at = |time: &str| Some(time.to_owned());
        let expected = [("new".to_owned(), at("2023-11-14T22:13:20Z")), ("old".to_owned(), at("2020-09-13T12:26:40Z"))];
        assert_eq!(users, expected);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn control_groups_may_be_mixed() {
        let of = |lines: &str| cgroups(&kernel::proc::mountinfo::parse(lines.as_bytes()).0);
        let (v1, v2) = ("3 1 0:3 / /c/m rw - cgroup cgroup rw,memory\n", "4 1 0:4 / /c/u rw - cgroup2 cgroup2 rw\n");
        let systemd = "5 1 0:5 / /c/s rw - cgroup cgroup rw,xattr,name=systemd\n";
        assert_eq!((of(v1), of(v2), of("")), (Some("v1"), Some("v2"), None));
        assert_eq!((of(&[v1, v2].concat()), of(&[v2, systemd].concat())), (Some("hybrid"), Some("v2")));
    }

    #[test]
    fn a_proxmox_kernel_in_a_container_is_the_nodes() {
        let inside = Place { container: Some(Container("lxc".into())), ..Place::default() };
        assert_eq!(proxmox(&inside, Some("6.8.12-4-pve"), false), Some(Proxmox::Guest));
        assert_eq!(proxmox(&Place::default(), Some("6.8.12-4-pve"), false), Some(Proxmox::Host));
        assert_eq!(proxmox(&Place::default(), Some("6.1.0-18-amd64"), false), None);
    }
}
