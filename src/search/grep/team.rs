//! Files searched by several threads at once, and told in the order of the walk: the answer is the same each time, and one can go on after it.
//!
//! The walk hands out batches of files; how many may be on their way is bounded, and with them the directories that are held open and the
//! lines that wait for those before them.

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{
    Search,
    assembly::Assembly,
    file::{Ended, Looker, Outcome},
};
use crate::{patience::Patience, resume::Line};
use jail::walk::Ticket;
use kernel::failure::Failure;

/// Threads that search, where there are as many cores: half of them, within these.
const FEWEST: usize = 2;
const MOST: usize = 4;

/// Files of a batch, and directories that they may be in.
const FILES: usize = 32;
const DIRECTORIES: usize = 8;

/// Batches on their way at the same time.
const WINDOW: u64 = 12;

/// Rows that may wait until those before them have come.
const WAITING_ROWS: usize = 4_000;

/// How long is waited until it is asked again whether it is worth it.
const LOOK_UP: Duration = Duration::from_millis(20);

/// A file to be searched.
#[derive(Debug)]
struct Job {
    path: PathBuf,
    ticket: Ticket,
    /// It goes on there.
    after: Option<Line>,
}

/// What came of a batch: of those files of which there is anything to say.
type Batch = Vec<Outcome>;

/// All that the threads share.
#[derive(Debug)]
pub(super) struct Team<'a> {
    search: &'a Search<'a>,
    patience: &'a Patience,
    /// Tells the threads that there are rows enough.
    enough: &'a CancellationToken,
    state: Mutex<Batches<'a>>,
    /// There is something to do, or nothing any more.
    work: Condvar,
    /// There is room for more of it.
    room: Condvar,
}

#[derive(Debug)]
struct Batches<'a> {
    queue: VecDeque<(u64, Vec<Job>)>,
    is_closed: bool,
    /// How many have been handed out.
    handed: u64,
    /// The batch that is told next, and those after it that have come before it.
    next: u64,
    done: BTreeMap<u64, Batch>,
    waiting_rows: usize,
    page: Assembly<'a>,
}

/// Batches in the making.
#[derive(Debug)]
pub(super) struct Handing<'a, 'team> {
    team: &'team Team<'a>,
    batch: Vec<Job>,
    /// Of the last file, and how many there are in the batch.
    directory: (u64, usize),
    directories: usize,
}

impl<'a> Team<'a> {
    pub(super) fn new(search: &'a Search<'a>, patience: &'a Patience, enough: &'a CancellationToken) -> Self {
        let state = Batches {
            queue: VecDeque::new(),
            is_closed: false,
            handed: 0,
            next: 0,
            done: BTreeMap::new(),
            waiting_rows: 0,
            page: Assembly::new(search),
        };
        Self { search, patience, enough, state: Mutex::new(state), work: Condvar::new(), room: Condvar::new() }
    }

    /// Searches all files that `walk` hands out, and gives the page that came of them with what `walk` gave.
    pub(super) fn search<T>(
        self,
        walk: impl FnOnce(&mut Handing<'a, '_>) -> Result<T, Failure>,
    ) -> Result<(Assembly<'a>, T), Failure> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (cores / 2).clamp(FEWEST, MOST).min(cores);
        let walked = std::thread::scope(|scope| {
            for n in 0..threads {
                let thread = std::thread::Builder::new().name(format!("search-{n}"));
                // one is enough
                if let Err(error) = thread.spawn_scoped(scope, || self.work())
                    && n == 0
                {
                    return Err(Failure::internal(format!("no thread to search with: {error}")));
                }
            }
            let _closing = Closing(&self);
            let mut handing = Handing { team: &self, batch: vec![], directory: (0, 0), directories: 0 };
            let walked = walk(&mut handing);
            handing.hand();
            walked
        })?;
        Ok((self.state.into_inner().unwrap_or_else(PoisonError::into_inner).page, walked))
    }

    /// Whether nobody needs more rows.
    pub(super) fn is_over(&self) -> bool {
        self.patience.is_over()
    }

