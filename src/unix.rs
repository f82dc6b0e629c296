//! A Unix socket that this program listens at.

use std::{
    io,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FileType, Mode, Stat, fchmod},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with},
    process::geteuid,
};
use tokio::net::UnixListener;

/// Connections that the kernel accepts before they are taken.
const BACKLOG: i32 = 1024;

/// Who may come in by a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// This process's user, and root.
    User,
    /// These, and this process's group.
    Group,
}

impl Access {
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
    pub fn listen(path: &Path, access: Access) -> io::Result<(Self, UnixListener)> {
        clear(path)?;
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
        // what is bound has this mode from the beginning: nobody else may come in before the other is set
        fchmod(&socket, Access::User.mode())?;
        bind(&socket, &SocketAddrUnix::new(path)?)?;
        listen(&socket, BACKLOG)?;
        let listener = UnixListener::from_std(std::os::unix::net::UnixListener::from(socket))?;
        rustix::fs::chmod(path, access.mode())?;
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
