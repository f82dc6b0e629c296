//! Places for calls that run. One caller has a share of them, so that no caller takes them all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::{Caller, Method};

/// Callers whose places are remembered. Past it those that hold none are forgotten.
const REMEMBERED: usize = 1024;

/// Whether a process that has this caller has no other: its share is all there is.
pub(crate) fn is_only(caller: &Caller) -> bool {
    match caller.auth {
        Method::Token => false,
        Method::Trial | Method::Stdio | Method::Local => true,
    }
}

/// A caller's part of `most`: one in `parts`, and at least one.
fn share(caller: &Caller, most: usize, parts: usize) -> usize {
    if is_only(caller) { most } else { most.div_ceil(parts) }
}

/// What each caller has left of its share.
type Callers = HashMap<Arc<str>, Arc<Semaphore>>;

/// So many places in all, and one in `parts` of them for each caller.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    parts: usize,
    in_all: Arc<Semaphore>,
    callers: Mutex<Callers>,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    _of_caller: OwnedSemaphorePermit,
    _in_all: OwnedSemaphorePermit,
}

impl Places {
    pub(super) fn new(most: usize, parts: usize) -> Self {
        Self { most, parts, in_all: Arc::new(Semaphore::new(most)), callers: Mutex::default() }
    }

    /// A place, if there is one now. `kept` places stay free for others.
    pub(super) fn try_take(&self, caller: &Caller, kept: usize) -> Option<Place> {
        let mut callers = self.callers();
        // looked at before it is taken, and one after the other: a call that is refused never has a kept place
        if self.in_all.available_permits() <= kept {
            return None;
        }
        let of_caller = self.of(&mut callers, caller).try_acquire_owned().ok()?;
        let in_all = Arc::clone(&self.in_all).try_acquire_owned().ok()?;
        Some(Place { _of_caller: of_caller, _in_all: in_all })
    }

    /// Waits for a place: first for one of the caller's own, then for one of all.
    pub(super) async fn take(&self, caller: &Caller) -> Option<Place> {
        let of_caller = self.of(&mut self.callers(), caller);
        let of_caller = of_caller.acquire_owned().await.ok()?;
        let in_all = Arc::clone(&self.in_all).acquire_owned().await.ok()?;
        Some(Place { _of_caller: of_caller, _in_all: in_all })
    }

    fn callers(&self) -> MutexGuard<'_, Callers> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, callers: &mut Callers, caller: &Caller) -> Arc<Semaphore> {
        if let Some(own) = callers.get(&caller.id) {
            return Arc::clone(own);
        }
        if callers.len() >= REMEMBERED {
            // a place that is held, or waited for, holds the semaphore as well
            callers.retain(|_, own| Arc::strong_count(own) > 1);
        }
        let own = Arc::new(Semaphore::new(share(caller, self.most, self.parts)));
        callers.insert(Arc::clone(&caller.id), Arc::clone(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scope::Scopes;

    fn token(id: &str) -> Caller {
        Caller { id: id.into(), name: id.into(), scopes: Scopes::all(), auth: Method::Token }
    }

    #[test]
    fn a_caller_has_a_quarter_of_the_places_and_others_have_the_rest() {
        let places = Places::new(64, 4);
        let own: Vec<_> = (0..64).filter_map(|_| places.try_take(&token("a"), 0)).collect();
        assert_eq!(own.len(), 16);
        let others: Vec<_> = (0..64).filter_map(|number| places.try_take(&token(&number.to_string()), 0)).collect();
        assert_eq!(others.len(), 48);
        drop(own);
        assert!(places.try_take(&token("a"), 0).is_some());
    }

    #[test]
    fn the_only_caller_of_a_process_has_all_places() {
        for caller in [Caller::stdio(Scopes::all()), Caller::local(Scopes::all())] {
            let places = Places::new(4, 4);
            let held: Vec<_> = (0..8).filter_map(|_| places.try_take(&caller, 0)).collect();
            assert_eq!(held.len(), 4);
        }
    }

    #[test]
    fn places_that_are_kept_stay_free() {
        let places = Places::new(4, 1);
        let held: Vec<_> = (0..8).filter_map(|number| places.try_take(&token(&number.to_string()), 2)).collect();
        assert_eq!(held.len(), 2);
        assert!(places.try_take(&token("control"), 0).is_some());
    }

    #[test]
    fn calls_that_are_refused_never_take_a_kept_place() {
        let places = Places::new(2, 1);
        std::thread::scope(|scope| {
            for id in ["a", "b"] {
                let places = &places;
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        assert!(places.try_take(&token(id), 2).is_none());
                    }
                });
            }
            for _ in 0..20_000 {
                let both = [places.try_take(&token("control"), 0), places.try_take(&token("control"), 0)];
                assert!(both.iter().all(Option::is_some), "kept places are free");
            }
        });
    }

    #[tokio::test]
    async fn who_waits_for_a_place_of_its_own_holds_none_of_the_others() {
        let places = Arc::new(Places::new(4, 4));
        let held = places.take(&token("a")).await.unwrap();
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take(&token("a")).await.is_some() }
        });
        tokio::task::yield_now().await;
        let others: Vec<_> = ["b", "c", "d"].iter().filter_map(|id| places.try_take(&token(id), 0)).collect();
        assert_eq!(others.len(), 3);
        drop(held);
        assert!(waiting.await.unwrap());
    }

    #[test]
    fn callers_that_hold_nothing_are_forgotten() {
        let places = Places::new(4, 4);
        let held = places.try_take(&token("held"), 0);
        for number in 0..3 * REMEMBERED {
            places.try_take(&token(&number.to_string()), 0).unwrap();
        }
        let callers = places.callers.lock().unwrap();
        assert!(callers.len() <= REMEMBERED, "{}", callers.len());
        assert!(callers.contains_key("held") && held.is_some());
    }
}
