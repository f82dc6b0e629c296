//! `doctor`: line by line what works here, and what to do about the rest. It changes nothing: who looks may be root, and a file that
//! root made is not the service's.

use std::{fmt::Write, path::Path, time::SystemTime};

use rustix::process::{Resource, geteuid, getrlimit, getuid};

use super::{Error, machinery, say};
use crate::{
    audit::{self, Found, Sink},
    config::{DEFAULT_FILE, Environment, Settings, Source, Tokens},
    server::listen::Tls,
};
use auth::store::Store;
use engine::{Docker, journal::Journal, presence::Presence};
use facts::{
    gap::Reader,
    host::{First, Host, Place},
};
use jail::Jail;
use kernel::failure::Failure;

/// What was found out about one thing.
enum Finding {
    /// It works.
    Good(String),
    /// It is not there, and something is missing without it.
    Less(String, &'static str),
    /// The server cannot do its work.
    Bad(String, String),
}

use Finding::{Bad, Good, Less};

/// Examines this machine; an error if something is bad.
pub(super) fn run(source: &Source, environment: &Environment) -> Result<(), Error> {
    let mut findings = vec![];
    let settings = match Settings::of(source, Path::new(DEFAULT_FILE), environment) {
        Ok(settings) => {
            findings.push(("config", Good(describe(&settings))));
            Some(settings)
        }
        Err(error) => {
            findings.push((
                "config",
                Bad(error.to_string(), "mend the line it names; check-config FILE looks again".to_owned()),
            ));
            None
        }
    };
    if let Some(settings) = &settings {
        findings.push(("audit log", audit(settings)));
        findings.push(("tokens", tokens(settings)));
        findings.extend(updates(settings).map(|finding| ("updates", finding)));
        let tls = settings.listeners.iter().filter_map(|listener| listener.tls.as_ref());
        findings.extend(tls.map(|tls| ("certificate", certificate(tls))));
    }
    let root = settings.as_ref().map_or(Path::new("/"), |settings| &settings.root);
    match Host::open(root, First::Comes) {
        Ok(host) => machine(&host, &mut findings),
        Err(error) => findings.push((
            "machine",
            Bad(
                format!("{}: {error}", root.display()),
                "name a directory that holds proc and sys with --root".to_owned(),
            ),
        )),
    }
    if let Some(settings) = &settings {
        findings.push(("docker", docker(settings)));
        findings.extend(files(settings).into_iter().map(|finding| ("files", finding)));
    }
    findings.push(("rights", rights()));
    findings.push(("open files", open_files()));
    findings.push(("clock", clock(SystemTime::now())));
    let (report, bad) = report(&findings);
    say(report.trim_end())?;
    if bad == 0 { Ok(()) } else { Err(Error::Other(format!("{bad} of these keep the server from its work"))) }
}

fn report(findings: &[(&str, Finding)]) -> (String, usize) {
    let mut report = String::new();
    for (name, finding) in findings {
        // writing to a String cannot fail
        let _ = match finding {
            Good(what) => writeln!(report, "ok    {name}: {what}"),
            Less(what, remedy) => writeln!(report, "less  {name}: {what}\n      {remedy}"),
            Bad(what, remedy) => writeln!(report, "BAD   {name}: {what}\n      {remedy}"),
        };
    }
    (report, findings.iter().filter(|(_, finding)| matches!(finding, Bad(..))).count())
}

/// The updates of containers that have begun and not ended, if there are any.
fn updates(settings: &Settings) -> Option<Finding> {
    let read = || -> Result<Vec<String>, Failure> {
        let Some(journal) = Journal::find(&settings.state_directory)? else { return Ok(vec![]) };
        let mut names = vec![];
        for id in journal.begun()? {
            names.extend(journal.read(&id)?.map(|entry| entry.name));
        }
        Ok(names)
    };
    let begun = match read() {
        Ok(begun) => begun,
        Err(failure) => {
            return Some(Bad(
                failure.to_string(),
                "a newer version may have written it, or another user owns it".to_owned(),
            ));
        }
    };
    (!begun.is_empty()).then(|| {
        let what = format!("begun and not ended: {}", begun.join(", "));
        Less(
            what,
            "a running server is at it, or ends it as soon as it is started and Docker answers; its log says how",
        )
    })
}

fn describe(settings: &Settings) -> String {
    let listen: Vec<_> = settings.listeners.iter().map(|listener| listener.bind.to_string()).collect();
    let kind = match settings.tokens {
        Tokens::Trial(_) => "none, so a trial",
        Tokens::Store(_) => "read",
    };
    format!("{kind}; listens on {}", listen.join(", "))
}

fn audit(settings: &Settings) -> Finding {
    let remedy = "no call is answered without it: run as its owner, or set audit in the config, or --audit";
    let Sink::File(file) = &settings.audit else { return Good("goes to stderr".to_owned()) };
    let actions = writable(&audit::actions_of(file), remedy);
    if matches!(actions, Good(_)) { writable(file, remedy) } else { actions }
}

/// Whether records can be written to this file.
fn writable(file: &Path, remedy: &'static str) -> Finding {
    let (shown, me) = (file.display(), geteuid().as_raw());
    match audit::look(file) {
        Err(error) => Bad(error.to_string(), remedy.to_owned()),
        Ok(Found { owner, is_writable: false, .. }) => {
            Bad(format!("{shown} belongs to uid {owner} and cannot be written by uid {me}"), remedy.to_owned())
        }
        Ok(Found { owner, is_there: false, .. }) => {
            Good(format!("{shown} is not there yet; uid {me} can make it, where all belongs to uid {owner}"))
        }
        Ok(Found { owner, directory_owner, .. }) if owner != directory_owner => Less(
            format!("{shown} belongs to uid {owner}, its directory to uid {directory_owner}"),
            "whoever made it is not the service's user: chown it to the directory's owner",
        ),
        Ok(Found { owner, .. }) => Good(format!("{shown} can be written by uid {me} and belongs to uid {owner}")),
    }
}

fn tokens(settings: &Settings) -> Finding {
    let Tokens::Store(file) = &settings.tokens else { return Good("a trial makes its own".to_owned()) };
    match Store::look(file) {
        Ok(store) if store.records.is_empty() => {
            Less(format!("none in {}", file.display()), "nobody is let in; make one: systemmanager-mcp token new NAME")
        }
        Ok(store) => Good(format!("{} in {}", store.records.len(), file.display())),
        Err(error) => Bad(error.to_string(), "the server does not start with a token file it cannot trust".to_owned()),
    }
}

fn certificate(tls: &crate::config::Tls) -> Finding {
    match Tls::read(&tls.certificate, &tls.key) {
        Ok(_) => Good(format!("{} and its key fit", tls.certificate.display())),
        Err(error) => Bad(error, "both must be PEM files this user may read".to_owned()),
    }
}

fn machine(host: &Host, findings: &mut Vec<(&str, Finding)>) {
    let machine = host.machine();
    let root = &machine.root;
    for (name, file) in
        [("/proc", "proc/stat"), ("memory", "proc/meminfo"), ("mounts", &format!("{}/mountinfo", root.own()))]
    {
        findings.push((
            name,
            match root.bytes(file) {
                Ok(_) => Good(format!("/{file} can be read")),
                Err(failure) => Bad(failure.to_string(), "mount proc, and let this user read it".to_owned()),
            },
        ));
    }
    findings.push((
        "/sys",
        if root.exists("sys/class/net") {
            Good("there".to_owned())
        } else {
            Less("not mounted".to_owned(), "no models, speeds, temperatures or batteries")
        },
    ));
    findings.push((
        "pressure",
        if root.bytes("proc/pressure/cpu").is_ok() {
            Good("the kernel measures it".to_owned())
        } else {
            Less("not measured".to_owned(), "needs Linux 4.20 with CONFIG_PSI, and psi=1 where it is off by default")
        },
    ));
    // PID 1 is root's: if its descriptors can be counted, everybody's can
    let others = root.names("proc/1/fd");
    findings.push((
        "other processes",
        match others {
            Ok(_) => Good("their open files and I/O can be read".to_owned()),
            Err(_) => {
                Less("their open files and I/O are denied".to_owned(), "shown as denied; CAP_SYS_PTRACE would allow it")
            }
        },
    ));
    if root.names("proc").is_ok_and(|names| !names.iter().any(|name| name == "1")) {
        findings.push((
            "hidepid",
            Less(
                "other users' processes are hidden".to_owned(),
                "proc is mounted with hidepid; add this user to its gid= group to list them",
            ),
        ));
    }
    let place = Place::of(&Reader::new(root));
    let kind =
        place.container.map_or("no container".to_owned(), |container| format!("in a container ({})", container.0));
    let limit = place.limits.version.map_or(String::new(), |version| format!(", limits by cgroup v{version}"));
    findings.push(("place", Good(kind + &limit)));
}

/// Whether there is an Engine that this user may ask, and whose the socket is.
fn docker(settings: &Settings) -> Finding {
    let docker = Docker::new(settings.docker.clone());
    let socket = &settings.docker.socket;
    let look = async {
        match docker.presence().await {
            Presence::Off => Good("left alone, as the configuration says".to_owned()),
            Presence::Absent(failure) | Presence::Unready(failure) => {
                Less(failure.to_string(), "only the tools for Docker need it")
            }
            Presence::Ready(engine) if docker.is_guarded(&engine).await => {
                Good(format!("{socket} is guarded ({engine}), and lets through only some of what an Engine can"))
            }
            Presence::Ready(engine) => Less(
                format!("{socket} is the Engine's own ({engine}): whoever may use it is as good as root"),
                "put docker-guard before it, and name the guard's socket (docker.socket in the config, else --docker)",
            ),
        }
    };
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(look),
        Err(error) => Less(error.to_string(), "so nobody could be asked"),
    }
}

