//! The client of DHCP for one interface: asks for an address, keeps it as long as it may, and asks again.
//!
//! It speaks over an ordinary UDP socket that is bound to the interface, and asks to be answered by broadcast, as it has no address yet. A raw
//! socket would also hear servers that answer to the address they are about to give, against RFC 2131; it would need unsafe code here.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    rc::Rc,
    time::Duration,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt::set_socket_reuseaddr};
use tokio::{
    net::UdpSocket,
    time::{Instant, sleep_until, timeout_at},
};

use super::{
    dhcp::{self, Answer, Ask, Lease},
    link::Link,
    network::Resolver,
    record::Record,
    rp_filter::Checks,
};
use auth::token;
use kernel::{proc::rtnetlink::Change, root::Root};

/// How long the host may take to give an address before one is asked for.
const HOST_FIRST: Duration = Duration::from_secs(1);

/// How long to wait for an answer: at first, and at most.
const PATIENCE: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(32);

/// A lease is not renewed more often than this.
const SHORTEST: Duration = Duration::from_secs(5);

/// `RTPROT_DHCP`.
const DHCP: u8 = 16;

/// One interface's.
pub(super) struct Client {
    pub(super) link: Link,
    pub(super) mac: [u8; 6],
    /// Whether an address that somebody else gives is as good.
    pub(super) yields: bool,
    pub(super) root: Rc<Root>,
    pub(super) record: Rc<Record>,
    pub(super) resolver: Rc<Resolver>,
    pub(super) checks: Rc<Checks>,
}

impl Client {
    /// For ever, or until somebody else gives an address.
    pub(super) async fn live(self) {
        if self.yields {
            tokio::time::sleep(HOST_FIRST).await;
        }
        while !self.is_given() {
            match self.once().await {
                // has run out, or was taken back
                Ok(()) => (),
                Err(error) => {
                    self.say(&format!("DHCP: {error}"));
                    tokio::time::sleep(LONGEST).await;
                }
            }
        }
    }

    fn say(&self, words: &str) {
        self.record.say(&format!("{}: {words}", self.link.name));
    }

    /// Whether there is an address that is not from here: none is held whenever this is asked.
    fn is_given(&self) -> bool {
        match (self.yields, self.link.v4(&self.root).first()) {
            (true, Some(address)) => {
                self.say(&format!("the host has given it {address}"));
                true
            }
            _ => false,
        }
    }

    /// From the first question to the end of a lease.
    async fn once(&self) -> io::Result<()> {
        let unchecked = self.checks.without(&self.root, &self.link.name);
        let socket = self.socket()?;
        let began = Instant::now();
        // one for all attempts: a server may take longer to look whether an address is free than a client has patience
        let transaction = self.transaction()?;
        let found = persist(PATIENCE, async |patience| {
            if self.is_given() {
                return Ok(Some(None));
            }
            if patience == PATIENCE * 8 {
                self.say("no address by DHCP yet; it keeps asking");
            }
            Ok(self.attempt(&socket, transaction, began, patience).await?.map(Some))
        });
        let Some(mut lease) = found.await? else { return Ok(()) };
        drop(unchecked);
        let result = self.keep(&socket, &mut lease).await;
        // the kernel may have been faster
        let _ = self.link.change(Change::NoAddress(lease.address.into(), lease.prefix));
        result
    }

