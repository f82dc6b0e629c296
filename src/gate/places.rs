//! The places of a lane. One caller has a share of them, and callers who wait have their turns: no caller takes all, or comes after all others.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use auth::{Caller, Method};
use kernel::failure::Failure;
use lanes::lane::{Room, Spec};

/// Whether a process that has this caller has no other: its share is all there is.
pub(crate) fn is_only(caller: &Caller) -> bool {
    match caller.auth {
        Method::Token => false,
        Method::Trial | Method::Stdio | Method::Local => true,
    }
}

/// The places of one lane.
#[derive(Debug)]
pub(super) struct Places {
    spec: &'static Spec,
    state: Mutex<Occupancy>,
}

#[derive(Debug)]
struct Occupancy {
    room: Room,
    running: usize,
    waiting: usize,
    /// Who holds a place or waits for one.
    callers: HashMap<Arc<str>, Own>,
    /// Who waits, once each, in the order of their turns.
    turns: VecDeque<Arc<str>>,
    /// The number of the next place or wish.
    next: u64,
}

/// What one caller has of a lane.
#[derive(Debug)]
struct Own {
    is_only: bool,
    /// Its places, and when each was taken.
    held: BTreeMap<u64, Instant>,
    /// Its calls that wait, the first one first.
    waiting: BTreeMap<u64, oneshot::Sender<Taken>>,
}

/// A place, given back when dropped.
#[derive(Debug)]
pub(super) struct Taken {
    places: Arc<Places>,
    caller: Arc<str>,
    number: u64,
}

/// How full a lane is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) running: usize,
    pub(super) waiting: usize,
    pub(super) room: Room,
}

/// A wish for a place, taken back when dropped.
struct Wish<'a> {
    places: &'a Places,
    caller: &'a Arc<str>,
    number: u64,
}

impl Places {
    pub(super) fn new(spec: &'static Spec, room: Room) -> Self {
        let (callers, turns) = (HashMap::new(), VecDeque::new());
        Self { spec, state: Mutex::new(Occupancy { room, running: 0, waiting: 0, callers, turns, next: 0 }) }
    }

    /// Lets in so many from now on. Who holds a place keeps it.
    pub(super) fn set(self: &Arc<Self>, room: Room) {
        self.lock().room = room;
        self.pass_on();
    }

    /// How many it lets in.
    pub(super) fn room(&self) -> Room {
        self.lock().room
    }

    /// How full it is.
    pub(super) fn now(&self) -> Now {
        let state = self.lock();
        Now { running: state.running, waiting: state.waiting, room: state.room }
    }

    /// A place, or why there will be none: at once if one is free, else when it is the caller's turn. `patience` is how long a call may take.
    pub(super) async fn take(self: &Arc<Self>, caller: &Caller, patience: Duration) -> Result<Taken, Failure> {
        let (wish, turn) = {
            let mut state = self.lock();
            let number = state.next;
            state.next += 1;
            if state.has_place(caller, self.spec.parts) {
                return Ok(state.give(self, &caller.id, is_only(caller), number));
            }
            if let Some(refusal) = state.refusal(self.spec, caller, patience) {
                return Err(refusal);
            }
            let (sender, turn) = oneshot::channel();
            state.wait(&caller.id, is_only(caller), number, sender);
            (Wish { places: self, caller: &caller.id, number }, turn)
        };
        let taken = turn.await.map_err(|_| Failure::internal("a call that waits for its place was forgotten"));
        drop(wish);
        taken
    }

