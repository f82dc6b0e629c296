//! What the program says on standard error while it works.
//!
//! A thread of its own writes, because a pipe that nobody reads takes nothing for ever, and no call may wait for that. Lines wait for
//! it in bounded memory; what finds no room is dropped and counted. And as strangers can cause lines, each kind of line (each place
//! in the source) has a few a second; the rest of a second is counted, and the last of it shown.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, IsTerminal, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use tracing::{Metadata, callsite::Identifier};
use tracing_subscriber::{filter::Targets, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::Level;

/// Lines that may wait to be written.
const WAITING: usize = 1024;

/// Lines of one kind in one second.
const A_SECOND: u64 = 5;

/// How long the end of the program waits for its last lines.
const FLUSHED_IN: Duration = Duration::from_secs(1);

/// Says on standard error what the program does, from `level` on.
pub(super) fn start(level: Level) {
    let Some(log) = Log::of_process() else { return };
    let level = tracing::Level::from(level);
    // rmcp says three lines a request, and at DEBUG the arguments and results of every call: never those
    let targets = Targets::new().with_default(level).with_target("rmcp", tracing::level_filters::LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer().with_writer(log).with_ansi(io::stderr().is_terminal());
    // the second of two calls in one process (a test's) changes nothing
    if tracing_subscriber::registry().with(targets).with(lines).try_init().is_ok() {
        // the standard library's own would wait for the pipe, and some panics quote what they met
        std::panic::set_hook(Box::new(|panic| {
            let words = panic.to_string();
            log.push(None, format!("{}\n", redact::clean(&redact::redact_line(&words), 500)).into_bytes());
        }));
    }
}

/// Says why the program ends, after all that was said before. Waits for a second at most.
pub(super) fn complain(words: &str) {
    let line = format!("systemmanager-mcp: {words}\n");
    match Log::of_process() {
        Some(log) => {
            log.push(None, line.into_bytes());
            log.flush(FLUSHED_IN);
        }
        // there is nowhere left to say that this failed
        None => drop(io::stderr().write_all(line.as_bytes())),
    }
}

/// Waits until all is written, for a second at most.
pub(super) fn flush() {
    if let Some(Some(log)) = OF_PROCESS.get() {
        log.flush(FLUSHED_IN);
    }
}

/// There is one standard error in a process, so there is one of these.
static OF_PROCESS: OnceLock<Option<Log>> = OnceLock::new();

/// Lines on their way to the thread that writes them.
#[derive(Clone, Debug)]
struct Log(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    lines: Mutex<Lines>,
    /// Something is to be written.
    more: Condvar,
    /// All is written.
    done: Condvar,
}

impl Log {
    /// The one of this process. `None`: the system gives no thread for it.
    fn of_process() -> Option<&'static Self> {
        OF_PROCESS.get_or_init(|| Self::to(io::stderr()).ok()).as_ref()
    }

    fn to(mut out: impl Write + Send + 'static) -> io::Result<Self> {
        let log = Self(Arc::default());
        let writer = log.clone();
        let thread = std::thread::Builder::new().name("log".into()).stack_size(64 << 10);
        thread.spawn(move || {
            loop {
                // whom it does not reach cannot be told
                let _ = out.write_all(&writer.next());
            }
        })?;
        Ok(log)
    }

    fn push(&self, kind: Option<Identifier>, line: Vec<u8>) {
        self.lock().push(kind, line, Instant::now());
        self.0.more.notify_one();
    }

    /// The next line to be written, once there is one.
    fn next(&self) -> Vec<u8> {
        let mut lines = self.lock();
        lines.writing = false;
        loop {
            if let Some(line) = lines.next(Instant::now()) {
                lines.writing = true;
                return line;
            }
            self.0.done.notify_all();
            lines = if lines.kinds.values().any(|kind| kind.more > 0) {
                let waited = self.0.more.wait_timeout(lines, Duration::from_secs(1));
                waited.unwrap_or_else(PoisonError::into_inner).0
            } else {
                self.0.more.wait(lines).unwrap_or_else(PoisonError::into_inner)
            };
        }
    }

    fn flush(&self, patience: Duration) {
        let mut lines = self.lock();
        lines.count_all();
        self.0.more.notify_one();
        drop(self.0.done.wait_timeout_while(lines, patience, |lines| lines.writing || !lines.waiting.is_empty()));
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> MakeWriter<'a> for &'static Log {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { log: self, kind: None }
    }

    fn make_writer_for(&'a self, line: &Metadata<'_>) -> Line {
        // who asks for every detail is to have it
        let bounded = *line.level() <= tracing::Level::INFO;
        Line { log: self, kind: bounded.then(|| line.callsite()) }
    }
}

/// Takes one line, which comes in one piece.
struct Line {
    log: &'static Log,
    kind: Option<Identifier>,
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.log.push(self.kind.clone(), line.to_vec());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines that wait, and how many did not get there.
#[derive(Debug, Default)]
struct Lines {
    waiting: VecDeque<Vec<u8>>,
    dropped: u64,
    kinds: HashMap<Identifier, Kind>,
    /// One was taken, and is not written yet.
    writing: bool,
}

/// The lines of one kind within one second.
#[derive(Debug)]
struct Kind {
    since: Instant,
    count: u64,
    /// Those beyond what a second has, and the last of them.
    more: u64,
    last: Vec<u8>,
}

impl Lines {
    fn push(&mut self, kind: Option<Identifier>, line: Vec<u8>, now: Instant) {
        if let Some(kind) = kind {
            self.count_old(now);
            let kind = self.kinds.entry(kind).or_insert(Kind { since: now, count: 0, more: 0, last: vec![] });
            if kind.is_over(now) {
                (kind.since, kind.count) = (now, 0);
            }
            kind.count += 1;
            if kind.count > A_SECOND {
                (kind.more, kind.last) = (kind.more + 1, line);
                return;
            }
        }
        self.wait(line);
    }

    fn next(&mut self, now: Instant) -> Option<Vec<u8>> {
        if self.waiting.is_empty() {
            self.count_old(now);
        }
        self.waiting.pop_front().or_else(|| self.dropped())
    }

    fn wait(&mut self, line: Vec<u8>) {
        if self.waiting.len() >= WAITING {
            self.dropped += 1;
            return;
        }
        let dropped = self.dropped();
        self.waiting.extend(dropped);
        self.waiting.push_back(line);
    }

    fn dropped(&mut self) -> Option<Vec<u8>> {
        match std::mem::take(&mut self.dropped) {
            0 => None,
            dropped => Some(format!("{dropped} log lines were dropped: nobody took them\n").into_bytes()),
        }
    }

    fn count_old(&mut self, now: Instant) {
        self.count(|kind| kind.is_over(now));
    }

    fn count_all(&mut self) {
        self.count(|_| true);
    }

    fn count(&mut self, of: impl Fn(&Kind) -> bool) {
        let counted: Vec<_> = self.kinds.values_mut().filter(|kind| of(kind)).filter_map(Kind::counted).collect();
        counted.into_iter().for_each(|line| self.wait(line));
    }
}

impl Kind {
    fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= Duration::from_secs(1)
    }

    fn counted(&mut self) -> Option<Vec<u8>> {
        let last = std::mem::take(&mut self.last);
        match std::mem::take(&mut self.more) {
            0 => None,
            1 => Some(last),
            more => Some([format!("{} lines like the next were left out\n", more - 1).as_bytes(), &last].concat()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(lines: &mut Lines, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| lines.next(now)).map(|line| String::from_utf8(line).unwrap()).collect()
    }

    fn kinds() -> [Identifier; 2] {
        struct Site;
        impl tracing::Callsite for Site {
            fn set_interest(&self, _: tracing::subscriber::Interest) {}
            fn metadata(&self) -> &Metadata<'_> {
                unreachable!("an identifier is only compared")
            }
        }
        // of a size, or both would be at one place
        static PLACES: [(Site, u8); 2] = [(Site, 0), (Site, 1)];
        PLACES.each_ref().map(|(place, _)| Identifier(place))
    }

    #[test]
    fn one_kind_has_five_lines_a_second_and_others_as_many() {
        let (mut lines, now, [one, other]) = (Lines::default(), Instant::now(), kinds());
        for n in 0..1000 {
            lines.push(Some(one.clone()), format!("one {n}\n").into_bytes(), now);
        }
        lines.push(Some(other), b"other\n".to_vec(), now);
        assert_eq!(text(&mut lines, now), ["one 0\n", "one 1\n", "one 2\n", "one 3\n", "one 4\n", "other\n"]);
        let later = now + Duration::from_secs(1);
        assert_eq!(text(&mut lines, later), ["994 lines like the next were left out\none 999\n"]);
        lines.push(Some(one), b"again\n".to_vec(), later);
        assert_eq!(text(&mut lines, later), ["again\n"]);
        assert!(text(&mut lines, later + Duration::from_secs(9)).is_empty(), "counted once");
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted_where_it_is_missing() {
        let (mut lines, now) = (Lines::default(), Instant::now());
        for n in 0..WAITING + 7 {
            lines.push(None, format!("{n}\n").into_bytes(), now);
        }
        assert_eq!(lines.next(now).as_deref(), Some(&b"0\n"[..]));
        assert_eq!(lines.next(now).as_deref(), Some(&b"1\n"[..]));
        lines.push(None, b"after\n".to_vec(), now);
        let rest = text(&mut lines, now);
        assert_eq!(rest[WAITING - 2..], ["7 log lines were dropped: nobody took them\n", "after\n"]);
        (0..WAITING + 1).for_each(|_| lines.push(None, b"x".to_vec(), now));
        assert_eq!(text(&mut lines, now)[WAITING..], ["1 log lines were dropped: nobody took them\n"], "the last too");
    }

    #[test]
    fn all_is_written_before_the_end_and_a_stuck_reader_is_not_waited_for() {
        let (mut reader, writer) = io::pipe().unwrap();
        let log = Log::to(writer).unwrap();
        let line = vec![b'x'; 4096];
        // more than a pipe holds
        (0..100).for_each(|_| log.push(None, line.clone()));
        log.flush(Duration::from_millis(10));
        let read = std::thread::spawn(move || {
            let mut all = vec![0; 100 * 4096];
            io::Read::read_exact(&mut reader, &mut all).map(|()| all)
        });
        log.flush(Duration::from_secs(30));
        assert!(read.join().unwrap().unwrap().iter().all(|byte| *byte == b'x'));
    }
}