    fn socket(&self) -> io::Result<UdpSocket> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
        // another interface has its own at the same port
        set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68))?;
        let socket = UdpSocket::from_std(socket.into())?;
        socket.bind_device(Some(self.link.name.as_bytes()))?;
        socket.set_broadcast(true)?;
        Ok(socket)
    }

    /// Discover, offer, request, ack.
    async fn attempt(
        &self,
        socket: &UdpSocket,
        transaction: u32,
        began: Instant,
        patience: Duration,
    ) -> io::Result<Option<Lease>> {
        self.send(socket, Ask::Discover, transaction, began, Ipv4Addr::BROADCAST).await?;
        let is_offer = |answer: &Answer| matches!(answer, Answer::Offer(_));
        let Some(Answer::Offer(offer)) = self.hear(socket, transaction, patience, is_offer).await? else {
            return Ok(None);
        };
        let ask = Ask::Request { wanted: offer.address, server: offer.server };
        self.send(socket, ask, transaction, began, Ipv4Addr::BROADCAST).await?;
        match self.hear(socket, transaction, patience, |answer| !is_offer(answer)).await? {
            Some(Answer::Ack(lease)) => Ok(Some(lease)),
            Some(Answer::Nak) => {
                self.say("the address that DHCP offered is refused");
                Ok(None)
            }
            Some(Answer::Offer(_)) | None => Ok(None),
        }
    }

    /// Takes an address up, renews it in time, and lets go of it when it may not be kept.
    async fn keep(&self, socket: &UdpSocket, lease: &mut Lease) -> io::Result<()> {
        self.say(&format!("has {}/{} for {} s from {}", lease.address, lease.prefix, lease.seconds, lease.server));
        loop {
            self.take_up(lease)?;
            let began = Instant::now();
            let end = began + Duration::from_secs(lease.seconds.into());
            let rebind = began + Duration::from_secs(lease.rebind.into());
            let mut next = began + Duration::from_secs(lease.renew.into()).max(SHORTEST);
            let renewed = loop {
                if next >= end {
                    sleep_until(end).await;
                    self.say("the lease has run out");
                    break None;
                }
                sleep_until(next).await;
                let transaction = self.transaction()?;
                let to = if Instant::now() < rebind { lease.server } else { Ipv4Addr::BROADCAST };
                // the network may be away for a while; the lease is still good
                if self.send(socket, Ask::Renew(lease.address), transaction, next, to).await.is_ok() {
                    match self.hear(socket, transaction, SHORTEST, |answer| !matches!(answer, Answer::Offer(_))).await?
                    {
                        Some(Answer::Ack(lease)) => break Some(lease),
                        Some(Answer::Nak) => {
                            self.say("the address may not be kept");
                            break None;
                        }
                        Some(Answer::Offer(_)) | None => (),
                    }
                }
                // half of what is left until everybody is asked, then until the end (RFC 2131, 4.4.5), but not more than once a minute
                let now = Instant::now();
                let until = if now < rebind { rebind } else { end };
                next = now + (until.saturating_duration_since(now) / 2).max(Duration::from_secs(60));
            };
            let Some(now) = renewed else { return Ok(()) };
            if (now.address, now.prefix) != (lease.address, lease.prefix) {
                let _ = self.link.change(Change::NoAddress(lease.address.into(), lease.prefix));
            }
            *lease = now;
        }
    }

    fn take_up(&self, lease: &Lease) -> io::Result<()> {
        self.link.change(Change::Address(lease.address.into(), lease.prefix, Some(lease.seconds)))?;
        for (to, via) in &lease.routes {
            if let Err(error) = self.link.change(Change::Route { to: *to, via: *via, origin: DHCP }) {
                self.say(&format!("the route to {}/{}: {error}", to.0, to.1));
            }
        }
        if let Err(error) = self.resolver.tell(&self.link.name, &lease.dns, lease.domain.as_deref()) {
            self.say(&format!("/etc/resolv.conf: {error}"));
        }
        Ok(())
    }

    fn transaction(&self) -> io::Result<u32> {
        token::random().map(u32::from_ne_bytes).map_err(io::Error::other)
    }

    async fn send(
        &self,
        socket: &UdpSocket,
        ask: Ask,
        transaction: u32,
        began: Instant,
        to: Ipv4Addr,
    ) -> io::Result<()> {
        let seconds = u16::try_from(began.elapsed().as_secs()).unwrap_or(u16::MAX);
        let uname = rustix::system::uname();
        let hostname = uname.nodename().to_str().unwrap_or_default();
        let message = dhcp::request(ask, transaction, self.mac, seconds, hostname);
        socket.send_to(&message, SocketAddr::from((to, 67))).await.map(drop)
    }

    /// The first answer that is `wanted`, within `patience`.
    async fn hear(
        &self,
        socket: &UdpSocket,
        transaction: u32,
        patience: Duration,
        wanted: impl Fn(&Answer) -> bool,
    ) -> io::Result<Option<Answer>> {
        let until = Instant::now() + patience;
        let mut buffer = [0; 2048];
        while let Ok(heard) = timeout_at(until, socket.recv_from(&mut buffer)).await {
            let (length, from) = heard?;
            if from.port() == 67
                && let Some(answer) = dhcp::parse(&buffer[..length], transaction, self.mac)
                && wanted(&answer)
            {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }
}

/// Attempts until one gives something, each with twice the patience of the one before. None begins before the patience with the one before is
/// over, so that a server that refuses at once is not asked again at once.
async fn persist<T>(first: Duration, mut attempt: impl AsyncFnMut(Duration) -> io::Result<Option<T>>) -> io::Result<T> {
    let mut patience = first;
    loop {
        let over = Instant::now() + patience;
        if let Some(found) = attempt(patience).await? {
            return Ok(found);
        }
        sleep_until(over).await;
        patience = (patience * 2).min(LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_is_refused_at_once_asks_less_and_less_often() {
        let (first, asked) = (PATIENCE, RefCell::new(vec![]));
        let refused = persist(first, async |patience| {
            asked.borrow_mut().push((Instant::now(), patience));
            Ok(None::<()>)
        });
        assert!(timeout(first * 16, refused).await.is_err());
        let asked = asked.into_inner();
        assert_eq!(asked.len(), 5, "{asked:?}");
        for pair in asked.windows(2) {
            assert_eq!(pair[1].0 - pair[0].0, pair[0].1, "{asked:?}");
            assert_eq!(pair[1].1, pair[0].1 * 2);
        }
    }

    #[tokio::test]
    async fn what_is_found_is_had_at_once_and_so_is_what_ails() {
        let long = Duration::from_secs(600);
        let mut left = 0;
        let found = persist(long, async |_| Ok(Some(1))).await;
        assert_eq!(found.unwrap(), 1);
        let failed = persist(long, async |_| {
            left += 1;
            Err::<Option<()>, _>(io::Error::other("the interface is gone"))
        });
        assert!(failed.await.is_err());
        assert_eq!(left, 1);
    }
}
