//! `/run/systemd/sessions/N`: one session of systemd-logind. The file is private to systemd and may change; what it
//! says is the same as sd-login(3) tells from it.

use super::Malformed;
use super::os_release::assignment;

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginSession {
    /// `USER`: login name.
    pub user: String,
    /// `UID`.
    pub uid: u32,
    /// `TTY`: terminal, without `/dev/`.
    pub tty: Option<String>,
    /// `REMOTE_HOST`: where from; `None` for a session at the machine itself.
    pub remote_host: Option<String>,
    /// `SERVICE`: who let them in: `sshd`.
    pub service: Option<String>,
    /// `LEADER`: the process that let them in.
    pub leader: Option<u32>,
    /// `ACTIVE`: whether it is in front.
    pub active: bool,
    /// `STATE`: `opening`, `online`, `active`, `closing`.
    pub state: Option<String>,
    /// `CLASS`: `user`, `greeter`, `background`, `manager`.
    pub class: Option<String>,
    /// `TYPE`: `tty`, `x11`, `wayland`, `unspecified`.
    pub kind: Option<String>,
    /// `REALTIME`: since when, in microseconds since 1970.
    pub realtime_us: Option<u64>,
}

impl LoginSession {
    /// Reads the text of a session file.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let optional = |name: &str| {
            let mut lines = text.lines().filter_map(assignment);
            lines.find(|(have, _)| *have == name).map(|(_, value)| value).filter(|value| !value.is_empty())
        };
        let required = |name| optional(name).ok_or_else(|| Malformed::field("session", name));
        let uid = required("UID")?;
        Ok(Self {
            user: required("USER")?,
            uid: uid.parse().map_err(|_| Malformed::field("session", "UID"))?,
            tty: optional("TTY"),
            remote_host: optional("REMOTE_HOST"),
            service: optional("SERVICE"),
            leader: optional("LEADER").and_then(|pid| pid.parse().ok()),
            active: optional("ACTIVE").is_some_and(|active| active == "1"),
            state: optional("STATE"),
            class: optional("CLASS"),
            kind: optional("TYPE"),
            realtime_us: optional("REALTIME").and_then(|time| time.parse().ok()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::Position;

    #[test]
    fn a_session_over_ssh() {
        let text = "# This is private data. Do not parse.\nUID=0\nUSER=root\nACTIVE=1\nSTATE=active\nREMOTE=1\nTYPE=tty\n\
            ORIGINAL_TYPE=tty\nCLASS=user\nTTY=pts/0\nREMOTE_HOST=192.0.2.7\nSERVICE=sshd\nLEADER=4242\nREALTIME=1700000000000000\n";
        let session = LoginSession::parse(text).unwrap();
        assert_eq!((session.user.as_str(), session.uid, session.active), ("root", 0, true));
        assert_eq!((session.tty.as_deref(), session.remote_host.as_deref()), (Some("pts/0"), Some("192.0.2.7")));
        assert_eq!((session.kind.as_deref(), session.leader), (Some("tty"), Some(4242)));
    }

    #[test]
    fn a_session_may_have_no_terminal() {
        let session = LoginSession::parse("UID=1000\nUSER=a\nACTIVE=0\nCLASS=manager\n").unwrap();
        assert_eq!((session.tty, session.active, session.realtime_us), (None, false, None));
    }

    #[test]
    fn a_session_of_nobody_is_refused() {
        assert_eq!(LoginSession::parse("ACTIVE=1\n").unwrap_err().position, Position::Field("UID"));
        assert_eq!(LoginSession::parse("UID=root\nUSER=root\n").unwrap_err().position, Position::Field("UID"));
    }
}
