//! The load: keep-alive clients on one thread over epoll, as cheap as can be, because they share the processor with what they measure.
//!
//! One tool for both kinds of load. wrk does the first alike (within noise), but cannot keep a pace.

use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use memchr::memmem;
use rustix::event::{Timespec, epoll};
use serde_json::Value;

use crate::{figures::percentile, server::Server};

/// How the clients call.
#[derive(Clone, Copy)]
pub enum Pace {
    /// Again as soon as they are answered.
    Saturating,
    /// Once in this time each, spread evenly over it. A call that is late because the one before was not yet answered counts from when
    /// it was due.
    Every(Duration),
}

/// What became of it.
pub struct Outcome {
    /// Calls answered well in the time measured.
    pub answered: usize,
    /// Calls not answered, or not well, at any time.
    pub failed: usize,
    /// The time measured.
    pub seconds: f64,
    /// How long the answers took, in microseconds, in order.
    pub latencies: Vec<u32>,
    /// CPU time of the server in the time measured.
    pub cpu: Duration,
}

impl Outcome {
    /// Answers a second.
    pub fn per_second(&self) -> f64 {
        self.answered as f64 / self.seconds
    }

    /// In seconds.
    pub fn percentile(&self, share: f64) -> f64 {
        percentile(&self.latencies, share) / 1e6
    }

    /// What one answer cost the server, in seconds.
    pub fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() / self.answered as f64
    }
}

/// How long what was measured is preceded by what is not.
const WARM_UP: Duration = Duration::from_millis(500);

/// How long after the end an answer may still come.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an answer's head says.
pub struct Head {
    /// Its status.
    pub status: u16,
    /// Where its body begins.
    pub end: usize,
    /// How long that is.
    pub body: usize,
}

impl Head {
    /// `None`: it is not all there.
    pub fn of(answer: &[u8]) -> Option<Self> {
        let end = memmem::find(answer, b"\r\n\r\n")? + 4;
        let head = std::str::from_utf8(&answer[..end]).ok()?;
        let status = head.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        // an answer without a length is none that this understands; its status says so
        Some(Self { status: if length.is_some() { status } else { 0 }, end, body: length.unwrap_or(0) })
    }
}

struct Client {
    id: usize,
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
    /// Where the answer ends, once its head is there.
    whole: Option<Head>,
    /// When the call in flight was due.
    asked: Option<Instant>,
    /// When those that wait for it were.
    due: VecDeque<Instant>,
    looked_at: bool,
    broken: bool,
}

/// Lets `clients` call `tool` for `duration`.
pub fn run(server: &Server, tool: &str, clients: usize, pace: Pace, duration: Duration) -> Outcome {
    let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("epoll");
    let mut clients: Vec<Client> = (0..clients).map(|id| Client::connect(server, tool, id)).collect();
    for client in &clients {
        let data = epoll::EventData::new_u64(client.id as u64);
        epoll::add(&poll, &client.stream, data, epoll::EventFlags::IN).expect("epoll");
    }
    let began = Instant::now();
    let (from, to) = (began + WARM_UP, began + WARM_UP + duration);
    let mut cpu_before = None;
    let mut outcome =
        Outcome { answered: 0, failed: 0, seconds: duration.as_secs_f64(), latencies: vec![], cpu: Duration::ZERO };
    let mut calls = 0_u32;
    if let Pace::Saturating = pace {
        clients.iter_mut().for_each(|client| client.ask(began));
    }
    let mut events = Vec::with_capacity(256);
    let mut part = vec![0; 256 << 10];
    loop {
        let now = Instant::now();
        if now >= from && cpu_before.is_none() {
            cpu_before = Some(server.cpu_time());
        }
        if now >= to {
            break;
        }
        let mut next = if cpu_before.is_none() { from } else { to };
        if let Pace::Every(period) = pace {
            let apart = period / clients.len() as u32;
            while began + apart * calls <= now {
                let client = calls as usize % clients.len();
                clients[client].due(began + apart * calls);
                calls += 1;
            }
            next = next.min(began + apart * calls);
        }
        for id in wait(&poll, &mut events, next.saturating_duration_since(now)) {
            let client = &mut clients[id];
            if let Some(asked) = client.take(&mut part) {
                let now = Instant::now();
                if now >= from && now < to {
                    outcome.answered += 1;
                    outcome.latencies.push((now - asked).as_micros() as u32);
                }
                match pace {
                    Pace::Saturating => client.ask(now),
                    Pace::Every(_) => client.next(),
                }
            }
        }
    }
    outcome.cpu = server.cpu_time().saturating_sub(cpu_before.unwrap_or_default());
    // those in flight are awaited: an answer that never comes is a failure, one that comes late is not counted
    while clients.iter().any(|client| client.asked.is_some() && !client.broken) && to.elapsed() < PATIENCE {
        for id in wait(&poll, &mut events, Duration::from_millis(100)) {
            let _ = clients[id].take(&mut part);
        }
    }
    outcome.failed = clients.iter().filter(|client| client.broken || client.asked.is_some()).count();
    outcome.latencies.sort_unstable();
    outcome
}

