//! The release string of uname(2), also `/proc/sys/kernel/osrelease`: `6.1.0-18-amd64`.

use super::Malformed;

/// The part of a release that tells what a kernel can do; what follows is the distribution's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion {
    /// 6 of 6.1.
    pub major: u32,
    /// 1 of 6.1.
    pub minor: u32,
}

impl KernelVersion {
    /// Reads a release.
    pub fn parse(release: &str) -> Result<Self, Malformed> {
        let mut numbers = release.trim_ascii().splitn(3, '.').map(leading_number);
        match (numbers.next().flatten(), numbers.next().flatten()) {
            (Some(major), Some(minor)) => Ok(Self { major, minor }),
            _ => Err(Malformed::whole("osrelease")),
        }
    }
}

fn leading_number(part: &str) -> Option<u32> {
    let end = part.find(|character: char| !character.is_ascii_digit()).unwrap_or(part.len());
    part.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_append_what_they_like() {
        for release in ["6.1.0-18-amd64", "6.1-rc3", "6.1+\n", "6.1", "6.1.0-1-pve"] {
            assert_eq!(KernelVersion::parse(release).unwrap(), KernelVersion { major: 6, minor: 1 }, "{release}");
        }
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(KernelVersion::parse("5.10.0").unwrap() > KernelVersion::parse("5.4.0").unwrap());
    }

    #[test]
    fn what_is_no_version_is_refused() {
        for release in ["", "6", "six.one", "6.", "99999999999.1"] {
            assert!(KernelVersion::parse(release).is_err(), "{release}");
        }
    }
}