/// Each allowed directory, or what it lacks.
fn files(settings: &Settings) -> Vec<Finding> {
    let jail = Jail::new(machinery::files_of(settings));
    if jail.allowed().is_empty() {
        return vec![Less(
            "no directory is allowed".to_owned(),
            "callers see no file; files.directories in the config (--files without one) names what they may see",
        )];
    }
    let finding = |allowed| match jail.complaint(allowed) {
        None => Good(allowed.to_string()),
        Some(lack) => Less(format!("{allowed} {lack}"), "callers see nothing of it; the other directories are as good"),
    };
    jail.allowed().iter().map(finding).collect()
}

fn rights() -> Finding {
    let uid = getuid();
    if uid.is_root() {
        return Less("runs as root".to_owned(), "it needs no root: use a user of its own (systemd: DynamicUser=yes)");
    }
    Good(format!("runs as uid {}", uid.as_raw()))
}

fn open_files() -> Finding {
    let hard = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
    if hard >= 4096 {
        return Good("enough for thousands of connections".to_owned());
    }
    Less(format!("at most {hard}"), "raise LimitNOFILE for more connections than that; beyond it idle ones are closed")
}

fn clock(now: SystemTime) -> Finding {
    // 2026-01-01: a board without a battery wakes in 1970, and every token then looks like one of the future
    let epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let time = humantime::format_rfc3339_seconds(now).to_string();
    if epoch > 1_767_225_600 {
        Good(time)
    } else {
        Bad(format!("it says {time}"), "set it: expiry of tokens and certificates depends on it".to_owned())
    }
}
