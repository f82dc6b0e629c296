//! What a lane lets in, as it is written: `(running: 32, waiting: 1024)`. Which keys there are, and their maxima, are the lane's.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, Visitor},
};

use super::value::Number;
use crate::lane::{Lane, Room, Spec};

/// The most calls that wait in a lane.
const MOST_WAITING: u32 = 65_536;

/// The most calls of one caller in a minute.
const MOST_PER_MINUTE: u32 = 6_000;

/// What the lane of this number lets in.
#[derive(Debug, PartialEq)]
pub(super) struct InLane<const LANE: usize> {
    pub(super) room: Room,
}

impl<const LANE: usize> InLane<LANE> {
    fn spec() -> &'static Spec {
        Lane::ALL[LANE].spec()
    }
}

impl<const LANE: usize> Default for InLane<LANE> {
    fn default() -> Self {
        Self { room: Self::spec().usual() }
    }
}

/// The keys that a lane has.
fn keys(spec: &Spec) -> &'static [&'static str] {
    match (spec.has_waiting_room(), spec.has_rate()) {
        (false, false) => &["running"],
        (true, false) => &["running", "waiting"],
        (false, true) => &["running", "per_minute"],
        (true, true) => &["running", "waiting", "per_minute"],
    }
}

impl<'de, const LANE: usize> Deserialize<'de> for InLane<LANE> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spec = Self::spec();
        deserializer.deserialize_struct("Lane", keys(spec), Keys(spec)).map(|room| Self { room })
    }
}

struct Keys(&'static Spec);

impl<'de> Visitor<'de> for Keys {
    type Value = Room;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(keys: and values) in parentheses")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Room, A::Error> {
        let (mut room, mut seen) = (self.0.usual(), vec![]);
        while let Some(key) = map.next_key_seed(Key(keys(self.0)))? {
            if seen.contains(&key) {
                return Err(A::Error::duplicate_field(key));
            }
            seen.push(key);
            match key {
                "running" => room.running = map.next_value_seed(Number(self.0.most_running()))? as usize,
                "waiting" => room.waiting = map.next_value_seed(Number(MOST_WAITING))? as usize,
                _ => room.per_minute = Some(map.next_value_seed(Number(MOST_PER_MINUTE))?),
            }
        }
        Ok(room)
    }
}

/// One of these.
struct Key(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = &'static str;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<&'static str, D::Error> {
        deserializer.deserialize_identifier(self)
    }
}

impl Visitor<'_> for Key {
    type Value = &'static str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<&'static str, E> {
        self.0.iter().find(|key| **key == name).copied().ok_or_else(|| E::unknown_field(name, self.0))
    }
}

#[cfg(test)]
impl<const LANE: usize> serde::Serialize for InLane<LANE> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Room { running, waiting, per_minute } = self.room;
        serializer.collect_map(keys(Self::spec()).iter().map(|key| {
            let value = match *key {
                "running" => running,
                "waiting" => waiting,
                _ => per_minute.map_or(0, |number| number as usize),
            };
            (key, value)
        }))
    }
}
