//! Many callers who ask the same thing at the same time cost one reading of the kernel.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rmcp::model::JsonObject;
use tokio::sync::watch;

use super::Answer;
use kernel::failure::Failure;
use rights::grant::Grants;

/// How long an answer is shared after it was read.
const FRESH: Duration = Duration::from_millis(250);

/// How many different questions are remembered. Past it the oldest go, so that a caller who varies its arguments gains nothing.
const MOST: usize = 64;

/// The longest arguments that are remembered, in bytes.
const LONGEST_KEY: usize = 512;

/// A question: the tool, what who asks holds of the scopes that decide on the answer, and its arguments, written so that equal arguments are
/// equal text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key(&'static str, Grants, String);

impl Key {
    /// `None`: the question is too long to be remembered, and nobody asks it twice.
    pub(super) fn new(tool: &'static str, held: Grants, arguments: &JsonObject) -> Option<Self> {
        if arguments.is_empty() {
            return Some(Self(tool, held, String::new()));
        }
        let mut sorted: Vec<_> = arguments.iter().collect();
        sorted.sort_unstable_by_key(|(name, _)| *name);
        let words: String = sorted.iter().map(|(name, value)| format!("{name:?}:{value},")).collect();
        (words.len() <= LONGEST_KEY).then_some(Self(tool, held, words))
    }
}

#[derive(Clone, Debug, Default)]
enum Stage {
    /// Those who ask wait for a place.
    #[default]
    Asked,
    /// One of them has a place and reads.
    Read,
    /// The answer, and since when it has been true: from before it was read, so that what is shared is never older than it claims.
    Answered(Arc<Answer>, Instant),
}

#[derive(Debug, Default)]
struct Cell(watch::Sender<Stage>);

impl Cell {
    /// Whether a caller who comes now may have it: it is being read, or was a moment ago.
    fn is_fresh(&self) -> bool {
        match *self.0.borrow() {
            Stage::Asked | Stage::Read => true,
            Stage::Answered(_, read) => read.elapsed() < FRESH,
        }
    }

    fn is_answered(&self) -> bool {
        matches!(*self.0.borrow(), Stage::Answered(..))
    }

    /// The right to read for all who ask, unless another has it.
    fn reader(&self) -> Option<Reader<'_>> {
        let is_first = self.0.send_if_modified(|state| {
            let is_asked = matches!(state, Stage::Asked);
            if is_asked {
                *state = Stage::Read;
            }
            is_asked
        });
        is_first.then_some(Reader(self))
    }
}

/// The one who reads for all. When it ends without an answer, it is the turn of the others.
struct Reader<'a>(&'a Cell);

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.0.send_if_modified(|state| {
            let is_open = matches!(state, Stage::Read);
            if is_open {
                *state = Stage::Asked;
            }
            is_open
        });
    }
}

/// Why an asker has its cell.
const HELD: &str = "an asker holds its cell until it is dropped";

/// One who waits for an answer, until it has it or goes away.
struct Asker<'a> {
    shared: &'a Shared,
    cell: Option<Arc<Cell>>,
    key: Key,
}

impl Drop for Asker<'_> {
    /// Forgets a question that was never answered, with the last of its askers: nobody reads it any more, so it would count as being
    /// read for ever.
    fn drop(&mut self) {
        let mut cells = self.shared.lock();
        // dropped under the lock, so that of two who leave at once one is the last
        let Some(cell) = self.cell.take() else { return };
        let is_last = Arc::strong_count(&cell) == 2;
        if !cell.is_answered() && is_last && cells.get(&self.key).is_some_and(|own| Arc::ptr_eq(own, &cell)) {
            cells.remove(&self.key);
        }
    }
}

/// The answers of the last quarter of a second.
#[derive(Debug, Default)]
pub(super) struct Shared {
    cells: Mutex<HashMap<Key, Arc<Cell>>>,
}