fn wait<'a>(
    poll: &std::os::fd::OwnedFd,
    events: &'a mut Vec<epoll::Event>,
    most: Duration,
) -> impl Iterator<Item = usize> + use<'a> {
    let most = Timespec { tv_sec: most.as_secs().cast_signed(), tv_nsec: most.subsec_nanos().into() };
    events.clear();
    let _ = epoll::wait(poll, rustix::buffer::spare_capacity(events), Some(&most));
    events.iter().map(|event| event.data.u64() as usize)
}

impl Client {
    fn connect(server: &Server, tool: &str, id: usize) -> Self {
        let stream = TcpStream::connect(server.address).expect("a connection");
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_nonblocking(true).expect("O_NONBLOCK");
        Self {
            id,
            stream,
            request: server.calling(id, tool, serde_json::json!({})),
            answer: vec![],
            whole: None,
            asked: None,
            due: VecDeque::new(),
            looked_at: false,
            broken: false,
        }
    }

    fn due(&mut self, when: Instant) {
        self.due.push_back(when);
        if self.asked.is_none() {
            self.next();
        }
    }

    fn next(&mut self) {
        if let Some(when) = self.due.pop_front() {
            self.ask(when);
        }
    }

    fn ask(&mut self, due: Instant) {
        if self.broken {
            return;
        }
        self.asked = Some(due);
        // a request is far smaller than a socket's buffer, which is empty
        let sent = self.stream.write(&self.request);
        self.broken = sent.ok() != Some(self.request.len());
    }

    /// Takes what came. Once the answer is whole: when it was asked for.
    fn take(&mut self, part: &mut [u8]) -> Option<Instant> {
        if self.broken {
            return None;
        }
        match self.stream.read(part) {
            Ok(0) => self.give_up("the connection was closed"),
            Ok(length) => self.answer.extend(&part[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => (),
            Err(error) => self.give_up(&error.to_string()),
        }
        if self.whole.is_none() {
            self.whole = Head::of(&self.answer);
        }
        let head = self.whole.as_ref()?;
        let end = head.end + head.body;
        if self.answer.len() < end {
            return None;
        }
        if !self.is_good(head, end) {
            let words = String::from_utf8_lossy(&self.answer[..self.answer.len().min(400)]).into_owned();
            self.give_up(&words);
            return None;
        }
        self.looked_at = true;
        self.answer.clear();
        self.whole = None;
        self.asked.take()
    }

    /// The first answer is read whole, the others are only looked over.
    fn is_good(&self, head: &Head, end: usize) -> bool {
        let body = &self.answer[head.end..end];
        if head.status != 200 || self.answer.len() != end || self.asked.is_none() {
            return false;
        }
        if self.looked_at {
            return memmem::find(body, b"\"isError\":true").is_none() && memmem::find(body, b"\"error\":{").is_none();
        }
        let Ok(message) = serde_json::from_slice::<Value>(body) else { return false };
        message["id"] == self.id && message["result"]["isError"] != true && message["result"]["content"].is_array()
    }

    fn give_up(&mut self, why: &str) {
        eprintln!("client {}: {why}", self.id);
        self.broken = true;
    }
}
