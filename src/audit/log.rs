//! The log as its one thread has it: numbers, counts of refusals, and where it all goes.

use std::{
    borrow::Cow,
    io,
    os::fd::OwnedFd,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use super::{
    AuditError, Decision, ROTATE_AT, Record, Sink, actions_of,
    budgets::{Budgets, Count},
    file::{LogFile, write_all},
    line::Line,
};
use auth::token;

/// Which of the two files a record belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Calls that read or failed, and what was refused.
    Calls,
    /// Attempts and their results.
    Actions,
}

/// The log as its thread has it.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) run: String,
    text: Vec<u8>,
    calls: Book,
    /// `None` where all goes to one stream.
    actions: Option<Book>,
    /// Shared with those who ask, so that what is only counted does not queue for the thread.
    pub(super) budgets: Arc<Mutex<Budgets>>,
}

/// One place that records go to, with their numbers.
#[derive(Debug)]
struct Book {
    out: Out,
    seq: u64,
    /// The length of the last record if it could not be written, else 0.
    failing: usize,
}

impl From<Out> for Book {
    fn from(out: Out) -> Self {
        Self { out, seq: 0, failing: 0 }
    }
}

impl Log {
    pub(super) fn open(sink: &Sink) -> Result<Self, AuditError> {
        match sink {
            Sink::File(path) => Self::of_files(path, ROTATE_AT),
            Sink::Stderr => {
                let stderr = rustix::io::fcntl_dupfd_cloexec(io::stderr(), 3);
                let stream = stderr.map_err(|errno| AuditError::Io {
                    sink: "stderr".into(),
                    doing: "open",
                    source: errno.into(),
                })?;
                Self::with(Out::Stream { stream, torn: false }, None)
            }
        }
    }

    fn of_files(path: &Path, rotate_at: u64) -> Result<Self, AuditError> {
        let calls = LogFile::open(path, rotate_at)?;
        let actions = LogFile::open(&actions_of(path), rotate_at)?;
        Self::with(Out::File(calls), Some(Out::File(actions)))
    }

    fn with(calls: Out, actions: Option<Out>) -> Result<Self, AuditError> {
        let run = token::hex(&token::random::<8>()?);
        let (calls, actions) = (calls.into(), actions.map(Book::from));
        Ok(Self { run, text: Vec::with_capacity(1024), calls, actions, budgets: Arc::default() })
    }

    /// Writes one record of this time. On an error it is not in the log (on a stream, at most its torn beginning is), and the call
    /// must be refused.
    pub(super) fn record(&mut self, of: Of, line: &Line, time: SystemTime) -> Result<(), AuditError> {
        self.summarize(time)?;
        self.write(of, line, 0)
    }

    /// Writes that credentials of this kind were refused, and what is due of those that are only counted. One that cannot be written
    /// is counted too.
    pub(super) fn refused(
        &mut self,
        admitted: Option<&Line>,
        kind: &'static str,
        time: SystemTime,
    ) -> Result<(), AuditError> {
        let written =
            self.summarize(time).and_then(|()| admitted.map_or(Ok(()), |line| self.write(Of::Calls, line, 0)));
        if written.is_err() && admitted.is_some() {
            self.budgets().lost(kind, &Record::new(time, Decision::Denied));
        }
        written
    }

    /// Writes one record and waits until it is on disk. On an error it may be in the log all the same, but nothing may be done that
    /// needs it there.
    pub(super) fn attempt(&mut self, line: &Line, time: SystemTime) -> Result<(), AuditError> {
        self.record(Of::Actions, line, time)?;
        self.sync(Of::Actions)
    }

    /// Whether a record could not be written, and none was since.
    pub(super) fn is_failing(&self) -> bool {
        self.calls.failing > 0 || self.actions.as_ref().is_some_and(|actions| actions.failing > 0)
    }

