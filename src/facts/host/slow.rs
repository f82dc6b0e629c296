//! Devices that may be slow to read, or never answer: a sensor behind a stuck bus, a disk's controller that is reset, a firmware.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    time::{Duration, Instant},
};

use super::Machine;
use crate::gap::Reader;
use kernel::root::Root;

/// How long all devices that are asked at once have to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Threads that ask at the same time. When this many wait, no more devices are asked.
const MOST: usize = 16;

/// The devices that are being asked, and since when.
#[derive(Debug, Default)]
pub struct Devices {
    asked: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Machine {
    /// What `read` makes of each of these devices (directories of sysfs), on a thread of its own. A device that does not answer within a
    /// second costs only itself, and is a gap; it is not asked again before it has answered.
    pub fn ask_devices<T: Send + 'static>(
        &self,
        reader: &Reader<'_>,
        devices: Vec<String>,
        read: impl Fn(&Reader<'_>, &str) -> T + Send + 'static,
    ) -> Vec<T> {
        if !self.root.is_sysfs() {
            // a copy of what devices said answers at once
            return devices.iter().map(|device| read(reader, device)).collect();
        }
        self.remote.devices.ask(&self.root, reader, devices, PATIENCE, read)
    }
}

impl Devices {
    fn ask<T: Send + 'static>(
        &self,
        root: &Root,
        reader: &Reader<'_>,
        mut devices: Vec<String>,
        patience: Duration,
        read: impl Fn(&Reader<'_>, &str) -> T + Send + 'static,
    ) -> Vec<T> {
        let silent = |device: &str| reader.odd(device, format!("does not answer within {} s", PATIENCE.as_secs()));
        devices.retain(|device| {
            let waits = lock(&self.asked).get(device).is_some_and(|since| since.elapsed() > PATIENCE);
            if waits {
                silent(device);
            }
            !waits
        });
        if devices.is_empty() {
            return vec![];
        }
        let until = Instant::now() + patience;
        let mut left = devices.clone();
        let mut values = vec![];
        let answers = self.send(root, devices, read);
        while let Some(answers) = &answers
            && !left.is_empty()
            && let Ok((device, value, gaps)) = answers.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            left.retain(|one| *one != device);
            values.push(value);
            reader.add(&gaps, &["/"]);
        }
        for device in &left {
            if lock(&self.asked).contains_key(device) {
                silent(device);
            } else {
                reader.odd(device, "not asked: another device does not answer");
            }
        }
        values
    }

    /// Asks them one after the other on a thread. `None`: there are too many threads already, or no other can be made.
    fn send<T: Send + 'static>(
        &self,
        root: &Root,
        devices: Vec<String>,
        read: impl Fn(&Reader<'_>, &str) -> T + Send + 'static,
    ) -> Option<mpsc::Receiver<(String, T, crate::gap::Gaps)>> {
        // each thread holds the table of those that are asked
        if Arc::strong_count(&self.asked) > MOST {
            return None;
        }
        let (root, asked) = (root.again().ok()?, Arc::clone(&self.asked));
        let (answer, answers) = mpsc::channel();
        let ask = move || {
            for device in devices {
                lock(&asked).entry(device.clone()).or_insert_with(Instant::now);
                let reader = Reader::new(&root);
                let value = read(&reader, &device);
                lock(&asked).remove(&device);
                if answer.send((device, value, reader.gaps())).is_err() {
                    return; // nobody waits any more
                }
            }
        };
        std::thread::Builder::new().name("devices".to_owned()).stack_size(128 << 10).spawn(ask).ok()?;
        Some(answers)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Longer than any test waits.
    const FOREVER: Duration = Duration::from_secs(600);

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_device_that_does_not_answer_costs_only_itself() {
        let root = Root::open(Path::new("/")).unwrap();
        let (devices, reader) = (Devices::default(), Reader::new(&root));
        let told = devices.ask(&root, &reader, names(&["sys/a", "sys/b"]), FOREVER, |_, device| device.to_owned());
        assert_eq!(told, ["sys/a", "sys/b"]);
        let (release, stuck) = mpsc::channel::<()>();
        let stuck = Mutex::new(stuck);
        let wait = move |_: &Reader<'_>, device: &str| {
            lock(&stuck).recv().ok();
            device.to_owned()
        };
        assert!(devices.ask(&root, &reader, names(&["sys/stuck"]), Duration::from_millis(50), wait).is_empty());
        // it waits on, and the others do not wait for it
        let told = devices.ask(&root, &reader, names(&["sys/a"]), FOREVER, |_, device| device.to_owned());
        assert_eq!(told, ["sys/a"]);
        assert_eq!(reader.gaps().rows().iter().map(|gap| &*gap.file).collect::<Vec<_>>(), ["/sys/stuck"]);
        drop(release);
        while Arc::strong_count(&devices.asked) > 1 {
            std::thread::yield_now();
        }
        let reader = Reader::new(&root);
        let told = devices.ask(&root, &reader, names(&["sys/stuck"]), FOREVER, |_, device| device.to_owned());
        assert_eq!((told, reader.gaps().is_empty()), (names(&["sys/stuck"]), true));
    }

    #[test]
    fn threads_that_wait_are_few() {
        let root = Root::open(Path::new("/")).unwrap();
        let (devices, reader) = (Devices::default(), Reader::new(&root));
        let threads: Vec<_> = (0..MOST).map(|_| Arc::clone(&devices.asked)).collect();
        assert!(devices.ask(&root, &reader, names(&["sys/a"]), FOREVER, |_, _| ()).is_empty());
        drop(threads);
        assert_eq!(devices.ask(&root, &reader, names(&["sys/a"]), FOREVER, |_, _| ()), [()]);
    }
}