    /// Gives places that are free to those whose turn it is.
    fn pass_on(self: &Arc<Self>) {
        loop {
            let Some((sender, taken)) = self.lock().next_turn(self) else { return };
            // who has just gone away gives it back
            drop(sender.send(taken));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Occupancy> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Occupancy {
    /// Whether a place is free for this caller. Nobody who waits could have it: they would have got it before.
    fn has_place(&self, caller: &Caller, parts: usize) -> bool {
        let held = self.callers.get(&caller.id).map_or(0, |own| own.held.len());
        self.running < self.room.running && held < share(is_only(caller), self.room.running, parts)
    }

    fn own(&mut self, caller: &Arc<str>, is_only: bool) -> &mut Own {
        let new = || Own { is_only, held: BTreeMap::new(), waiting: BTreeMap::new() };
        self.callers.entry(Arc::clone(caller)).or_insert_with(new)
    }

    fn give(&mut self, places: &Arc<Places>, caller: &Arc<str>, is_only: bool, number: u64) -> Taken {
        self.running += 1;
        self.own(caller, is_only).held.insert(number, Instant::now());
        Taken { places: Arc::clone(places), caller: Arc::clone(caller), number }
    }

    fn wait(&mut self, caller: &Arc<str>, is_only: bool, number: u64, sender: oneshot::Sender<Taken>) {
        self.waiting += 1;
        let own = self.own(caller, is_only);
        own.waiting.insert(number, sender);
        if own.waiting.len() == 1 {
            self.turns.push_back(Arc::clone(caller));
        }
    }

    /// The next who waits and may have a place, with that place.
    fn next_turn(&mut self, places: &Arc<Places>) -> Option<(oneshot::Sender<Taken>, Taken)> {
        if self.running >= self.room.running {
            return None;
        }
        let (room, parts) = (self.room, places.spec.parts);
        let may = |own: &Own| own.held.len() < share(own.is_only, room.running, parts);
        let at = self.turns.iter().position(|caller| self.callers.get(caller).is_some_and(may))?;
        let caller = self.turns.remove(at)?;
        let own = self.callers.get_mut(&caller)?;
        let ((number, sender), is_only) = (own.waiting.pop_first()?, own.is_only);
        let is_last = own.waiting.is_empty();
        self.waiting -= 1;
        let taken = self.give(places, &caller, is_only, number);
        if !is_last {
            self.turns.push_back(caller);
        }
        Some((sender, taken))
    }

    fn give_back(&mut self, caller: &Arc<str>, number: u64) {
        self.running -= 1;
        if let Some(own) = self.callers.get_mut(caller) {
            own.held.remove(&number);
        }
        self.forget(caller);
    }

    fn take_back(&mut self, caller: &Arc<str>, number: u64) {
        let Some(own) = self.callers.get_mut(caller) else { return };
        // it may have been given its place
        if own.waiting.remove(&number).is_none() {
            return;
        }
        self.waiting -= 1;
        if own.waiting.is_empty() {
            self.turns.retain(|other| other != caller);
        }
        self.forget(caller);
    }

    fn forget(&mut self, caller: &Arc<str>) {
        if self.callers.get(caller).is_some_and(|own| own.held.is_empty() && own.waiting.is_empty()) {
            self.callers.remove(caller);
        }
    }

    /// Why this caller may not even wait.
    fn refusal(&self, spec: &Spec, caller: &Caller, patience: Duration) -> Option<Failure> {
        let (own, alone) = (self.callers.get(&caller.id), is_only(caller));
        let share = |most| share(alone, most, spec.parts);
        let (running, waiting) = (self.room.running, self.room.waiting);
        if spec.hangs {
            let hung = self.hung(own, share(running), patience);
            if hung > 0 {
                let (what, seconds) = (spec.what, patience.as_secs());
                let words =
                    format!("{what}: {hung} have not ended after {seconds} s; a disk or a file server may hang");
                return Some(Failure::Busy(words.into(), 30));
            }
        }
        if self.waiting < waiting && own.map_or(0, |own| own.waiting.len()) < share(waiting) {
            return None;
        }
        let (what, own) = (spec.what, share(running));
        Some(if spec.has_waiting_room() {
            let words =
                format!("{what}: {running} may run and {waiting} wait, {own} and {} of one caller", share(waiting));
            Failure::Busy(words.into(), 1)
        } else {
            Failure::Busy(format!("{what}: {running} may run at once, {own} of one caller").into(), 5)
        })
    }

    /// How many calls hang, if all of those do that have this caller's share or all places.
    fn hung(&self, own: Option<&Own>, share: usize, patience: Duration) -> usize {
        let hang = |own: &Own| own.held.values().all(|since| since.elapsed() > patience);
        let own = own.filter(|own| own.held.len() >= share && hang(own));
        let all = self.running >= self.room.running && self.callers.values().all(hang);
        own.map_or(0, |own| own.held.len()).max(if all { self.running } else { 0 })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.places.lock().give_back(&self.caller, self.number);
        self.places.pass_on();
    }
}

impl Drop for Wish<'_> {
    fn drop(&mut self) {
        self.places.lock().take_back(self.caller, self.number);
    }
}

/// A caller's part of `most`: one in `parts`, and at least one.
fn share(is_only: bool, most: usize, parts: usize) -> usize {
    if is_only { most } else { most.div_ceil(parts) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lanes::lane::Lane;
    use rights::grant::Grants;

    const PATIENCE: Duration = Duration::from_secs(3600);

    fn token(id: &str) -> Caller {
        Caller { id: id.into(), name: id.into(), grants: Grants::all(), auth: Method::Token }
    }

    /// Places of the lane whose callers have a quarter each.
    fn quarters(running: usize, waiting: usize) -> Arc<Places> {
        let spec = Lane::Files.spec();
        assert_eq!(spec.parts, 4);
        Arc::new(Places::new(spec, Room { running, waiting, per_minute: None }))
    }

    fn now(places: &Arc<Places>, caller: &Caller) -> Option<Taken> {
        futures_util::FutureExt::now_or_never(places.take(caller, PATIENCE)).and_then(Result::ok)
    }

    #[test]
    fn a_caller_has_a_quarter_of_the_places_and_others_have_the_rest() {
        let places = quarters(64, 0);
        let own: Vec<_> = (0..64).filter_map(|_| now(&places, &token("a"))).collect();
        assert_eq!(own.len(), 16);
        let others: Vec<_> = (0..64).filter_map(|number| now(&places, &token(&number.to_string()))).collect();
        assert_eq!(others.len(), 48);
        drop(own);
        assert!(now(&places, &token("a")).is_some());
    }

    #[test]
    fn the_only_caller_of_a_process_has_all_places() {
        for caller in [Caller::stdio(Grants::all()), Caller::local(Grants::all())] {
            let places = quarters(4, 0);
            let held: Vec<_> = (0..8).filter_map(|_| now(&places, &caller)).collect();
            assert_eq!(held.len(), 4);
        }
    }

    #[tokio::test]
    async fn one_caller_has_a_quarter_of_the_waiting_room_and_others_can_wait() {
        let places = quarters(4, 16);
        let _held: Vec<_> = ["a", "b", "c", "d"].iter().filter_map(|id| now(&places, &token(id))).collect();
        let (caller, other) = (token("a"), token("other"));
        let mut waiting: Vec<_> = (0..8).map(|_| Box::pin(places.take(&caller, PATIENCE))).collect();
        let ended = waiting.iter_mut().map(|taken| futures_util::FutureExt::now_or_never(taken.as_mut()));
        let refused = ended.filter(|ended| ended.as_ref().is_some_and(Result::is_err)).count();
        assert_eq!(refused, 4);
        let mut wait = Box::pin(places.take(&other, PATIENCE));
        assert!(futures_util::poll!(&mut wait).is_pending());
    }

    #[tokio::test]
    async fn who_waits_for_a_place_of_its_own_holds_none_of_the_others() {
        let places = quarters(4, 4);
        let held = places.take(&token("a"), PATIENCE).await.unwrap();
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take(&token("a"), PATIENCE).await.is_ok() }
        });
        tokio::task::yield_now().await;
        let others: Vec<_> = ["b", "c", "d"].iter().filter_map(|id| now(&places, &token(id))).collect();
        assert_eq!(others.len(), 3);
        drop(held);
        assert!(waiting.await.unwrap());
    }

