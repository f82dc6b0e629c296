//! What callers can use up.

use std::{fmt, time::Duration};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, Visitor},
};

use super::{
    key::section,
    value::{Number, UpTo},
};
use lanes::lane::{Lane, PerLane, Room, Spec};

section! {
    /// Calls run in lanes. Each lane has places and threads of its own, so that calls which hang or flood one lane stop no other. `running`: calls
    /// that run at the same time. `waiting`: calls that wait for a place; one more is told to come back. Without `waiting` a call that finds no
    /// place is refused. One token has a quarter of both in machine, process, docker, files and list, and half in the others. `per_minute`: calls of one
    /// token in a minute; of all tokens together four times as many. Where there is little memory, fewer run and wait: one call runs for
    /// each 4 MiB above 64 MiB, but four in each lane, and one waits for each 256 KiB.
    /// The kernel's figures. Default: 32 and 1024; at most 256 run.
    machine: InLane<{ Lane::Machine as usize }> = InLane::default(), Live;
    /// Readings of processes and their arguments. Default: 8 and 256; at most 64 run.
    process: InLane<{ Lane::Process as usize }> = InLane::default(), Live;
    /// Questions to the Docker Engine. Default: 32 and 512; at most 256 run.
    docker: InLane<{ Lane::Docker as usize }> = InLane::default(), Live;
    /// A look at files, for a tenth of a second. Default: 16 and 256; at most 128 run.
    files: InLane<{ Lane::Files as usize }> = InLane::default(), Live;
    /// What takes longer: checksums, large files. Default: 4 and 128; at most 32 run.
    bulk: InLane<{ Lane::Bulk as usize }> = InLane::default(), Live;
    /// Searches in directories. Default: 4, 128 and 60; at most 32 run.
    search: InLane<{ Lane::Search as usize }> = InLane::default(), Live;
    /// Changes of files. Default: 16 and 30; at most 128 run.
    write: InLane<{ Lane::Write as usize }> = InLane::default(), Live;
    /// Changes of containers, images, volumes and networks. Default: 16 and 30; at most 128 run.
    deploy: InLane<{ Lane::Deploy as usize }> = InLane::default(), Live;
    /// Starts and stops of containers: what goes wrong can be stopped whatever else changes. Default: 8 and 30; at most 64 run.
    control: InLane<{ Lane::Control as usize }> = InLane::default(), Live;
    /// Pulls of images, each within a call of deploy. Default: 4; at most 32.
    pull: InLane<{ Lane::Pull as usize }> = InLane::default(), Live;
    /// Lists of tools. Default: 16, 256 and 600; at most 128 run.
    list: InLane<{ Lane::List as usize }> = InLane::default(), Live;
    /// The longest a call may take, in seconds; one that changes something runs to its end. Default: 30.
    deadline_seconds: UpTo<3600> = UpTo(30), Live;
    /// The largest request body, in bytes. Default, and the most: 262144.
    body_bytes: UpTo<262_144> = UpTo(262_144), Live;
    /// The longest a request's header may take to arrive, in seconds. Default: 10.
    header_seconds: UpTo<300> = UpTo(10), Live;
    /// The longest a request's body may take to arrive, in seconds. Default: 10.
    body_seconds: UpTo<300> = UpTo(10), Live;
    /// How long a connection may rest between requests, in seconds. Default: 75.
    idle_seconds: UpTo<3600> = UpTo(75), Live;
    /// Connections open at once. Where there is little memory there are fewer: a third of what there is above 64 MiB, 32 KiB each, 64 KiB with
    /// TLS. Default: 4096.
    connections: UpTo<65_536> = UpTo(4096), Live;
    /// Connections open at once from one address, or from one IPv6 /64. Default: 2048.
    connections_per_peer: UpTo<65_536> = UpTo(2048), Live;
}

/// What callers can use up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What each lane lets in.
    pub lanes: PerLane<Room>,
    /// The longest a call may take.
    pub deadline: Duration,
    /// The largest request body, in bytes.
    pub body_bytes: usize,
    /// The longest a request's header may take to arrive.
    pub header: Duration,
    /// The longest a request's body may take to arrive.
    pub body: Duration,
    /// How long a connection may rest.
    pub idle: Duration,
    /// Connections open at once.
    pub connections: usize,
    /// Connections open at once from one address.
    pub connections_per_peer: usize,
}

impl Written {
    pub(super) fn meaning(self) -> Limits {
        let Self {
            machine,
            process,
            docker,
            files,
            bulk,
            search,
            write,
            deploy,
            control,
            pull,
            list,
            deadline_seconds,
            body_bytes,
            header_seconds,
            body_seconds,
            idle_seconds,
            connections,
            connections_per_peer,
        } = self;
        Limits {
            lanes: PerLane::of(|lane| match lane {
                Lane::Machine => machine.room,
                Lane::Process => process.room,
                Lane::Docker => docker.room,
                Lane::Files => files.room,
                Lane::Bulk => bulk.room,
                Lane::Search => search.room,
                Lane::Write => write.room,
                Lane::Deploy => deploy.room,
                Lane::Control => control.room,
                Lane::Pull => pull.room,
                Lane::List => list.room,
            }),
            deadline: deadline_seconds.seconds(),
            body_bytes: body_bytes.count(),
            header: header_seconds.seconds(),
            body: body_seconds.seconds(),
            idle: idle_seconds.seconds(),
            connections: connections.count(),
            connections_per_peer: connections_per_peer.count(),
        }
    }
}

/// The most calls that wait in a lane.
pub(super) const MOST_WAITING: u32 = 65_536;

/// The most calls of one caller in a minute.
pub(super) const MOST_PER_MINUTE: u32 = 6_000;

/// What the lane of this number lets in, as it is written: `(running: 32, waiting: 1024)`. Which keys there are, and their maxima, are the
/// lane's.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::config) struct InLane<const LANE: usize> {
    room: Room,
}

impl<const LANE: usize> InLane<LANE> {
    pub(super) fn spec() -> &'static Spec {
        Lane::ALL[LANE].spec()
    }
}

impl<const LANE: usize> Default for InLane<LANE> {
    fn default() -> Self {
        Self { room: Self::spec().usual() }
    }
}

/// The keys that a lane has.
pub(super) fn keys(spec: &Spec) -> &'static [&'static str] {
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
