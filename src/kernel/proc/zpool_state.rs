//! `/proc/spl/kstat/zfs/POOL/state`: how a ZFS pool is, see zpoolconcepts(7).

use super::Malformed;

/// How a pool is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZpoolState {
    /// All is well.
    Online,
    /// It works, but devices are missing or faulty.
    Degraded,
    /// It cannot be used.
    Faulted,
    /// It was taken out of use.
    Offline,
    /// Its devices were pulled out.
    Removed,
    /// Its devices cannot be opened.
    Unavail,
    /// It waits for its devices to come back, and so does everyone who uses it.
    Suspended,
    /// A word this program does not know, cut to 32 characters.
    Unknown(String),
}

impl ZpoolState {
    /// Reads the text of `state`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        Ok(match text.trim_ascii() {
            "ONLINE" => Self::Online,
            "DEGRADED" => Self::Degraded,
            "FAULTED" => Self::Faulted,
            "OFFLINE" => Self::Offline,
            "REMOVED" => Self::Removed,
            "UNAVAIL" => Self::Unavail,
            "SUSPENDED" => Self::Suspended,
            "" => return Err(Malformed::whole("zpool state")),
            word => Self::Unknown(word.chars().take(32).collect()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_later_versions_are_kept() {
        assert_eq!(ZpoolState::parse("ONLINE\n").unwrap(), ZpoolState::Online);
        assert_eq!(ZpoolState::parse("RESTING\n").unwrap(), ZpoolState::Unknown("RESTING".into()));
    }

    #[test]
    fn an_empty_file_is_refused() {
        assert!(ZpoolState::parse("\n").is_err());
    }
}
