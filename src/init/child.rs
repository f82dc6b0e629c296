//! The processes that `init` starts, all of them this program: the only file that starts any.
#![expect(clippy::disallowed_types, reason = "init starts this program itself, and nothing else")]

use std::{
    io,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    process::{Command, ExitStatus, Stdio},
    rc::Rc,
    time::Duration,
};

use rustix::{
    fd::OwnedFd,
    process::{Gid, Pid, Signal, Uid, WaitOptions},
};
use tokio::{io::AsyncReadExt as _, net::unix::pipe::Receiver, task::JoinHandle, time::Instant};

use super::record::Record;

/// This program, whatever it is called by now.
const PROGRAM: &str = "/proc/self/exe";

/// How long it waits before it starts one again that has died at once, and how long at most.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Who has lived for so long was well.
const WELL: Duration = Duration::from_secs(60);

/// How long to wait for what an ended child said last.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A command of this program that is to run for ever.
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) arguments: Vec<String>,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    /// The directory that it keeps its state in.
    pub(super) state: Option<&'static str>,
}

enum Life {
    Running(Pid, Instant),
    Waiting(Instant),
    Over,
}

struct Child {
    service: Service,
    state: Life,
    deaths: u32,
}

/// All of them.
pub(super) struct Children {
    record: Rc<Record>,
    children: Vec<Child>,
    ending: bool,
    readers: Vec<JoinHandle<()>>,
}

impl Children {
    pub(super) fn new(record: Rc<Record>) -> Self {
        Self { record, children: vec![], ending: false, readers: vec![] }
    }

    /// Starts one, and from then on starts it again when it dies.
    pub(super) fn add(&mut self, service: Service) {
        self.children.push(Child { service, state: Life::Waiting(Instant::now()), deaths: 0 });
        self.start_due();
    }

    /// Waits until one is to be started again.
    pub(super) fn due(&self) -> impl Future<Output = ()> + use<> {
        let times = self.children.iter().filter_map(|child| match child.state {
            Life::Waiting(until) => Some(until),
            Life::Running(..) | Life::Over => None,
        });
        let next = times.min();
        async move {
            match next {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Starts those whose time has come.
    pub(super) fn start_due(&mut self) {
        let now = Instant::now();
        for child in &mut self.children {
            if !matches!(child.state, Life::Waiting(until) if until <= now) {
                continue;
            }
            child.state = match start(&child.service) {
                Ok((pid, output)) => {
                    self.readers.retain(|reader| !reader.is_finished());
                    self.readers.push(tokio::task::spawn_local(pass_on(output, Rc::clone(&self.record))));
                    Life::Running(pid, now)
                }
                Err(error) => {
                    self.record.say(&format!("cannot start {}: {error}", child.service.name));
                    child.deaths += 1;
                    Life::Waiting(now + pause(child.deaths))
                }
            };
        }
    }

    /// Takes note of all processes that have ended: children, and orphans that this process has inherited.
    pub(super) fn reap(&mut self) {
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let is_it = |child: &&mut Child| matches!(child.state, Life::Running(running, _) if running == pid);
            let Some(child) = self.children.iter_mut().find(is_it) else { continue };
            let Life::Running(_, since) = child.state else { continue };
            let how = ExitStatus::from_raw(status.as_raw());
            if self.ending {
                self.record.say(&format!("{} has ended ({how})", child.service.name));
                child.state = Life::Over;
                continue;
            }
            child.deaths = if since.elapsed() >= WELL { 1 } else { child.deaths + 1 };
            let pause = pause(child.deaths);
            self.record.say(&format!("{} has ended ({how}), and is started again in {pause:?}", child.service.name));
            child.state = Life::Waiting(Instant::now() + pause);
        }
    }

    /// Passes a signal on. One that waits to be started again is started now: what was wrong may have been put right.
    pub(super) fn pass_on(&mut self, signal: Signal) {
        for child in &mut self.children {
            match &mut child.state {
                Life::Running(pid, _) => drop(rustix::process::kill_process(*pid, signal)),
                Life::Waiting(until) => *until = Instant::now(),
                Life::Over => (),
            }
        }
        self.start_due();
    }

    /// Asks all of them to end.
    pub(super) fn end(&mut self) {
        self.ending = true;
        for child in &mut self.children {
            match child.state {
                Life::Running(pid, _) => drop(rustix::process::kill_process(pid, Signal::TERM)),
                Life::Waiting(_) | Life::Over => child.state = Life::Over,
            }
        }
    }

    /// Whether one still runs.
    pub(super) fn any(&self) -> bool {
        self.children.iter().any(|child| matches!(child.state, Life::Running(..)))
    }

    /// Waits for what they have said last.
    pub(super) async fn drain(&mut self) {
        for reader in self.readers.drain(..) {
            drop(tokio::time::timeout(LAST_WORDS, reader).await);
        }
    }
}

fn pause(deaths: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << deaths.saturating_sub(1).min(10)).min(LONGEST_PAUSE)
}

/// Starts one as its user, without groups, without an environment but for where its state is, without standard input.
fn start(service: &Service) -> io::Result<(Pid, OwnedFd)> {
    let (output, input) = io::pipe()?;
    let mut command = Command::new(PROGRAM);
    command.arg0("systemmanager-mcp").arg(service.name).args(&service.arguments);
    command.env_clear().envs(service.state.map(|state| ("STATE_DIRECTORY", state))).current_dir("/");
    // with the user go the groups, and all rights
    command.gid(service.gid.as_raw()).uid(service.uid.as_raw());
    command.stdin(Stdio::null()).stdout(input.try_clone()?).stderr(input);
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::InvalidData)?;
    Ok((pid, output.into()))
}

async fn pass_on(output: OwnedFd, record: Rc<Record>) {
    let Ok(mut output) = Receiver::from_owned_fd(output) else { return };
    let mut buffer = vec![0; 16 << 10];
    while let Ok(length @ 1..) = output.read(&mut buffer).await {
        record.pass(&buffer[..length]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_dies_again_and_again_is_started_less_and_less_often() {
        let pauses: Vec<_> = [1, 2, 3, 7, 8, 1000].map(|deaths| pause(deaths).as_millis()).into();
        assert_eq!(pauses, [500, 1000, 2000, 30_000, 30_000, 30_000]);
    }
}