    fn state(&self) -> MutexGuard<'_, Batches<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What one thread does until there is nothing left.
    fn work(&self) {
        // a thread that panics must not be waited for
        let _closing = Closing(self);
        let mut looker = Looker::new(self.search, self.patience);
        while let Some((sequence, jobs)) = self.next() {
            let batch = self.look(&mut looker, jobs);
            let mut state = self.state();
            state.waiting_rows += rows(&batch);
            state.done.insert(sequence, batch);
            let had_waiting = state.waiting_rows > 0;
            state.tell();
            let is_full = state.page.stop.is_some();
            // the walk is woken when there is room for several, not for each
            let has_room = state.on_their_way() <= WINDOW / 2;
            drop(state);
            if is_full {
                self.enough.cancel();
            }
            if has_room || is_full {
                self.room.notify_one();
            }
            if had_waiting || is_full {
                self.work.notify_all();
            }
        }
    }

    fn next(&self) -> Option<(u64, Vec<Job>)> {
        let mut state = self.state();
        loop {
            let next = state.next;
            let waiting = state.waiting_rows;
            if let Some((sequence, _)) = state.queue.front()
                && (*sequence == next || waiting < WAITING_ROWS || self.is_over())
            {
                return state.queue.pop_front();
            }
            if state.is_closed && state.queue.is_empty() {
                return None;
            }
            state = wait(&self.work, state);
        }
    }

    fn look(&self, looker: &mut Looker<'_>, jobs: Vec<Job>) -> Batch {
        let (mut batch, mut rows) = (vec![], 0);
        for Job { path, ticket, after } in jobs {
            let outcome = if self.is_over() || rows > self.search.wanted.rows {
                // not looked at; where there are rows enough, nobody comes as far as this
                Outcome { ended: Ended::Late(Some(Line { number: 0, end: 0 })), ..Outcome::default() }
            } else {
                match ticket.open() {
                    Ok(Some((file, stat))) => looker.look(file, &stat, after),
                    Ok(None) => Outcome { ended: Ended::Gone, ..Outcome::default() },
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        Outcome { ended: Ended::Gone, ..Outcome::default() }
                    }
                    Err(_) => Outcome { ended: Ended::Unreadable, ..Outcome::default() },
                }
            };
            rows += outcome.lines.len();
            let is_late = matches!(outcome.ended, Ended::Late(_));
            batch.push(Outcome { path, ..outcome });
            if is_late {
                break;
            }
        }
        batch
    }
}

impl Batches<'_> {
    /// How many batches have been handed out and not told.
    fn on_their_way(&self) -> u64 {
        self.handed - self.next
    }

    /// Tells what is next, as far as it has come.
    fn tell(&mut self) {
        while let Some(batch) = self.done.remove(&self.next) {
            self.next += 1;
            self.waiting_rows -= rows(&batch);
            batch.into_iter().for_each(|outcome| self.page.take(outcome));
        }
    }
}

/// Not forever: time may be up meanwhile.
fn wait<'guard, 'page>(
    what: &Condvar,
    state: MutexGuard<'guard, Batches<'page>>,
) -> MutexGuard<'guard, Batches<'page>> {
    what.wait_timeout(state, LOOK_UP).unwrap_or_else(PoisonError::into_inner).0
}

fn rows(batch: &Batch) -> usize {
    batch.iter().map(|outcome| outcome.lines.len()).sum()
}

impl Handing<'_, '_> {
    /// Hands out a file. `directory` tells it from files in another directory.
    pub(super) fn file(&mut self, path: &Path, ticket: Ticket, after: Option<Line>, directory: (u64, usize)) {
        if self.batch.is_empty() || self.directory != directory {
            self.directories += 1;
        }
        self.directory = directory;
        self.batch.push(Job { path: path.to_owned(), ticket, after });
        if self.batch.len() == FILES || self.directories == DIRECTORIES {
            self.hand();
        }
    }

    /// Waits for room. Where time is up there is always some: what is left is soon done with.
    fn hand(&mut self) {
        self.directories = 0;
        if self.batch.is_empty() {
            return;
        }
        let mut state = self.team.state();
        while state.on_their_way() >= WINDOW && !self.team.is_over() && !state.is_closed {
            state = wait(&self.team.room, state);
        }
        let sequence = state.handed;
        state.queue.push_back((sequence, std::mem::take(&mut self.batch)));
        state.handed += 1;
        drop(state);
        self.team.work.notify_one();
    }
}

/// Ends the work of all when the walk has ended, however that comes about.
struct Closing<'a, 'team>(&'team Team<'a>);

impl Drop for Closing<'_, '_> {
    fn drop(&mut self) {
        self.0.state().is_closed = true;
        if std::thread::panicking() {
            self.0.enough.cancel();
        }
        self.0.work.notify_all();
        self.0.room.notify_all();
    }
}
