//! `/run/utmp`: who is logged in, see utmp(5). Distributions without it keep sessions with systemd-logind alone.

use super::Malformed;

/// `ut_type` of a user who is logged in.
const USER_PROCESS: u16 = 7;
/// The largest `ut_type`, `ACCOUNTING`.
const ACCOUNTING: u16 = 9;

/// One login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Who.
    pub user: Vec<u8>,
    /// Terminal, without `/dev/`.
    pub line: Vec<u8>,
    /// Where from; empty for a login at the machine itself.
    pub host: Vec<u8>,
    /// The process that let them in. It may be gone: programs that die leave their entry behind.
    pub pid: u32,
    /// Since when, in seconds since 1970.
    pub time: u64,
}

/// Reads the bytes of `/run/utmp`: records of glibc's `struct utmp`, little-endian.
pub fn parse(bytes: &[u8]) -> Result<Vec<Login>, Malformed> {
    // The time has 32 bits where a 32-bit twin of the architecture shares the file (x86-64), else 64 (aarch64).
    let fits = |size: &usize| {
        let records = bytes.chunks_exact(*size);
        records.remainder().is_empty() && records.into_iter().all(|record| kind(record) <= ACCOUNTING)
    };
    let size = [384, 400].into_iter().find(fits);
    let size = size.ok_or_else(|| Malformed::whole("utmp"))?;
    let logins = bytes.chunks_exact(size).filter(|record| kind(record) == USER_PROCESS);
    Ok(logins.filter_map(Login::parse).collect())
}

impl Login {
    fn parse(record: &[u8]) -> Option<Self> {
        // As unsigned, which lasts until 2106.
        let time = match record.len() {
            384 => u64::from(u32_at(record, 340)?),
            _ => u64::from_le_bytes(*record.get(344..)?.first_chunk()?),
        };
        let [line, user, host] = [8..40, 44..76, 76..332].map(|range| record.get(range).map(text));
        Some(Self { user: user?, line: line?, host: host?, pid: u32_at(record, 4)?, time })
    }
}

fn kind(record: &[u8]) -> u16 {
    record.first_chunk().map_or(u16::MAX, |kind| u16::from_le_bytes(*kind))
}

fn text(field: &[u8]) -> Vec<u8> {
    field.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
}

fn u32_at(record: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*record.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Position;

    fn record(size: usize, kind: u8, time_at: usize) -> Vec<u8> {
        let mut record = vec![0; size];
        record[0] = kind;
        record[4..8].copy_from_slice(&4242u32.to_le_bytes());
        record[8..13].copy_from_slice(b"pts/0");
        record[44..48].copy_from_slice(b"root");
        record[76..76 + 256].fill(b'h');
        record[time_at..time_at + 4].copy_from_slice(&1_700_000_000u32.to_le_bytes());
        record
    }

    #[test]
    fn both_sizes_of_records_are_told_apart() {
        for (size, time_at) in [(384, 340), (400, 344)] {
            let bytes = [record(size, 2, time_at), record(size, 7, time_at), record(size, 8, time_at)].concat();
            let login = Login {
                user: b"root".to_vec(),
                line: b"pts/0".to_vec(),
                host: vec![b'h'; 256],
                pid: 4242,
                time: 1_700_000_000,
            };
            assert_eq!(parse(&bytes).unwrap(), [login], "{size}");
        }
    }

    #[test]
    fn a_length_both_divide_is_settled_by_the_types() {
        let bytes = vec![record(400, 7, 344); 24].concat();
        assert_eq!(parse(&bytes).unwrap().len(), 24);
    }

    #[test]
    fn nobody_is_logged_in() {
        assert_eq!(parse(b"").unwrap(), []);
    }

    #[test]
    fn half_a_record_is_refused() {
        assert_eq!(parse(&[0; 383]).unwrap_err().position, Position::Whole);
        assert!(parse(&[255; 384]).is_err());
    }
}
