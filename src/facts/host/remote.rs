//! Filesystems whose server may be dead: each is asked on a thread of its own, and never twice at once.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Machine, Statfs};

/// How long a server has to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Threads that wait at the same time. More dead servers than this are not asked.
const MOST: usize = 16;

/// What may be slow or dead: the mount points that are being asked and have not answered yet, and devices.
#[derive(Debug, Default)]
pub(super) struct Remote {
    asked: Mutex<HashMap<Vec<u8>, Arc<Question>>>,
    pub(super) devices: super::Devices,
}

/// One mount point's, whoever waits for the answer.
#[derive(Debug)]
struct Question {
    since: Instant,
    answer: Mutex<Option<Result<Statfs, Option<i32>>>>,
    answered: Condvar,
}

impl Remote {
    /// `TimedOut`: no answer yet. `ResourceBusy`: too many servers do not answer, this one was not asked.
    pub(super) fn ask(&self, machine: &Arc<Machine>, mount_point: &[u8]) -> io::Result<Statfs> {
        let question = {
            let mut asked = lock(&self.asked);
            match asked.get(mount_point) {
                Some(question) => Arc::clone(question),
                None if asked.len() >= MOST => return Err(io::ErrorKind::ResourceBusy.into()),
                None => {
                    let question = Arc::new(Question {
                        since: Instant::now(),
                        answer: Mutex::default(),
                        answered: Condvar::default(),
                    });
                    asked.insert(mount_point.to_vec(), Arc::clone(&question));
                    drop(asked);
                    self.send(machine, mount_point, &question)?;
                    question
                }
            }
        };
        question.wait()
    }

    fn send(&self, machine: &Arc<Machine>, mount_point: &[u8], question: &Arc<Question>) -> io::Result<()> {
        let (machine, point, question) = (Arc::clone(machine), mount_point.to_vec(), Arc::clone(question));
        let ask = move || {
            let result = machine.kernel.statfs(&machine.root, &point);
            lock(&machine.remote.asked).remove(&point);
            *lock(&question.answer) = Some(result.map_err(|error| error.raw_os_error()));
            question.answered.notify_all();
        };
        match std::thread::Builder::new().name("statfs".to_owned()).stack_size(64 << 10).spawn(ask) {
            Ok(_) => Ok(()),
            Err(error) => {
                lock(&self.asked).remove(mount_point);
                Err(error)
            }
        }
    }
}

impl Question {
    fn wait(&self) -> io::Result<Statfs> {
        let patience = PATIENCE.saturating_sub(self.since.elapsed());
        let waited = self.answered.wait_timeout_while(lock(&self.answer), patience, |answer| answer.is_none());
        let (answer, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match *answer {
            Some(Ok(statfs)) => Ok(statfs),
            Some(Err(Some(errno))) => Err(io::Error::from_raw_os_error(errno)),
            // without a number it is a recorded machine that says so
            Some(Err(None)) | None => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
