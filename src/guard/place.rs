//! Where the guard listens: a Unix socket of its own, for its user and its group.

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

/// A socket, taken away again when dropped, if it is still ours.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    own: (u64, u64),
}

impl Place {
    /// Listens at `path`, for user and group (mode 0660). What is there already is replaced only if it is a socket that this user has left
    /// behind and nobody listens at.
    pub fn listen(path: &Path) -> io::Result<(Self, UnixListener)> {
        clear(path)?;
        // nobody else may come in before the mode is set
        let mask = umask(Mode::from_raw_mode(0o117));
        let bound = UnixListener::bind(path);
        umask(mask);
        let listener = bound?;
        rustix::fs::chmod(path, Mode::from_raw_mode(0o660))?;
        let own = identity(&rustix::fs::lstat(path)?);
        Ok((Self { path: path.to_owned(), own }, listener))
    }
}

impl Drop for Place {
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