    /// Whether records can be written. After one that could not be, a record of the kind `probe` tries again.
    pub(super) fn check(&mut self, time: SystemTime) -> Result<(), AuditError> {
        for of in [Of::Calls, Of::Actions] {
            let failing = self.book(of).failing;
            if failing > 0 {
                let probe = Line::of(&Record { kind: Some("probe"), ..Record::new(time, Decision::Allowed) })?;
                // where a short record fits, the call's that did not would be refused again
                self.write(of, &probe, failing)?;
                self.sync(of)?;
            }
        }
        Ok(())
    }

    /// Writes what is still only counted: to be called on shutdown.
    pub(super) fn finish(&mut self, time: SystemTime) -> Result<(), AuditError> {
        // now or never, however young they are
        let counts = self.budgets().left();
        self.count(counts, time)
    }

    /// Writes the counts that are due.
    pub(super) fn summarize(&mut self, time: SystemTime) -> Result<(), AuditError> {
        let counts = self.budgets().due(time);
        self.count(counts, time)
    }

    fn budgets(&self) -> MutexGuard<'_, Budgets> {
        self.budgets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&mut self, counts: Vec<Count>, time: SystemTime) -> Result<(), AuditError> {
        for count in counts {
            self.write(Of::Calls, &Line::counting(&count, time)?, 0)?;
            self.budgets().summarized(&count, time);
        }
        Ok(())
    }

    fn book(&mut self, of: Of) -> &mut Book {
        match (of, &mut self.actions) {
            (Of::Actions, Some(actions)) => actions,
            (Of::Actions, None) | (Of::Calls, _) => &mut self.calls,
        }
    }

    fn sync(&mut self, of: Of) -> Result<(), AuditError> {
        let length = self.text.len();
        let book = self.book(of);
        book.out.sync().inspect_err(|_| book.failing = length)
    }

    /// Writes a line of at least so many bytes.
    fn write(&mut self, of: Of, line: &Line, at_least: usize) -> Result<(), AuditError> {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        let seq = self.book(of).seq + 1;
        line.write(&self.run, seq, &mut text);
        text.resize(text.len().max(at_least.saturating_sub(1)), b' ');
        text.push(b'\n');
        let book = self.book(of);
        let written = book.out.append(&text);
        book.failing = if written.is_err() { text.len() } else { 0 };
        book.seq += u64::from(written.is_ok());
        self.text = text;
        if written.is_ok() {
            // one huge line must not be kept in memory for good
            self.text.shrink_to(16 * 1024);
        }
        written
    }
}

#[derive(Debug)]
enum Out {
    File(LogFile),
    Stream { stream: OwnedFd, torn: bool },
}

