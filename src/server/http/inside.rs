//! What requests hold from the moment their body is expected until they are answered: bytes, and how many they are. One caller has a third of
//! what is left free: a quarter if it is alone, less if there are more, so that no number of callers takes all.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::gate;
use auth::Caller;
use text::json::VALUE;

/// What one caller holds, so many times, has to be free besides.
const TIMES: usize = 3;

/// A body that is not there yet counts as at least so many bytes: a connection, its buffers and a task wait for it.
const LEAST: usize = 16 << 10;

/// How much may be held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    /// Bytes of bodies, those that are expected and those that are being answered.
    pub(super) bytes: usize,
    /// Requests that are being answered or wait.
    pub(super) running: usize,
    /// Of those the ones that wait.
    pub(super) waiting: usize,
}

/// What is held.
#[derive(Debug, Default)]
pub(super) struct Inside {
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    in_all: Part,
    callers: HashMap<std::sync::Arc<str>, Part>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Part {
    bytes: usize,
    requests: usize,
}

/// Why there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// The caller, or all together, hold as much as they may.
    Now,
    /// The request alone holds more than one caller may.
    Ever,
}

/// One request's part, given back when dropped.
#[derive(Debug)]
pub(super) struct Share<'a> {
    inside: &'a Inside,
    caller: &'a Caller,
    part: Part,
}

impl Inside {
    /// Room for a body of so many bytes that has yet to come.
    pub(super) fn expect<'a>(&'a self, caller: &'a Caller, bytes: usize, most: Most) -> Result<Share<'a>, NoRoom> {
        let mut share = Share { inside: self, caller, part: Part::default() };
        share.change(Part { bytes: bytes.max(LEAST), requests: 0 }, most).map(|()| share)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share<'_> {
    /// The body has come, with so many bytes and so many values of JSON in it; from now on it is a request that is being answered.
    pub(super) fn has_come(&mut self, bytes: usize, values: usize, most: Most) -> Result<(), NoRoom> {
        self.change(Part { bytes: bytes + values * VALUE, requests: 1 }, most)
    }

    fn change(&mut self, to: Part, most: Most) -> Result<(), NoRoom> {
        let is_only = gate::is_only(self.caller);
        let alone = if is_only { most.bytes } else { most.bytes / (TIMES + 1) };
        if to.bytes > self.part.bytes && to.bytes > alone {
            return Err(NoRoom::Ever);
        }
        let mut held = self.inside.lock();
        let own = held.callers.get(&self.caller.id).copied().unwrap_or_default();
        let (own, in_all) = (self.changed(own, to), self.changed(held.in_all, to));
        let fits = |own: usize, in_all: usize, most: usize, least: usize| {
            let left = most.checked_sub(in_all);
            left.is_some_and(|left| is_only || own <= least || own * TIMES <= left)
        };
        // what is given back is always taken
        let bytes = to.bytes <= self.part.bytes || fits(own.bytes, in_all.bytes, most.bytes, LEAST);
        let most_requests = most.running + most.waiting;
        let requests = to.requests <= self.part.requests || fits(own.requests, in_all.requests, most_requests, 1);
        if !bytes || !requests {
            return Err(NoRoom::Now);
        }
        held.in_all = in_all;
        if own == Part::default() {
            held.callers.remove(&self.caller.id);
        } else {
            held.callers.insert(std::sync::Arc::clone(&self.caller.id), own);
        }
        self.part = to;
        Ok(())
    }

    /// What `of` is when this request holds `to` in place of what it holds now.
    fn changed(&self, of: Part, to: Part) -> Part {
        Part { bytes: of.bytes - self.part.bytes + to.bytes, requests: of.requests - self.part.requests + to.requests }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        // nothing is asked of the limits when all is given back
        let _ = self.change(Part::default(), Most { bytes: 0, running: 0, waiting: 0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use auth::Method;
    use rights::grant::Grants;

    const MOST: Most = Most { bytes: 1 << 20, running: 4, waiting: 4 };

    fn token(id: &str) -> Caller {
        Caller { id: id.into(), name: id.into(), grants: Grants::all(), auth: Method::Token }
    }

    #[test]
    fn a_caller_has_a_quarter_of_the_bytes_however_small_its_bodies_say_they_are() {
        for length in [0, 1, LEAST] {
            let (inside, caller) = (Inside::default(), token("a"));
            let held: Vec<_> = (0..100).map_while(|_| inside.expect(&caller, length, MOST).ok()).collect();
            assert_eq!(held.len() * LEAST, MOST.bytes / 4);
            assert_eq!(inside.expect(&caller, length, MOST).unwrap_err(), NoRoom::Now);
            assert!(inside.expect(&token("b"), length, MOST).is_ok());
        }
    }

    #[test]
    fn values_count_and_not_only_their_text() {
        let (inside, caller) = (Inside::default(), token("a"));
        let mut held = inside.expect(&caller, 4_000, MOST).unwrap();
        assert_eq!(held.has_come(4_000, 3_300, MOST), Err(NoRoom::Ever));
        let other = inside.expect(&caller, 200_000, MOST).unwrap();
        assert_eq!(held.has_come(4_000, 3_200, MOST), Err(NoRoom::Now));
        drop(other);
        assert_eq!(held.has_come(4_000, 3_200, MOST), Ok(()));
    }

    #[test]
    fn so_many_are_inside_and_of_one_caller_a_quarter() {
        let (inside, caller, other) = (Inside::default(), token("a"), token("b"));
        let enter = |caller| {
            let mut share = inside.expect(caller, 10, MOST).ok()?;
            share.has_come(10, 1, MOST).ok().map(|()| share)
        };
        let own: Vec<_> = (0..9).filter_map(|_| enter(&caller)).collect();
        assert_eq!(own.len(), 2);
        assert!(enter(&other).is_some());
        drop(own);
        assert!(enter(&caller).is_some());
    }

    #[test]
    fn no_number_of_callers_takes_all() {
        let inside = Inside::default();
        let callers: Vec<_> = (0..8).map(|number| token(&number.to_string())).collect();
        let held: Vec<_> =
            callers.iter().flat_map(|caller| (0..64).map_while(|_| inside.expect(caller, LEAST, MOST).ok())).collect();
        assert!(held.len() > 16, "{}", held.len());
        assert!(inside.expect(&token("another"), LEAST, MOST).is_ok());
    }

    #[test]
    fn what_has_ended_leaves_nothing_behind() {
        let (inside, caller) = (Inside::default(), token("a"));
        {
            let mut share = inside.expect(&caller, 100_000, MOST).unwrap();
            share.has_come(100_000, 1, MOST).unwrap();
        }
        let held = inside.lock();
        assert!(held.callers.is_empty() && held.in_all == Part::default());
    }
}