    #[tokio::test]
    async fn callers_who_wait_take_turns() {
        let places = quarters(1, 64);
        let mut held = places.take(&token("first"), PATIENCE).await.unwrap();
        let (many, few) = (token("many"), token("few"));
        let mut waiting: Vec<_> = (0..10).map(|_| Box::pin(places.take(&many, PATIENCE))).collect();
        waiting.push(Box::pin(places.take(&few, PATIENCE)));
        for taken in &mut waiting {
            assert!(futures_util::poll!(taken).is_pending());
        }
        // the one that came last is the second
        let mut order = vec![];
        for _ in 0..2 {
            drop(held);
            let (taken, _, left) = futures_util::future::select_all(waiting).await;
            held = taken.unwrap();
            order.push(held.caller.to_string());
            waiting = left;
        }
        assert_eq!(order, ["many", "few"]);
    }

    #[tokio::test]
    async fn a_wait_that_is_given_up_leaves_nothing_and_takes_no_place() {
        let places = quarters(1, 4);
        let held = places.take(&token("a"), PATIENCE).await.unwrap();
        let (gone, stays) = (token("gone"), token("stays"));
        let mut given_up = Box::pin(places.take(&gone, PATIENCE));
        let mut waits = Box::pin(places.take(&stays, PATIENCE));
        assert!(futures_util::poll!(&mut given_up).is_pending() && futures_util::poll!(&mut waits).is_pending());
        drop(given_up);
        drop(held);
        let held = waits.await.unwrap();
        // it got its place and never looked
        let mut unseen = Box::pin(places.take(&gone, PATIENCE));
        assert!(futures_util::poll!(&mut unseen).is_pending());
        drop(held);
        assert_eq!(places.lock().running, 1);
        drop(unseen);
        let state = places.lock();
        assert_eq!((state.running, state.waiting, state.callers.len(), state.turns.len()), (0, 0, 0, 0));
    }

