//! What no tree of files can answer.

use std::{
    fmt, io,
    time::{Duration, SystemTime},
};

use rustix::time::{ClockId, clock_gettime};

use kernel::{
    failure::Failure,
    netlink,
    proc::rtnetlink::{self, Address},
    root::Root,
};

/// The system calls that figures come from. A recorded machine answers them from its `machine.ron`.
pub trait Kernel: fmt::Debug + Send + Sync {
    /// The time of day.
    fn wall(&self) -> SystemTime;
    /// The time since boot, sleep included, when a sample is taken.
    fn since_boot(&self, root: &Root) -> Duration;
    /// Bytes in a page of memory.
    fn page_size(&self) -> u64;
    /// Clock ticks a second, the unit of CPU times in `/proc`.
    fn ticks_per_second(&self) -> u64;
    /// The machine's hardware name, as `uname -m` says it.
    fn architecture(&self) -> String;
    /// The figures of the filesystem at a mount point.
    fn statfs(&self, root: &Root, mount_point: &[u8]) -> io::Result<Statfs>;
    /// How many files a process has open.
    fn open_files(&self, root: &Root, pid: u32) -> Result<u64, Failure>;
    /// The addresses of the interfaces, of both families. `None`: the machine's are in another network namespace than ours.
    fn addresses(&self, root: &Root) -> io::Result<Option<Vec<Address>>>;
}

/// What statvfs(3) says of a filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statfs {
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes free, those kept for root included.
    pub bytes_free: u64,
    /// Bytes that a program without privileges may still write.
    pub bytes_available: u64,
    /// Inodes in all; 0 where the filesystem makes them as needed.
    pub inodes: u64,
    /// Inodes free.
    pub inodes_free: u64,
    /// `st_dev` of the mount point, major and minor: another than the mount table's is another filesystem's, which lies there in this
    /// view of the tree. `None` on a recorded machine.
    pub device: Option<(u32, u32)>,
    /// The magic number of the type of what lies there. `None` on a recorded machine.
    pub magic: Option<u64>,
}

/// The kernel this program runs on.
#[derive(Clone, Copy, Debug)]
pub struct Live;

impl Kernel for Live {
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }

    fn since_boot(&self, _: &Root) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    fn page_size(&self) -> u64 {
        rustix::param::page_size() as u64
    }

    fn ticks_per_second(&self) -> u64 {
        rustix::param::clock_ticks_per_second()
    }

    fn architecture(&self) -> String {
        rustix::system::uname().machine().to_string_lossy().into_owned()
    }

    fn statfs(&self, root: &Root, mount_point: &[u8]) -> io::Result<Statfs> {
        let (stat, device, magic) = root.statvfs(mount_point)?;
        Ok(Statfs {
            bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            bytes_free: stat.f_bfree.saturating_mul(stat.f_frsize),
            bytes_available: stat.f_bavail.saturating_mul(stat.f_frsize),
            inodes: stat.f_files,
            inodes_free: stat.f_ffree,
            device: Some((rustix::fs::major(device), rustix::fs::minor(device))),
            magic: Some(magic),
        })
    }

    fn open_files(&self, root: &Root, pid: u32) -> Result<u64, Failure> {
        let mut count = 0;
        root.directory(&format!("proc/{pid}/fd"))?.each(|_| count += 1)?;
        Ok(count)
    }

    fn addresses(&self, root: &Root) -> io::Result<Option<Vec<Address>>> {
        if !root.is_live() {
            return Ok(None);
        }
        netlink::Socket::open(None)?.list(rtnetlink::request, rtnetlink::parse).map(Some)
    }
}
