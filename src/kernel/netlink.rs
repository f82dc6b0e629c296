//! Netlink, see netlink(7): how its messages and attributes are put into bytes and taken out, and a socket that asks. What they say is
//! [`crate::proc::rtnetlink`]'s to know. Numbers are in the machine's byte order.

use std::{io, os::fd::OwnedFd, time::Duration};

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
    sockopt::{Timeout, set_socket_timeout},
};

use crate::proc::{Malformed, Position};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP_INTR: u16 = 0x10;
/// The upper two bits of an attribute's type are flags.
const NLA_TYPE_MASK: u16 = 0x3fff;

/// The bytes before a message's payload.
const HEAD: usize = 16;

/// The kernel answers in pieces of 32 KiB at most.
const PIECE: usize = 64 << 10;

/// Pieces that one answer has at most.
const MOST_PIECES: usize = 4096;

/// How often a list is asked for that changes while it is told.
const TRIES: u32 = 4;

/// How long the kernel is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// `NLM_F_ACK`: say that it is done.
pub const ACK: u16 = 0x4;
/// `NLM_F_DUMP`: all that there is.
pub const DUMP: u16 = 0x300;
/// `NLM_F_CREATE | NLM_F_REPLACE`: make it, or put it in the place of what is there.
pub const PUT: u16 = 0x500;

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It is whole.
    Done,
    /// The kernel refused, with this `errno`.
    Refused(i32),
}

/// What one reading of the socket came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Piece {
    /// How the answer ended; `None` if more is to be read.
    pub end: Option<End>,
    /// What is listed changed meanwhile: ask again (`NLM_F_DUMP_INTR`).
    pub interrupted: bool,
}

/// A request of this kind, with these flags. The kernel repeats `sequence` in its answer.
pub fn request(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + HEAD).unwrap_or(u32::MAX);
    let flags = NLM_F_REQUEST | flags;
    let head: [&[u8]; 5] =
        [&length.to_ne_bytes(), &kind.to_ne_bytes(), &flags.to_ne_bytes(), &sequence.to_ne_bytes(), &[0; 4]];
    [head.concat().as_slice(), payload].concat()
}

/// One attribute of a request.
pub fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = [&length.to_ne_bytes(), &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Reads what one reading of the socket gave: `each` gets kind and payload of the messages that answer the request of this `sequence`, others
/// are passed over. `None` of it: that makes no sense.
pub fn read<'a>(
    file: &'static str,
    bytes: &'a [u8],
    sequence: u32,
    mut each: impl FnMut(u16, &'a [u8]) -> Option<()>,
) -> Result<Piece, Malformed> {
    let mut piece = Piece::default();
    let mut rest = bytes;
    while !rest.is_empty() && piece.end.is_none() {
        let malformed = || Malformed { file, position: Position::Byte(bytes.len() - rest.len()) };
        let (message, after) = Message::take(rest).ok_or_else(malformed)?;
        if message.sequence == sequence {
            piece.interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
            match message.kind {
                NLMSG_ERROR => piece.end = Some(end(message.payload).ok_or_else(malformed)?),
                // its number came later than the message itself
                NLMSG_DONE => piece.end = Some(end(message.payload).unwrap_or(End::Done)),
                kind => each(kind, message.payload).ok_or_else(malformed)?,
            }
        }
        rest = after;
    }
    Ok(piece)
}

/// The attributes in a payload, by type and value. `None` for one whose length lies, which is the last.
pub fn attributes(bytes: &[u8]) -> impl Iterator<Item = Option<(u16, &[u8])>> {
    let mut rest = Some(bytes).filter(|bytes| !bytes.is_empty());
    std::iter::from_fn(move || {
        let bytes = rest.take()?;
        let taken = || {
            let length = usize::from(u16_at(bytes, 0)?);
            let one = (u16_at(bytes, 2)? & NLA_TYPE_MASK, bytes.get(4..length)?);
            Some((one, after(bytes, length)?))
        };
        let Some((one, after)) = taken() else { return Some(None) };
        rest = Some(after).filter(|after| !after.is_empty());
        Some(Some(one))
    })
}

/// A number of 16 bits, as it stands there.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A number of 32 bits.
pub fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

struct Message<'a> {
    kind: u16,
    flags: u16,
    sequence: u32,
    payload: &'a [u8],
}

impl<'a> Message<'a> {
    fn take(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let length = usize::try_from(u32_at(bytes, 0)?).ok()?;
        let payload = bytes.get(HEAD..length)?;
        let message = Self { kind: u16_at(bytes, 4)?, flags: u16_at(bytes, 6)?, sequence: u32_at(bytes, 8)?, payload };
        Some((message, after(bytes, length)?))
    }
}

fn end(payload: &[u8]) -> Option<End> {
    let code = u32_at(payload, 0)?.cast_signed();
    Some(if code == 0 { End::Done } else { End::Refused(code.saturating_neg()) })
}

/// What follows a message or attribute of this length. Each starts at a multiple of 4; the last need not be filled up.
fn after(bytes: &[u8], length: usize) -> Option<&[u8]> {
    Some(bytes.get(length.checked_next_multiple_of(4)?..).unwrap_or_default())
}