    #[tokio::test]
    async fn other_limits_are_in_force_at_once_and_nobody_loses_a_place() {
        let places = quarters(4, 8);
        let held: Vec<_> = ["a", "b", "c", "d"].iter().filter_map(|id| now(&places, &token(id))).collect();
        let room = Room { running: 2, waiting: 8, per_minute: None };
        places.set(room);
        let (first, second) = (token("e"), token("f"));
        let mut waits = [Box::pin(places.take(&first, PATIENCE)), Box::pin(places.take(&second, PATIENCE))];
        for wait in &mut waits {
            assert!(futures_util::poll!(wait).is_pending());
        }
        let held = held.into_iter().skip(2).collect::<Vec<_>>();
        for wait in &mut waits {
            assert!(futures_util::poll!(wait).is_pending(), "two still run");
        }
        places.set(Room { running: 4, ..room });
        for taken in futures_util::future::join_all(waits).await {
            taken.unwrap();
        }
        drop(held);
    }

    #[tokio::test]
    async fn who_would_wait_behind_calls_that_hang_is_told_so_and_others_are_not() {
        let places = quarters(8, 8);
        let caller = token("a");
        let _held: Vec<_> = (0..2).filter_map(|_| now(&places, &caller)).collect();
        let is_young =
            || places.lock().callers["a"].held.values().any(|since| since.elapsed() <= Duration::from_millis(1));
        while is_young() {
            std::thread::yield_now();
        }
        let failure = places.take(&caller, Duration::from_millis(1)).await.unwrap_err();
        assert!(failure.to_string().contains("readings of files: 2 have not ended"), "{failure}");
        // with more patience it waits
        assert!(now(&places, &caller).is_none());
        assert!(places.take(&token("b"), Duration::from_millis(1)).await.is_ok());
    }

    #[test]
    fn callers_that_hold_nothing_are_forgotten() {
        let places = quarters(4, 4);
        let held = now(&places, &token("held"));
        for number in 0..5_000 {
            now(&places, &token(&number.to_string())).unwrap();
        }
        let state = places.lock();
        assert!(state.callers.len() == 1 && state.callers.contains_key("held") && held.is_some());
    }

    #[test]
    fn many_threads_never_have_more_places_than_there_are() {
        let places = quarters(2, 0);
        let running = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for number in 0..4 {
                let (places, running) = (&places, &running);
                scope.spawn(move || {
                    let caller = token(&number.to_string());
                    for _ in 0..5_000 {
                        let Some(_taken) = now(places, &caller) else { continue };
                        assert!(running.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2);
                        running.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(places.lock().running, 0);
    }
}
