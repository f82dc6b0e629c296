//! Threads for work that blocks: each pool is for one purpose, so that no work waits behind work of another kind.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::sync::oneshot;

use kernel::failure::Failure;

/// How long a thread waits for more work before it ends.
const IDLE: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce() + Send>;

/// Up to so many threads. Each is made when there is work for it, and ends after 10 seconds without.
#[derive(Debug)]
pub struct Threads {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: &'static str,
    most: usize,
    state: Mutex<Pool>,
    /// Told when there is a job, or when no more will come.
    changed: Condvar,
}

#[derive(Default)]
struct Pool {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Of those the ones that wait for a job.
    idle: usize,
    closed: bool,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("jobs", &self.jobs.len()).field("threads", &self.threads).finish_non_exhaustive()
    }
}

impl Threads {
    /// No thread yet. At most `most` will run, called `name`.
    pub fn new(name: &'static str, most: usize) -> Self {
        let (state, changed) = (Mutex::default(), Condvar::new());
        Self { inner: Arc::new(Inner { name, most, state, changed }) }
    }

    /// Runs `work` on one of them. It runs to its end, even if this future is dropped. Its panic is the caller's.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        let (reply, answer) = oneshot::channel();
        self.inner.give(Box::new(move || drop(reply.send(catch_unwind(AssertUnwindSafe(work))))))?;
        Self::answered(answer).await
    }

    /// The same of work that changes nothing: if this future is dropped before a thread has come to it, it is not done.
    pub async fn read<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
        let (reply, answer) = oneshot::channel();
        self.inner.give(Box::new(move || {
            if !reply.is_closed() {
                drop(reply.send(catch_unwind(AssertUnwindSafe(work))));
            }
        }))?;
        Self::answered(answer).await
    }

    async fn answered<T>(answer: oneshot::Receiver<thread::Result<T>>) -> Result<T, Failure> {
        match answer.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(Failure::internal("a thread ended before its work")),
        }
    }
}

impl Drop for Threads {
    /// What was given is still done; idle threads end at once.
    fn drop(&mut self) {
        self.inner.lock().closed = true;
        self.inner.changed.notify_all();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(self: &Arc<Self>, job: Job) -> Result<(), Failure> {
        let mut state = self.lock();
        state.jobs.push_back(job);
        if state.idle >= state.jobs.len() {
            self.changed.notify_one();
            return Ok(());
        }
        if state.threads >= self.most {
            return Ok(());
        }
        let inner = Arc::clone(self);
        match thread::Builder::new().name(self.name.to_owned()).spawn(move || inner.work()) {
            Ok(_) => state.threads += 1,
            // the others will come to it
            Err(_) if state.threads > 0 => (),
            Err(error) => {
                state.jobs.pop_back();
                tracing::error!(%error, threads = self.name, "no thread can be started");
                return Err(Failure::Busy("the system starts no more threads for this server".into(), 5));
            }
        }
        Ok(())
    }

    /// What each thread does.
    fn work(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // a value that nobody waits for is dropped in there, which may panic
                let _ = catch_unwind(AssertUnwindSafe(job));
                state = self.lock();
                continue;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let waits = |state: &mut Pool| state.jobs.is_empty() && !state.closed;
            let (woken, time) =
                self.changed.wait_timeout_while(state, IDLE, waits).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if time.timed_out() {
                break;
            }
        }
        state.threads -= 1;
    }
}

/// Runs `work` on a thread that is made for it, so that it waits for no other work. It runs to its end, even if this future is dropped.
pub async fn alone<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failure> {
    let (reply, answer) = oneshot::channel();
    let thread = thread::Builder::new().name(name.to_owned()).spawn(move || drop(reply.send(work())));
    thread.map_err(|error| Failure::Internal(error.into()))?;
    answer.await.map_err(|_| Failure::internal("a thread ended in the middle of its work"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        collections::BTreeSet,
        sync::{Barrier, mpsc},
        thread::ThreadId,
    };

    fn counted(threads: &Threads) -> usize {
        threads.inner.lock().threads
    }

    #[tokio::test]
    async fn work_that_blocks_waits_for_no_other_and_threads_are_used_again() {
        let threads = Threads::new("test", 8);
        let together = Arc::new(Barrier::new(8));
        let works = (0..8).map(|_| {
            let together = Arc::clone(&together);
            // fewer threads than eight would never end
            threads.run(move || {
                together.wait();
                thread::current().id()
            })
        });
        let ids: BTreeSet<String> =
            futures_util::future::join_all(works).await.into_iter().map(|id| format!("{:?}", id.unwrap())).collect();
        assert_eq!((ids.len(), counted(&threads)), (8, 8));
        for _ in 0..100 {
            let id: ThreadId = threads.run(|| thread::current().id()).await.unwrap();
            assert!(ids.contains(&format!("{id:?}")));
        }
        assert_eq!(counted(&threads), 8);
    }

    #[tokio::test]
    async fn there_are_no_more_threads_than_there_may_be_and_what_waits_is_done() {
        let threads = Threads::new("test", 2);
        let works = (0..50).map(|number| threads.run(move || number));
        let done: Vec<i32> = futures_util::future::join_all(works).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(done, (0..50).collect::<Vec<_>>());
        assert!(counted(&threads) <= 2);
    }

    #[tokio::test]
    async fn a_panic_is_its_callers_and_the_thread_goes_on() {
        let threads = Arc::new(Threads::new("test", 1));
        let panics = tokio::spawn({
            let threads = Arc::clone(&threads);
            async move { threads.run(|| panic!("as it may")).await }
        });
        assert!(panics.await.unwrap_err().is_panic());
        assert_eq!(threads.run(|| 7).await.unwrap(), 7);
        assert_eq!(counted(&threads), 1);
    }

    #[tokio::test]
    async fn work_whose_caller_is_gone_is_done_to_its_end() {
        let threads = Threads::new("test", 1);
        let (done, is_done) = mpsc::channel();
        {
            let mut work = Box::pin(threads.run(move || done.send(()).unwrap()));
            let _ = futures_util::poll!(&mut work);
        }
        is_done.recv().unwrap();
    }

    #[tokio::test]
    async fn a_reading_that_nobody_waits_for_is_not_begun() {
        let threads = Threads::new("test", 1);
        let (release, held) = mpsc::channel::<()>();
        let mut first = Box::pin(threads.read(move || held.recv().ok()));
        assert!(futures_util::poll!(&mut first).is_pending());
        let (done, is_done) = mpsc::channel();
        {
            let mut abandoned = Box::pin(threads.read(move || done.send(()).ok()));
            assert!(futures_util::poll!(&mut abandoned).is_pending());
        }
        release.send(()).unwrap();
        first.await.unwrap();
        // its sender went with it
        threads.run(|| ()).await.unwrap();
        assert!(is_done.recv().is_err());
    }

    #[tokio::test]
    async fn threads_end_with_their_pool() {
        let threads = Threads::new("test", 3);
        threads.run(|| ()).await.unwrap();
        let inner = Arc::clone(&threads.inner);
        drop(threads);
        while inner.lock().threads > 0 {
            thread::yield_now();
        }
    }

    #[tokio::test]
    async fn what_runs_alone_gives_what_it_found() {
        assert_eq!(alone("test", || 7).await.unwrap(), 7);
    }
}