/// A socket to the kernel.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// Opens one of this protocol: `None` is `NETLINK_ROUTE`.
    pub fn open(protocol: Option<Protocol>) -> io::Result<Self> {
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self(socket))
    }

    /// Asks for a list. `request` makes the bytes for a sequence number, `read` adds what a piece of the answer holds. The list may change
    /// while it is told; then it is asked for again.
    pub fn list<T>(
        &self,
        request: impl Fn(u32) -> Vec<u8>,
        read: impl Fn(&[u8], u32, &mut Vec<T>) -> Result<Piece, Malformed>,
    ) -> io::Result<Vec<T>> {
        for sequence in 1..=TRIES {
            send(&self.0, &request(sequence), SendFlags::empty())?;
            let mut listed = vec![];
            if !self.answer(|bytes| read(bytes, sequence, &mut listed))? {
                return Ok(listed);
            }
        }
        Err(io::Error::other("the list changed whenever it was read"))
    }

    /// Asks for a change, by the bytes of a request with [`ACK`], and waits until it is made.
    pub fn change(&self, request: &[u8]) -> io::Result<()> {
        send(&self.0, request, SendFlags::empty())?;
        let sequence = u32_at(request, 8).unwrap_or_default();
        self.answer(|bytes| read("netlink", bytes, sequence, |_, _| Some(()))).map(drop)
    }

    /// Reads an answer to its end. Whether it was interrupted.
    fn answer(&self, mut read: impl FnMut(&[u8]) -> Result<Piece, Malformed>) -> io::Result<bool> {
        let (mut buffer, mut interrupted) = (vec![0; PIECE], false);
        for _ in 0..MOST_PIECES {
            let (length, _) = recv(&self.0, &mut buffer[..], RecvFlags::empty())?;
            let piece = read(&buffer[..length]).map_err(io::Error::other)?;
            interrupted |= piece.interrupted;
            match piece.end {
                Some(End::Done) => return Ok(interrupted),
                Some(End::Refused(errno)) => return Err(io::Error::from_raw_os_error(errno)),
                None => (),
            }
        }
        Err(io::Error::other("the kernel's answer does not end"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message as the kernel sends it, with the flag that more of them follow.
    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = request(kind, 0, 7, payload);
        bytes[6] = 2;
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn piece(bytes: &[u8], sequence: u32) -> Result<Piece, Malformed> {
        read("netlink", bytes, sequence, |_, _| Some(()))
    }

    #[test]
    fn a_request_says_its_length_kind_and_number() {
        let bytes = request(22, DUMP, 7, &[1, 2, 3]);
        let (message, rest) = Message::take(&bytes).unwrap();
        assert_eq!((message.kind, message.flags, message.sequence, rest), (22, 0x301, 7, &[][..]));
        assert_eq!(message.payload, [1, 2, 3]);
    }

    #[test]
    fn an_answer_ends_as_it_says() {
        let done = [message(20, &[]), message(NLMSG_DONE, &[0; 4]), message(20, &[])].concat();
        let mut seen = 0;
        let ended = read("netlink", &done, 7, |_, _| {
            seen += 1;
            Some(())
        });
        assert_eq!((ended.unwrap().end, seen), (Some(End::Done), 1));
        assert_eq!(piece(&message(NLMSG_DONE, &[]), 7).unwrap().end, Some(End::Done));
        assert_eq!(piece(&message(NLMSG_ERROR, &(-1i32).to_ne_bytes()), 7).unwrap().end, Some(End::Refused(1)));
        assert!(piece(&message(NLMSG_ERROR, &[]), 7).is_err());
        assert_eq!(piece(&message(20, &[]), 7).unwrap(), Piece::default());
        let mut interrupted = message(20, &[]);
        interrupted[6] |= 0x10;
        assert!(piece(&interrupted, 7).unwrap().interrupted);
    }

    #[test]
    fn the_answer_to_another_question_is_passed_over() {
        assert_eq!(piece(&message(NLMSG_DONE, &[0; 4]), 8).unwrap(), Piece::default());
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for length in [0u32, 15, 17, u32::MAX] {
            let mut bytes = message(NLMSG_DONE, &[]);
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert!(piece(&bytes, 7).is_err(), "{length}");
        }
        let whole = message(20, &[1, 2, 3, 4]);
        for end in 1..whole.len() {
            assert!(piece(&whole[..end], 7).is_err(), "{end}");
        }
    }

    #[test]
    fn attributes_come_one_after_the_other_until_one_lies() {
        let two = [attribute(1, &[1, 2, 3]), attribute(0x8002, &[])].concat();
        let all: Vec<_> = attributes(&two).collect();
        assert_eq!(all, [Some((1, &[1, 2, 3][..])), Some((2, &[][..]))]);
        assert_eq!(attributes(&[]).count(), 0);
        for lie in [&[3, 0, 0, 0][..], &[9, 0, 0, 0], &[4, 0]] {
            let bytes = [attribute(1, &[1]).as_slice(), lie].concat();
            assert_eq!(attributes(&bytes).collect::<Vec<_>>(), [Some((1, &[1][..])), None]);
        }
    }

    #[test]
    fn the_kernel_answers() {
        // a dump of all links (RTM_GETLINK), of which there is `lo`
        let socket = Socket::open(None).unwrap();
        let links = socket.list(
            |sequence| request(18, DUMP, sequence, &[0; 16]),
            |bytes, sequence, links| {
                read("rtnetlink", bytes, sequence, |kind, _| {
                    links.push(kind);
                    Some(())
                })
            },
        );
        assert!(links.unwrap().contains(&16));
        let refused = socket.change(&request(9999, ACK, 5, &[]));
        assert_eq!(refused.unwrap_err().raw_os_error(), Some(95));
    }
}
