//! A Unix socket that this program listens at.

use std::{
    io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FileType, Mode, Stat},
    io::Errno,
    process::{geteuid, umask},
};
use tokio::net::UnixListener;

/// Who may come in by a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// This process's user, and root.
    User,
    /// These, and this process's group.
    Group,
}

impl For {
    fn mode(self) -> Mode {
        Mode::from_raw_mode(match self {
            Self::User => 0o600,
            Self::Group => 0o660,
        })
    }
}

/// A socket's name, taken away again when dropped, if it is still ours.
#[derive(Debug)]
pub struct Bound {
    path: PathBuf,
    own: (u64, u64),
}

impl Bound {
    /// Listens at `path`. What is there already is replaced only if it is a socket that this user has left behind and nobody listens at.
    pub fn listen(path: &Path, whom: For) -> io::Result<(Self, UnixListener)> {
        clear(path)?;
        // nobody else may come in before the mode is set
        let mask = umask(Mode::from_raw_mode(0o777) - whom.mode());
        let bound = UnixListener::bind(path);
        umask(mask);
        let listener = bound?;
        rustix::fs::chmod(path, whom.mode())?;
        let own = identity(&rustix::fs::lstat(path)?);
        Ok((Self { path: path.to_owned(), own }, listener))
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if rustix::fs::lstat(&self.path).is_ok_and(|now| identity(&now) == self.own) {
            let _ = rustix::fs::unlink(&self.path);
        }
    }
}

fn identity(of: &Stat) -> (u64, u64) {
    (of.st_dev, of.st_ino)
}

/// Makes room at `path`, if what is there may go.
fn clear(path: &Path) -> io::Result<()> {
    let there = match rustix::fs::lstat(path) {
        Ok(there) => there,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let taken = |why: &str| Err(io::Error::new(io::ErrorKind::AddrInUse, why));
    if FileType::from_raw_mode(there.st_mode) != FileType::Socket {
        return taken("what is there is no socket");
    }
    match UnixStream::connect(path) {
        Ok(_) => taken("somebody listens there"),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::CONNREFUSED) => {
            if there.st_uid != geteuid().as_raw() {
                return taken("the socket that is there belongs to somebody else");
            }
            Ok(rustix::fs::unlink(path)?)
        }
        Err(error) => Err(error),
    }
}
