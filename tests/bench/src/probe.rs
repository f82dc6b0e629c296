//! What `run` starts: measures one part and prints its rows of the table. Progress goes to standard error.
//!
//! `probe PART OPTIONS`; see [`Options`]. Two parts are for the probe itself: `herd` and `history`.

mod docker;
mod figures;
mod files;
mod herd;
mod http;
mod lanes;
mod life;
mod load;
mod scan;
mod server;
mod tokens;

use std::{path::PathBuf, time::Duration};

/// The server's own, so that the library behaves as in the server and every crate beside it has the same.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What `run` says of how to measure.
pub struct Options {
    /// The program that is measured.
    pub server: PathBuf,
    /// The ceiling.
    pub ceiling: PathBuf,
    /// A Python that has psutil.
    pub python: PathBuf,
    /// `psutil_peer.py`.
    pub psutil_peer: PathBuf,
    /// `docker_peer.py`.
    pub docker_peer: PathBuf,
    /// The socket of an Engine that has `t/bb:1`.
    pub docker: Option<PathBuf>,
    /// For state, tokens and logs of the servers; on a disk.
    pub scratch: PathBuf,
    /// How often each figure is taken.
    pub rounds: usize,
    /// How long a round of saturating load takes.
    pub seconds: f64,
    /// How much of the long waits (idle, paced, after load) is really waited: less only to see that the bench works.
    pub patience: f64,
}

impl Options {
    fn parse(mut given: impl Iterator<Item = String>) -> Self {
        let mut options = Self {
            server: PathBuf::new(),
            ceiling: PathBuf::new(),
            python: "python3".into(),
            psutil_peer: "psutil_peer.py".into(),
            docker_peer: "docker_peer.py".into(),
            docker: None,
            scratch: std::env::temp_dir(),
            rounds: 3,
            seconds: 3.0,
            patience: 1.0,
        };
        while let Some(name) = given.next() {
            let value = given.next().unwrap_or_else(|| panic!("{name} needs a value"));
            match &*name {
                "--server" => options.server = value.into(),
                "--ceiling" => options.ceiling = value.into(),
                "--python" => options.python = value.into(),
                "--psutil-peer" => options.psutil_peer = value.into(),
                "--docker-peer" => options.docker_peer = value.into(),
                "--docker" => options.docker = Some(value.into()),
                "--scratch" => options.scratch = value.into(),
                "--rounds" => options.rounds = value.parse().expect("--rounds N"),
                "--seconds" => options.seconds = value.parse().expect("--seconds N"),
                "--patience" => options.patience = value.parse().expect("--patience SHARE"),
                other => panic!("there is no option {other}"),
            }
        }
        options
    }

    /// `seconds`, or less on a trial.
    pub fn wait(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64((seconds * self.patience).max(1.0))
    }
}

fn main() {
    raise_open_files();
    let mut arguments = std::env::args().skip(1);
    let part = arguments.next().expect("usage: probe PART OPTIONS");
    match &*part {
        "http" => http::saturated(&Options::parse(arguments)),
        "paced" => http::paced(&Options::parse(arguments)),
        "scan" => scan::run(&Options::parse(arguments)),
        "life" => life::run(&Options::parse(arguments)),
        "docker" => docker::run(&Options::parse(arguments)),
        "lanes" => lanes::run(&Options::parse(arguments)),
        "files" => files::run(&Options::parse(arguments)),
        "tokens" => tokens::run(&Options::parse(arguments)),
        "herd" => herd::hold(arguments.next().and_then(|count| count.parse().ok()).expect("probe herd COUNT")),
        "history" => life::history(),
        other => panic!("there is no part {other}"),
    }
}

fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
