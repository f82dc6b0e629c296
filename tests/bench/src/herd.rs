//! Two thousand processes that sleep.

use std::{
    io::{Read, Write},
    process::{Child, Command, Stdio},
};

/// A herd, ended when dropped.
pub struct Herd(Child);

impl Herd {
    /// Starts `count` sleeping processes.
    pub fn start(count: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("our own path"))
            .args(["herd", &count.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the herd");
        let mut ready = [0];
        child.stdout.as_mut().expect("its output").read_exact(&mut ready).expect("the whole herd");
        Self(child)
    }
}

impl Drop for Herd {
    fn drop(&mut self) {
        // the end of its input is the end of the herd
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Holds the herd until standard input ends. Its members end with it, however it ends.
pub fn hold(count: usize) {
    let shepherd = std::process::id();
    let mut members = vec![];
    for _ in 0..count {
        // SAFETY: nothing else runs in this process, and the child calls only what a signal handler may
        match unsafe { libc::fork() } {
            -1 => panic!("fork: {}", std::io::Error::last_os_error()),
            0 => sleep(shepherd),
            member => members.push(member),
        }
    }
    let mut out = std::io::stdout();
    out.write_all(b"!").and_then(|()| out.flush()).expect("somebody who waits");
    let _ = std::io::stdin().read_to_end(&mut vec![]);
    for member in &members {
        // SAFETY: a child of ours that was not waited for, so the number is still its own
        unsafe { libc::kill(*member, libc::SIGKILL) };
    }
    for member in members {
        // SAFETY: a null status is allowed
        unsafe { libc::waitpid(member, std::ptr::null_mut(), 0) };
    }
}

fn sleep(shepherd: u32) -> ! {
    // SAFETY: system calls on nothing but numbers
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // it may have ended before that
        if libc::getppid().cast_unsigned() != shepherd {
            libc::_exit(0);
        }
        loop {
            libc::pause();
        }
    }
}