impl Shared {
    /// The answer to `key`: a fresh one, the one that is being read just now, or else one that `read` gives in the place that `enter` waits
    /// for. Nobody waits for another's place: of those who ask, the first who has one reads for all. A failure is not shared: each who waited for
    /// it asks for himself.
    pub(super) async fn get<P, E, R>(
        &self,
        key: Key,
        enter: impl Fn() -> E,
        read: impl Fn(P) -> R,
    ) -> Result<Arc<Answer>, Failure>
    where
        E: Future<Output = Result<P, Failure>>,
        R: Future<Output = Result<Answer, Failure>>,
    {
        let asker = Asker { shared: self, cell: Some(self.cell(key.clone())), key };
        let cell = asker.cell.as_ref().expect(HELD);
        let mut changes = cell.0.subscribe();
        loop {
            let state = changes.borrow_and_update().clone();
            match state {
                Stage::Answered(answer, _) => return Ok(answer),
                // the cell has its sender
                Stage::Read => drop(changes.changed().await),
                Stage::Asked => {
                    let place = tokio::select! {
                        biased;
                        _ = changes.changed() => continue,
                        place = enter() => place?,
                    };
                    let Some(reader) = cell.reader() else { continue };
                    let began = Instant::now();
                    let answer = Arc::new(read(place).await?);
                    reader.0.0.send_replace(Stage::Answered(Arc::clone(&answer), began));
                    return Ok(answer);
                }
            }
        }
    }

    /// Drops what nobody may have any more: an answer is worth a quarter of a second, and its memory no longer.
    pub(super) fn sweep(&self) {
        self.lock().retain(|_, cell| cell.is_fresh());
    }

