//! `init`: the first process of a container that has nothing else in it.
//!
//! It mounts what is missing, brings up the network it was given, starts the server as a user who owns nothing, starts it again if it dies,
//! reaps orphans, and ends all of it when it is told to. It runs as the container's root, which in an unprivileged container is nobody on
//! the machine, and speaks to nobody but the kernel and, for its own address, to DHCP servers.
//!
//! This is the one part of the program that starts a process, and the only one it starts is this program itself (`init/child.rs`): there is no
//! shell and no helper. The processes that strangers speak to have no way to here, and never start one. It is a process of
//! its own rather than a thread of the server, as PID 1 must not die with it; and it executes itself anew rather than that it forks, as what
//! is forked from a program that has an event loop shares it, and because the standard library does all of it without unsafe code.
//!
//! One thread, no lock that could be held by another.

mod child;
pub mod dhcp;
mod etc;
mod lease;
mod link;
mod mounts;
mod network;
mod record;
mod rp_filter;

use std::{
    path::Path,
    rc::Rc,
    time::{Duration, SystemTime},
};

use rustix::{
    process::{Gid, Pid, Signal, Uid},
    system::RebootCommand,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::LocalSet,
};

use self::{child::Children, record::Record};
use crate::config::{ConfigError, DEFAULT_FILE, Environment, Flags, INIT_FILE, Init, Settings, Source, Tokens};
use auth::store::{self, Store, Wanted};
use rights::grant::Grants;

/// The user and group of the server.
const SERVER: u32 = 65_532;
/// The user of docker-guard.
const GUARD: u32 = 65_533;

/// Where the server keeps what it must remember.
const STATE: &str = "/var/lib/systemmanager-mcp";

/// Docker's socket, if the container is given one.
const DOCKER: &str = "/run/docker.sock";
/// Where docker-guard makes its own, and what the configuration of the template names.
const GUARDED: &str = "/run/docker-guard";

/// How long the server has to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The signal by which LXC asks for the end.
const SIGPWR: i32 = 30;

/// Why it is not, or could not be, the first process.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is another one.
    #[error("init is the first process of a container, and this is not: run serve instead")]
    NotFirst,
    /// Without these nothing can be done.
    #[error("cannot listen to signals: {0}")]
    Signals(#[source] std::io::Error),
}

/// How a container ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Off,
    Again,
}

/// Is the first process, until it is told to end. What goes wrong on the way is said on the console and is no reason to give up: a container
/// without a network can still be looked at, one without its first process is gone.
pub fn run() -> Result<(), Error> {
    if rustix::process::getpid() != Pid::INIT {
        return Err(Error::NotFirst);
    }
    let mounted = mounts::mount_missing();
    let record = Rc::new(Record::open());
    record.say(concat!("systemmanager-mcp ", env!("CARGO_PKG_VERSION"), " is init"));
    for failure in mounted {
        record.say(&failure);
    }
    // for all that come after, too: nothing here has or needs a program that gives rights
    if let Err(error) = rustix::thread::set_no_new_privs(true) {
        record.say(&format!("no_new_privs: {error}"));
    }
    let init = Init::of(Path::new(INIT_FILE)).unwrap_or_else(|error: ConfigError| {
        record.say(&format!("{error}; going on as if the file were not there"));
        Init::default()
    });
    if let Some(name) = &init.hostname
        && let Err(error) = rustix::system::sethostname(name.as_bytes())
    {
        record.say(&format!("the host name: {error}"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Signals)?;
    let end = LocalSet::new().block_on(&runtime, live(init, &record))?;
    record.say("the end");
    if end == End::Again {
        // in a container it tells whoever watches it to start it again, and ends this process
        let _ = rustix::system::reboot(RebootCommand::Restart);
    }
    Ok(())
}

async fn live(init: Init, record: &Rc<Record>) -> Result<End, Error> {
    let on = |kind| signal(kind).map_err(Error::Signals);
    let mut child = on(SignalKind::child())?;
    let mut power = on(SignalKind::from_raw(SIGPWR))?;
    let mut interrupt = on(SignalKind::interrupt())?;
    let mut terminate = on(SignalKind::terminate())?;
    let mut hangup = on(SignalKind::hangup())?;

    // it takes a while; who wants the end in the meantime is heard after it
    first_token(record);
    network::bring_up(init, record).await;
    let mut children = Children::new(Rc::clone(record));
    if let Some(guard) = docker_guard(record) {
        children.add(guard);
    }
    children.add(child::Service {
        name: "serve",
        arguments: vec![],
        uid: Uid::from_raw(SERVER),
        gid: Gid::from_raw(SERVER),
        state: Some(STATE),
    });
    let end = loop {
        tokio::select! {
            _ = child.recv() => children.reap(),
            () = children.due() => children.start_due(),
            _ = hangup.recv() => children.pass_on(Signal::HUP),
            _ = power.recv() => break End::Off,
            _ = terminate.recv() => break End::Off,
            // Ctrl-Alt-Del of a console, and what LXC sends for a restart
            _ = interrupt.recv() => break End::Again,
        }
    };
    record.say("ending");
    children.end();
    let gone = async {
        while children.any() {
            child.recv().await;
            children.reap();
        }
    };
    if tokio::time::timeout(PATIENCE, gone).await.is_err() {
        record.say("the server does not end, and is killed");
    }
    // what it said last is still in the pipe
    children.drain().await;
    Ok(end)
}

/// Makes the first token, and shows it on the console, this once. There is no shell in which somebody could ask for it.
fn first_token(record: &Record) {
    let file = Path::new(STATE).join(store::FILE_NAME);
    if rustix::fs::stat(&file).is_ok() {
        return;
    }
    let environment = Environment { state_directory: Some(STATE.into()), ..Environment::default() };
    let settings = Settings::of(&Source::Flags(Flags::default()), Path::new(DEFAULT_FILE), &environment);
    if settings.is_ok_and(|settings| settings.tokens != Tokens::Store(file.clone())) {
        record.say("the configuration keeps tokens in a place of its own, where none is made from here");
        return;
    }
    let made =
        etc::state_directory(Path::new(STATE), SERVER).map_err(|error| format!("{STATE}: {error}")).and_then(|()| {
            let wanted = Wanted {
                name: "first".to_owned(),
                grants: Grants::usual(),
                lifetime: Some(store::LIFETIME),
                sources: vec![],
            };
            Store::add(&file, wanted, SystemTime::now()).map_err(|error| error.to_string())
        });
    match made {
        Ok((token, token_record)) => {
            record.show(&format!(
                "\nThis is the first start, so here is a token. It may only read, is good for 90 days, and is shown this once:\n\n    {}\n\n\
                 Another one, or one that may do more: run `systemmanager-mcp token new NAME` in this container.\n",
                token.expose()
            ));
            record.say(&format!("made the token {} and showed it on the console", token_record.id));
        }
        Err(error) => record.say(&format!("no token could be made: {error}")),
    }
}

/// What stands before Docker's socket, if the container is given one. The directory is its own, and what it makes there the server's group's.
fn docker_guard(record: &Record) -> Option<child::Service> {
    let socket = rustix::fs::stat(DOCKER).ok()?;
    if let Err(error) = etc::shared_directory(Path::new(GUARDED), GUARD, SERVER) {
        record.say(&format!("{GUARDED}: {error}"));
        return None;
    }
    Some(child::Service {
        name: "docker-guard",
        arguments: vec!["--docker".into(), DOCKER.into(), "--listen".into(), format!("{GUARDED}/guard.sock")],
        uid: Uid::from_raw(GUARD),
        gid: Gid::from_raw(socket.st_gid),
        state: None,
    })
}