impl Out {
    fn append(&mut self, line: &[u8]) -> Result<(), AuditError> {
        match self {
            Self::File(file) => file.append(line),
            Self::Stream { stream, torn } => {
                let whole = if *torn { Cow::Owned([b"\n", line].concat()) } else { Cow::Borrowed(line) };
                write_all(stream, &whole).map_err(|(written, errno)| {
                    // a stream cannot be cut back: its next record begins on a line of its own
                    *torn |= written > 0;
                    AuditError::Io { sink: "stderr".into(), doing: "write", source: errno.into() }
                })?;
                *torn = false;
                Ok(())
            }
        }
    }
    fn sync(&mut self) -> Result<(), AuditError> {
        match self {
            Self::File(file) => file.sync(),
            // whoever reads it keeps it, or does not
            Self::Stream { .. } => Ok(()),
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "files of the tests' own")]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt as _, symlink},
        path::{Path, PathBuf},
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use rustix::fs::{FileType, FlockOperation, Mode, OFlags};
    use serde_json::{Map, Value};

    use super::*;
    use crate::audit::{ACTIONS, Client, FILE_NAME, KEPT, Outcome, REFUSALS, RequestId, line::misleads};
    use auth::{Caller, Refusal};
    use kernel::failure::Failure;
    use rights::grant::Grants;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let name = format!("smcp-audit-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
            let path = std::env::temp_dir().join(name);
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn file(&self) -> PathBuf {
            self.0.join(FILE_NAME)
        }

        fn audit(&self) -> Log {
            Log::open(&Sink::File(self.file())).unwrap()
        }

        fn small(&self, rotate_at: u64) -> Log {
            Log::of_files(&self.file(), rotate_at).unwrap()
        }

        fn lines(&self) -> Vec<Value> {
            lines(&self.file())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn lines(file: &Path) -> Vec<Value> {
        fs::read_to_string(file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_123) + Duration::from_secs(seconds)
    }

    impl Log {
        fn put(&mut self, record: &Record<'_>) -> Result<(), AuditError> {
            self.record(Of::Calls, &Line::of(record)?, record.time)
        }

        /// A stream to this device.
        fn on(device: &str) -> Self {
            let stream = rustix::fs::open(device, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).unwrap();
            Self::with(Out::Stream { stream, torn: false }, None).unwrap()
        }

        fn refuse(&mut self, refusal: Refusal, time: SystemTime) -> Result<(), AuditError> {
            let kind = refusal.kind();
            let record = Record { kind: Some(kind), ..Record::new(time, Decision::Denied) };
            let line = Line::of(&record)?;
            let admitted = self.budgets().admit(kind, &record).then_some(line);
            self.refused(admitted.as_ref(), kind, time)
        }
    }

    fn plain() -> Record<'static> {
        Record { tool: Some("overview"), outcome: Some(Outcome::Ok), ..Record::new(at(0), Decision::Allowed) }
    }

    #[test]
    fn a_record_has_its_fields_in_order_and_nothing_absent() {
        let scratch = Scratch::new();
        let mut audit = scratch.audit();
        let args = serde_json::json!({"limit": 3, "name": "x".repeat(300)});
        audit
            .put(&Record {
                request: Some(&RequestId::Text("r".repeat(65))),
                caller: Some(&Caller::stdio(Grants::all())),
                peer: Some("::ffff:192.0.2.1".parse().unwrap()),
                client: Some(Client { name: "curl", version: "1" }),
                args: args.as_object(),
                target: Some("t"),
                kind: Some("busy"),
                bytes: Some(7),
                ms: Some(8),
                ..plain()
            })
            .unwrap();
        audit.put(&Record { request: Some(&RequestId::Number(-7)), ..plain() }).unwrap();
        let text = fs::read_to_string(scratch.file()).unwrap();
        let mut written = text.lines();
        let expected = format!(
            r#"{{"v":1,"run":"{}","seq":1,"time":"2027-01-15T08:00:00.123Z","request":"{}…","caller":{{"id":"stdio","name":"stdio"}},"auth":"stdio","peer":"192.0.2.1","client":{{"name":"curl","version":"1"}},"tool":"overview","args":{{"limit":3,"name":"{}…"}},"target":"t","decision":"allowed","phase":"result","outcome":"ok","kind":"busy","bytes":7,"ms":8}}"#,
            audit.run,
            "r".repeat(64),
            "x".repeat(256)
        );
        assert_eq!(written.next().unwrap(), expected);
        let expected = format!(
            r#"{{"v":1,"run":"{}","seq":2,"time":"2027-01-15T08:00:00.123Z","request":-7,"tool":"overview","decision":"allowed","phase":"result","outcome":"ok"}}"#,
            audit.run
        );
        assert_eq!(written.next().unwrap(), expected);
        assert!(audit.run.len() == 16 && written.next().is_none());
    }

    #[test]
    fn no_text_of_a_caller_can_forge_a_record_or_mislead_a_terminal() {
        let scratch = Scratch::new();
        let hostile = "a\"}\n{\"v\":1,\r\u{1b}[2J\0\u{9b}31m\u{202e}\u{2028}\u{feff}\\";
        let args = serde_json::json!({hostile: [hostile, {hostile: hostile}]});
        scratch
            .audit()
            .put(&Record {
                request: Some(&RequestId::Text(hostile.into())),
                client: Some(Client { name: hostile, version: hostile }),
                tool: Some(hostile),
                args: args.as_object(),
                target: Some(hostile),
                kind: Some(hostile),
                ..plain()
            })
            .unwrap();
        let text = fs::read_to_string(scratch.file()).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(text.trim_end_matches('\n').chars().all(|c| !c.is_control() && !misleads(c)), "{text}");
        assert!(scratch.lines()[0]["tool"].as_str().unwrap().starts_with("a\"}\n{"), "what JSON can hold is kept");
    }

    #[test]
    fn huge_arguments_leave_only_their_size_and_huge_labels_are_cut() {
        let scratch = Scratch::new();
        let args: Map<_, _> = (0..10_000).map(|n| (n.to_string(), Value::Null)).collect();
        let long = "é".repeat(100_000);
        scratch.audit().put(&Record { args: Some(&args), tool: Some(&long), ..plain() }).unwrap();
        assert!(fs::metadata(scratch.file()).unwrap().len() < 1000);
        assert!(scratch.lines()[0]["args"]["omitted_bytes"].as_u64().unwrap() > 100_000);
        assert_eq!(scratch.lines()[0]["tool"].as_str().unwrap().chars().count(), 65);
    }

    #[test]
    fn a_clock_gone_wild_keeps_no_call_from_being_recorded() {
        let scratch = Scratch::new();
        let mut audit = scratch.audit();
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(9);
        let after = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(u32::MAX) * 100);
        for time in [before, after] {
            audit.put(&Record { time, ..plain() }).unwrap();
            audit.refuse(Refusal::Wrong, time).unwrap();
        }
        assert_eq!(scratch.lines()[0]["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!(scratch.lines()[2]["time"], "9999-12-31T23:59:59.000Z");
    }

    #[test]
    fn an_attempt_is_on_disk_and_so_is_the_name_of_its_file() {
        let scratch = Scratch::new();
        let mut audit = scratch.audit();
        let is_synced = |book: &Book| matches!(&book.out, Out::File(file) if file.named);
        audit.put(&plain()).unwrap();
        audit.attempt(&Line::of(&plain()).unwrap(), at(0)).unwrap();
        assert!(is_synced(audit.book(Of::Actions)));
        assert!(!is_synced(&audit.calls), "a call that changes nothing waits for no disk");
        assert_eq!((scratch.lines().len(), lines(&actions_of(&scratch.file())).len()), (1, 1));
    }

    #[test]
    fn an_attempt_that_is_not_written_or_not_on_disk_is_an_error() {
        let line = Line::of(&plain()).unwrap();
        let mut audit = Log::on("/dev/full");
        assert!(matches!(audit.attempt(&line, at(0)), Err(AuditError::Io { doing: "write", .. })));

        let scratch = Scratch::new();
        let mut audit = scratch.audit();
        audit.attempt(&line, at(0)).unwrap();
        let Out::File(file) = &mut audit.book(Of::Actions).out else { panic!("a file") };
        // no pipe can be synced
        file.file = io::pipe().unwrap().1.into();
        assert!(matches!(audit.sync(Of::Actions), Err(AuditError::Io { doing: "sync", .. })));
        assert!(audit.is_failing(), "so that /readyz says it");
        audit.check(at(0)).unwrap();
        let actions = lines(&actions_of(&scratch.file()));
        let sequence: Vec<_> = actions.iter().map(|line| line["seq"].clone()).collect();
        assert_eq!(sequence, [1, 2], "what stands in the file has taken its number");
    }

    #[test]
    fn a_stream_has_nothing_to_sync() {
        let mut audit = Log::on("/dev/null");
        audit.attempt(&Line::of(&plain()).unwrap(), at(0)).unwrap();
    }

    #[test]
    fn the_file_is_its_owners_alone_and_must_be_a_regular_one() {
        let scratch = Scratch::new();
        scratch.audit();
        assert_eq!(fs::metadata(scratch.file()).unwrap().mode() & 0o7777, 0o600);
        let open = |path: PathBuf| Log::open(&Sink::File(path)).map(drop);
        symlink(scratch.file(), scratch.0.join("link")).unwrap();
        symlink(scratch.0.join("nowhere"), scratch.0.join("dangling")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, scratch.0.join("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        for name in ["link", "dangling", "fifo", "."] {
            assert!(matches!(open(scratch.0.join(name)), Err(AuditError::NotAFile { .. })), "{name}");
        }
        assert!(matches!(open("/dev/full".into()), Err(AuditError::NotAFile { .. })));
        assert!(!scratch.0.join("nowhere").exists());
    }

    #[test]
    fn a_full_stream_is_an_error_and_takes_no_number() {
        let mut audit = Log::on("/dev/full");
        let error = audit.put(&plain()).unwrap_err();
        assert!(matches!(&error, AuditError::Io { doing: "write", .. }), "{error}");
        assert_eq!(audit.calls.seq, 0);
        assert_eq!(Failure::from(error).kind(), "internal");
    }

    /// Needs a disk that is soon full: `SMALL_DISK` names a directory on one (a tmpfs of 32 kB will do). A test cannot
    /// mount one by itself without rights and `unsafe`; without it, it says that it is ignored.
    #[test]
    fn a_full_disk_leaves_no_half_line_and_writing_goes_on_when_there_is_room() {
        let Some(disk) = std::env::var_os("SMALL_DISK").map(PathBuf::from) else {
            let _ =
                io::Write::write_all(&mut io::stderr(), b"ignored: SMALL_DISK names no directory on a small disk\n");
            return;
        };
        let (file, ballast) = (disk.join(FILE_NAME), disk.join("ballast"));
        fs::write(&ballast, [0; 8192]).unwrap();
        let mut audit = Log::open(&Sink::File(file.clone())).unwrap();
        let target = "x".repeat(250);
        let record = Record { target: Some(&target), ..plain() };
        let written = (0..1000).take_while(|_| audit.put(&record).is_ok()).count();
        assert!((5..900).contains(&written), "{written}");
        assert!(audit.put(&record).is_err() && Log::open(&Sink::File(file.clone())).unwrap().put(&record).is_err());
        assert_eq!(lines(&file).len(), written, "every line is whole");
        assert!(fs::read(&file).unwrap().ends_with(b"\n"));
        fs::remove_file(&ballast).unwrap();
        audit.put(&record).unwrap();
        let seqs: Vec<_> = lines(&file).iter().map(|line| line["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, (1..=written as u64 + 1).collect::<Vec<_>>(), "no gap");
        fs::remove_file(&file).unwrap();
    }

    #[test]
    fn half_a_line_left_by_the_killed_costs_nobody_elses_record() {
        let scratch = Scratch::new();
        let mut audit = scratch.audit();
        audit.put(&plain()).unwrap();
        let half = fs::OpenOptions::new().append(true).open(scratch.file()).unwrap();
        io::Write::write_all(&mut &half, b"{\"v\":1,\"run\":\"0").unwrap();
        audit.put(&plain()).unwrap();
        scratch.audit().put(&plain()).unwrap();
        let text = fs::read_to_string(scratch.file()).unwrap();
        let whole = text.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count();
        assert_eq!((text.lines().count(), whole), (4, 3));
    }

    #[test]
    fn writers_at_once_share_a_file_through_its_rotations() {
        let scratch = Scratch::new();
        let (writers, each) = (4, 200);
        std::thread::scope(|scope| {
            for _ in 0..writers {
                // about 130 bytes a record: some 10 rotations of 10 kB
                let mut audit = scratch.small(10_000);
                scope.spawn(move || (0..each).for_each(|_| audit.put(&plain()).unwrap()));
            }
        });
        let mut all = scratch.lines();
        for number in 1..=KEPT {
            let rotated = scratch.0.join(format!("{FILE_NAME}.{number}"));
            if rotated.exists() {
                assert!(fs::metadata(&rotated).unwrap().len() <= 10_000);
                all.extend(lines(&rotated));
            }
        }
        assert!(scratch.0.join(format!("{FILE_NAME}.2")).exists());
        assert_eq!(all.len(), writers * each);
        let mut seen: Vec<_> = all.iter().map(|line| (line["run"].to_string(), line["seq"].as_u64())).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), writers * each);
    }

    #[test]
    fn rotation_keeps_sixteen_and_the_newest_is_one() {
        let scratch = Scratch::new();
        let mut audit = scratch.small(1);
        for _ in 0..30 {
            audit.put(&plain()).unwrap();
        }
        let files = fs::read_dir(&scratch.0).unwrap().filter(|entry| {
            let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
            !name.contains(ACTIONS)
        });
        assert_eq!(files.count() as u32, KEPT + 1);
        assert_eq!(scratch.lines()[0]["seq"], 30);
        assert_eq!(lines(&scratch.0.join(format!("{FILE_NAME}.1")))[0]["seq"], 29);
        assert_eq!(lines(&scratch.0.join(format!("{FILE_NAME}.16")))[0]["seq"], 14);
    }

    #[test]
    fn what_was_changed_is_not_rotated_away_by_calls_that_changed_nothing() {
        let scratch = Scratch::new();
        let mut audit = scratch.small(1);
        let target = Record { target: Some("what was changed"), ..plain() };
        audit.attempt(&Line::of(&target).unwrap(), at(0)).unwrap();
        for _ in 0..10 * KEPT {
            audit.put(&plain()).unwrap();
        }
        let actions = lines(&actions_of(&scratch.file()));
        assert_eq!((&actions[0]["target"], &actions[0]["seq"]), (&"what was changed".into(), &1.into()));
        assert_eq!(fs::metadata(actions_of(&scratch.file())).unwrap().mode() & 0o7777, 0o600);
    }

    #[test]
    fn a_removed_file_is_made_again() {
        let scratch = Scratch::new();
        let mut audit = scratch.audit();
        audit.put(&plain()).unwrap();
        fs::remove_file(scratch.file()).unwrap();
        audit.put(&plain()).unwrap();
        assert_eq!(scratch.lines()[0]["seq"], 2);
    }

    /// The log's directory is moved away, with all that is in it.
    fn moved(scratch: &Scratch, audit: &mut Log) -> PathBuf {
        audit.put(&plain()).unwrap();
        let away = scratch.0.with_extension("away");
        fs::rename(&scratch.0, &away).unwrap();
        away
    }

    fn look_now(audit: &mut Log) {
        let Out::File(file) = &mut audit.calls.out else { panic!("a file") };
        file.looked = None;
    }

    #[test]
    fn a_moved_directory_is_noticed_in_time_and_what_is_in_it_is_left_alone() {
        let scratch = Scratch::new();
        let mut audit = scratch.audit();
        let away = moved(&scratch, &mut audit);
        audit.put(&plain()).unwrap();
        assert!(!scratch.file().exists(), "it does not look at every record");
        look_now(&mut audit);
        audit.put(&plain()).unwrap();
        assert_eq!(scratch.lines()[0]["seq"], 3);
        assert_eq!(lines(&away.join(FILE_NAME)).len(), 2);
        fs::remove_dir_all(away).unwrap();
    }

    #[test]
    fn a_moved_directory_is_noticed_at_rotation() {
        let scratch = Scratch::new();
        let mut audit = scratch.small(1);
        let away = moved(&scratch, &mut audit);
        audit.put(&plain()).unwrap();
        assert_eq!(scratch.lines()[0]["seq"], 2);
        assert_eq!(fs::read_dir(&away).unwrap().count(), 2, "nothing is rotated there");
        fs::remove_dir_all(away).unwrap();
    }

    #[test]
    fn a_removed_directory_is_made_again_at_once() {
        let scratch = Scratch::new();
        let mut audit = scratch.audit();
        audit.put(&plain()).unwrap();
        fs::remove_dir_all(&scratch.0).unwrap();
        audit.put(&plain()).unwrap();
        assert_eq!(scratch.lines()[0]["seq"], 2);
    }

    #[test]
    fn where_the_path_leads_nowhere_no_record_is_taken() {
        let scratch = Scratch::new();
        let mut audit = scratch.audit();
        let away = moved(&scratch, &mut audit);
        fs::write(&scratch.0, "in its place").unwrap();
        look_now(&mut audit);
        for _ in 0..3 {
            assert!(matches!(audit.put(&plain()), Err(AuditError::Io { .. })));
        }
        assert_eq!(lines(&away.join(FILE_NAME)).len(), 1);
        fs::remove_file(&scratch.0).unwrap();
        fs::rename(&away, &scratch.0).unwrap();
        audit.put(&plain()).unwrap();
        assert_eq!(scratch.lines()[1]["seq"], 2);
    }

    #[test]
    fn a_lock_held_for_ever_is_an_error_and_no_hang() {
        let scratch = Scratch::new();
        let mut audit = scratch.audit();
        let holder = fs::File::open(scratch.file()).unwrap();
        rustix::fs::flock(&holder, FlockOperation::LockExclusive).unwrap();
        assert!(matches!(audit.put(&plain()), Err(AuditError::Io { doing: "lock", .. })));
        drop(holder);
        audit.put(&plain()).unwrap();
    }

    #[test]
    fn a_flood_of_refusals_is_counted_and_not_written() {
        let scratch = Scratch::new();
        let mut audit = scratch.audit();
        for n in 0..100_000 {
            audit.refuse(Refusal::Wrong, at(n / 1000)).unwrap();
        }
        audit.put(&Record { time: at(200), ..plain() }).unwrap();
        audit.finish(at(200)).unwrap();
        let lines = scratch.lines();
        assert!(lines.iter().all(|line| line["kind"] == "wrong" || line["tool"] == "overview"), "each says its kind");
        let counted: u64 = lines.iter().filter_map(|line| line["suppressed"].as_u64()).sum();
        let refused =
            lines.iter().filter(|line| line["kind"] == "wrong" && line.get("suppressed").is_none()).count() as u64;
        assert_eq!((refused, refused + counted), (u64::from(REFUSALS.hour), 100_000), "none is lost");
        assert!(lines.len() < 160);
        assert_eq!(lines[0]["decision"], "denied");
        assert!(lines[0].get("tool").is_none());
    }

    #[test]
    fn a_refusal_that_could_not_be_written_is_counted() {
        let mut audit = Log::on("/dev/full");
        assert!(audit.refuse(Refusal::Wrong, at(0)).is_err());
        assert_eq!(
            audit.budgets().left().iter().map(|count| (count.kind, count.suppressed)).collect::<Vec<_>>(),
            [("wrong", 1)]
        );
    }

    #[test]
    fn ten_refusals_of_a_kind_in_a_second_are_written_and_the_rest_counted_soon() {
        let scratch = Scratch::new();
        let mut audit = scratch.audit();
        (0..15).for_each(|_| audit.refuse(Refusal::Unknown, at(0)).unwrap());
        assert_eq!(scratch.lines().len(), 10);
        audit.refuse(Refusal::Wrong, at(0)).unwrap();
        assert_eq!(scratch.lines()[10]["kind"], "wrong");
        audit.put(&Record { time: at(1), ..plain() }).unwrap();
        assert_eq!((&scratch.lines()[11]["suppressed"], &scratch.lines()[11]["kind"]), (&5.into(), &"unknown".into()));
        assert_eq!(scratch.lines()[12]["tool"], "overview");
    }
}