    /// Has all who come from now on ask anew. Those who wait already get what they wait for.
    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Cell>>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cell(&self, key: Key) -> Arc<Cell> {
        let mut cells = self.lock();
        if let Some(cell) = cells.get(&key)
            && cell.is_fresh()
        {
            return Arc::clone(cell);
        }
        if cells.len() >= MOST {
            cells.retain(|_, cell| cell.is_fresh());
        }
        let cell = Arc::default();
        // so many different questions within a quarter of a second: the rest are asked each for itself
        if cells.len() < MOST {
            cells.insert(key, Arc::clone(&cell));
        }
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn key(arguments: serde_json::Value) -> Key {
        Key::new("t", Grants::default(), arguments.as_object().unwrap()).unwrap()
    }

    /// There is a place.
    async fn at_once() -> Result<(), Failure> {
        Ok(())
    }

    #[test]
    fn the_order_of_arguments_does_not_matter_and_their_values_do() {
        assert_eq!(key(json!({"a": 1, "b": "x"})), key(json!({"b": "x", "a": 1})));
        assert_ne!(key(json!({"a": 1})), key(json!({"a": "1"})));
        assert_ne!(key(json!({"a": "1,\"b\":2"})), key(json!({"a": "1", "b": 2})));
    }

    #[test]
    fn who_may_be_told_more_asks_another_question() {
        let key = |held: Grants| Key::new("t", held, &JsonObject::new()).unwrap();
        assert_eq!(key(Grants::all()), key(Grants::all()));
        assert_ne!(key(Grants::all()), key(Grants::usual()));
    }

    #[tokio::test]
    async fn a_hundred_at_once_read_once_and_a_failure_is_not_kept() {
        let (shared, asked, reads) = (Shared::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        let ask = async || {
            asked.fetch_add(1, Ordering::Relaxed);
            let read = |()| async {
                // until all of them wait
                while asked.load(Ordering::Relaxed) < 100 {
                    tokio::task::yield_now().await;
                }
                match reads.fetch_add(1, Ordering::Relaxed) {
                    0 => Err(Failure::Denied("it".to_owned())),
                    _ => Ok(Answer::default()),
                }
            };
            shared.get(key(json!({})), at_once, read).await
        };
        let answers = futures_util::future::join_all((0..100).map(|_| ask())).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_err()).count(), 1);
        assert_eq!(reads.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn nobody_waits_for_the_place_of_another() {
        let shared = Shared::default();
        let never = || std::future::pending::<Result<(), Failure>>();
        let read = |()| async { Ok(Answer::default()) };
        // it came first, and its caller has no place left
        let mut first = Box::pin(shared.get(key(json!({})), never, read));
        assert!(futures_util::poll!(&mut first).is_pending());
        let answer = shared.get(key(json!({})), at_once, read).await.unwrap();
        // and gets what the second one read
        assert!(Arc::ptr_eq(&first.await.unwrap(), &answer));
    }

    #[tokio::test]
    async fn when_the_one_who_reads_goes_away_the_others_read() {
        let shared = Shared::default();
        let endless = |()| std::future::pending::<Result<Answer, Failure>>();
        let mut reader = Box::pin(shared.get(key(json!({})), at_once, endless));
        assert!(futures_util::poll!(&mut reader).is_pending());
        let mut waits = Box::pin(shared.get(key(json!({})), at_once, |()| async { Ok(Answer::default()) }));
        assert!(futures_util::poll!(&mut waits).is_pending());
        drop(reader);
        waits.await.unwrap();
    }

    #[tokio::test]
    async fn what_failed_or_is_old_takes_no_memory() {
        let shared = Shared::default();
        let failed =
            shared.get(key(json!({ "n": 1 })), at_once, |()| async { Err(Failure::Denied("it".to_owned())) }).await;
        assert!(failed.is_err() && shared.cells.lock().unwrap().is_empty());
        shared.get(key(json!({ "n": 2 })), at_once, |()| async { Ok(Answer::default()) }).await.unwrap();
        assert_eq!(shared.cells.lock().unwrap().len(), 1);
        tokio::time::sleep(FRESH * 2).await;
        shared.sweep();
        assert!(shared.cells.lock().unwrap().is_empty());
        assert!(
            Key::new("t", Grants::default(), json!({ "pattern": "x".repeat(1000) }).as_object().unwrap()).is_none()
        );
    }

    #[tokio::test]
    async fn questions_whose_askers_went_away_are_forgotten_and_the_next_are_shared() {
        let shared = Shared::default();
        let endless = |()| std::future::pending::<Result<Answer, Failure>>();
        for n in 0..2 * MOST {
            let mut askers: Vec<_> =
                (0..3).map(|_| Box::pin(shared.get(key(json!({ "n": n })), at_once, endless))).collect();
            for asker in &mut askers {
                assert!(futures_util::poll!(asker).is_pending());
            }
            assert_eq!(shared.lock().len(), 1);
            drop(askers.remove(0));
            assert_eq!(shared.lock().len(), 1, "two are still waiting");
        }
        assert!(shared.lock().is_empty());
        let reads = AtomicUsize::new(0);
        let read = |()| async {
            reads.fetch_add(1, Ordering::Relaxed);
            Ok(Answer::default())
        };
        let asked = (0..50).map(|_| shared.get(key(json!({})), at_once, read));
        futures_util::future::join_all(asked).await;
        assert_eq!(reads.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn of_askers_that_leave_at_the_same_time_on_many_threads_none_leaves_a_question_behind() {
        let shared = Shared::default();
        for _ in 0..200 {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let endless = |()| std::future::pending::<Result<Answer, Failure>>();
                        let asker = Box::pin(shared.get(key(json!({})), at_once, endless));
                        let mut asker = futures_util::FutureExt::now_or_never(asker);
                        assert!(asker.take().is_none());
                    });
                }
            });
            assert!(shared.lock().is_empty());
        }
    }

    #[tokio::test]
    async fn ten_thousand_different_questions_are_not_all_remembered() {
        let shared = Shared::default();
        for n in 0..10_000 {
            shared.get(key(json!({ "n": n })), at_once, |()| async { Ok(Answer::default()) }).await.unwrap();
        }
        assert!(shared.cells.lock().unwrap().len() <= MOST);
    }
}
