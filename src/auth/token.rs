//! The text of a token, `smcp_<id>_<secret>_<crc32>`: made, taken apart, and never printed by accident.
//!
//! The id (8 lower-case hex digits) is public: it finds the record and names the caller in the audit log. The secret has
//! 256 bits, as 64 hex digits. The checksum (CRC-32 as in zip, 8 hex digits, over all before its underscore) is no
//! secret either: it lets a mistyped or cut token be refused without paying for argon2, and lets secret scanners tell a
//! token from a look-alike.

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};

use kernel::failure::Failure;

const PREFIX: &str = "smcp_";
const ID: usize = 8;
const SECRET: usize = 64;
const CHECKSUM: usize = 8;
const BODY: usize = PREFIX.len() + ID + 1 + SECRET;

/// A whole token. Its `Debug` shows the id and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

/// A text that is no token. Does not say which part is wrong: whoever mistyped one needs the whole again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a token of this server (smcp_, 8 and 64 and 8 hex digits), or a part of it was lost")]
pub struct NotAToken;

impl Token {
    /// The length of every token, in bytes.
    pub const LENGTH: usize = BODY + 1 + CHECKSUM;

    /// Makes a new one. Fails only if the kernel gives no random bytes.
    pub fn generate() -> Result<Self, Failure> {
        let id = hex(&random::<{ ID / 2 }>()?);
        let secret = hex(&random::<{ SECRET / 2 }>()?);
        let body = format!("{PREFIX}{id}_{secret}");
        let checksum = crc32(body.as_bytes());
        Ok(Self(format!("{body}_{checksum:08x}").into()))
    }

    /// Takes a text for a token: the checksum first, then the form.
    pub fn parse(text: &str) -> Result<Self, NotAToken> {
        if text.len() != Self::LENGTH || !text.is_ascii() {
            return Err(NotAToken);
        }
        let (body, checksum) = text.split_at(BODY);
        if checksum != format!("_{:08x}", crc32(body.as_bytes())) {
            return Err(NotAToken);
        }
        let (id, secret) = body.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).ok_or(NotAToken)?;
        if is_id(id) && secret.len() == SECRET && is_hex(secret) { Ok(Self(text.into())) } else { Err(NotAToken) }
    }

    /// Its public part.
    pub fn id(&self) -> &str {
        &self.0[PREFIX.len()..PREFIX.len() + ID]
    }

    /// The whole text: for the one moment it is handed over, and for hashing.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({}, secret)", self.id())
    }
}

/// Whether `text` has the form of a token's id.
pub fn is_id(text: &str) -> bool {
    text.len() == ID && is_hex(text)
}

/// Random bytes from the kernel.
pub fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Failure::internal("the kernel gave no random bytes"))?;
    Ok(bytes)
}

/// Lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// CRC-32 (IEEE 802.3, reflected), bit by bit: 78 bytes once per request are not worth a table or a crate.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc: u32, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_one_of_zip() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn a_generated_token_reads_back_and_no_two_are_alike() {
        let (one, other) = (Token::generate().unwrap(), Token::generate().unwrap());
        assert_eq!(Token::parse(one.expose()), Ok(one.clone()));
        assert_eq!(one.expose().len(), Token::LENGTH);
        assert!(is_id(one.id()));
        assert_ne!(one.expose()[14..78], other.expose()[14..78]);
    }

    #[test]
    fn debug_never_shows_the_secret() {
        let token = Token::generate().unwrap();
        let shown = format!("{token:?}");
        assert!(shown.contains(token.id()) && !shown.contains(&token.expose()[14..20]), "{shown}");
    }

    #[test]
    fn every_change_of_one_byte_is_noticed() {
        let token = Token::generate().unwrap();
        for at in 0..Token::LENGTH {
            let mut bytes = token.expose().as_bytes().to_vec();
            bytes[at] ^= 1;
            assert_eq!(Token::parse(std::str::from_utf8(&bytes).unwrap()), Err(NotAToken), "byte {at}");
        }
    }

    #[test]
    fn a_right_checksum_over_a_wrong_form_is_refused() {
        for body in [
            format!("smcp_{}_{}", "G".repeat(8), "0".repeat(64)),
            format!("smcp_{}_{}", "A".repeat(8), "0".repeat(64)),
            format!("smcp_{}_{}", "0".repeat(64), "0".repeat(8)),
            format!("smcp-{}_{}", "0".repeat(8), "0".repeat(64)),
            format!("smcp_{}", "_".repeat(73)),
        ] {
            let text = format!("{body}_{:08x}", crc32(body.as_bytes()));
            assert_eq!(text.len(), Token::LENGTH);
            assert_eq!(Token::parse(&text), Err(NotAToken), "{text}");
        }
    }

    #[test]
    fn hostile_text_is_refused_without_panic() {
        let long = "smcp_".repeat(100_000);
        let wide = "é".repeat(Token::LENGTH / 2) + "x";
        assert_eq!(wide.len(), Token::LENGTH);
        for text in ["", "_", "smcp_", "smcp___", "\0", &long, &wide, &" ".repeat(Token::LENGTH)] {
            assert_eq!(Token::parse(text), Err(NotAToken));
        }
        let good = Token::generate().unwrap();
        assert_eq!(Token::parse(&good.expose().to_uppercase()), Err(NotAToken));
        assert_eq!(Token::parse(&format!(" {}", good.expose())), Err(NotAToken));
    }
}
