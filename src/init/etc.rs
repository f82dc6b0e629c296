//! The files of the container that `init` writes, and the directories that it makes.

use std::{fs::File, io, io::Write as _, net::IpAddr, path::Path};

use rustix::{
    fs::{CWD, Mode, OFlags, chown, mkdir},
    io::Errno,
    process::{Gid, Uid},
};

/// Writes the whole content of a file.
pub(super) fn write(file: &Path, content: &str) -> io::Result<()> {
    // in place: it may be mounted from the host, and then its name cannot be given to another
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC | OFlags::NOCTTY;
    let opened = rustix::fs::openat(CWD, file, flags, Mode::from_raw_mode(0o644))?;
    File::from(opened).write_all(content.as_bytes())
}

/// resolv.conf(5), of which more than three servers are not read.
pub(super) fn resolv_conf(dns: &[IpAddr], search: &[String]) -> String {
    let mut text = "# written by systemmanager-mcp init\n".to_owned();
    if !search.is_empty() {
        text += &format!("search {}\n", search.join(" "));
    }
    dns.iter().take(3).for_each(|server| text += &format!("nameserver {server}\n"));
    text
}

/// A directory for one user alone.
pub(super) fn state_directory(path: &Path, user: u32) -> io::Result<()> {
    directory(path, 0o700, user, user)
}

/// A directory that one user may write in, and one group read; what is made in it is the group's.
pub(super) fn shared_directory(path: &Path, user: u32, group: u32) -> io::Result<()> {
    directory(path, 0o2750, user, group)
}

fn directory(path: &Path, mode: u32, user: u32, group: u32) -> io::Result<()> {
    match mkdir(path, Mode::from_raw_mode(0o700)) {
        Ok(()) | Err(Errno::EXIST) => (),
        Err(error) => return Err(error.into()),
    }
    chown(path, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?;
    // after the owner, whose change takes the bit for the group away
    Ok(rustix::fs::chmod(path, Mode::from_raw_mode(mode))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_has_servers_and_domains() {
        let dns: Vec<IpAddr> = ["192.0.2.1", "::1", "192.0.2.2", "192.0.2.3"].map(|text| text.parse().unwrap()).into();
        let text = resolv_conf(&dns, &["a.example".into(), "b.example".into()]);
        let lines: Vec<_> = text.lines().skip(1).collect();
        assert_eq!(
            lines,
            ["search a.example b.example", "nameserver 192.0.2.1", "nameserver ::1", "nameserver 192.0.2.2"]
        );
    }
}
