//! What systemd hands to the server and hears of it, with the test in systemd's place. The units themselves are held by tests/package.

use std::{
    net::TcpListener,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::{fs::PermissionsExt, net::UnixDatagram},
    },
    process::{Command, Stdio},
};

use rustix::{
    io::FdFlags,
    process::{Pid, Signal},
};

use crate::common::{Key, PATIENCE, Program, Scratch, Server, Setup, token_file, words};

/// Where the server says how it is.
struct Ear(UnixDatagram);

impl Ear {
    fn at(scratch: &Scratch) -> (Self, (&'static str, String)) {
        let path = scratch.path("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        (Self(socket), ("NOTIFY_SOCKET", path.display().to_string()))
    }

    fn hears(&self) -> String {
        let mut buffer = [0; 4096];
        let length = self.0.recv(&mut buffer).expect("it says something");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }
}

#[test]
fn the_service_says_when_it_is_ready_reloads_and_ends() {
    let scratch = Scratch::new();
    let (ear, place) = Ear::at(&scratch);
    let mut server = Setup { scratch, environment: vec![place], ..Setup::default() }.start();
    let ready = ear.hears();
    assert!(ready.starts_with("READY=1\nSTATUS=serves http on 127.0.0.1:"), "{ready}");

    server.reload();
    let reloading = ear.hears();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(ear.hears(), ready);

    server.scratch.write("config.ron", "(lisen: [])");
    server.reload();
    assert!(ear.hears().starts_with("RELOADING=1\n"));
    let failed = ear.hears();
    assert!(failed.starts_with("READY=1\n") && failed.contains("the last reload is incomplete"), "{failed}");

    server.signal(Signal::TERM);
    assert_eq!(ear.hears().trim_end(), "STOPPING=1");
    assert!(server.wait().success());
}

#[test]
fn it_says_that_it_lives_for_as_long_as_it_does() {
    let scratch = Scratch::new();
    let (ear, place) = Ear::at(&scratch);
    let server =
        Setup { scratch, environment: vec![place, ("WATCHDOG_USEC", "50000".into())], ..Setup::default() }.start();
    let mut beats = 0;
    while beats < 5 {
        beats += usize::from(ear.hears().trim_end() == "WATCHDOG=1");
    }
    server.answers();
}

#[test]
fn docker_guard_says_so_too_and_stays_when_others_read_anew() {
    let scratch = Scratch::new();
    let (ear, place) = Ear::at(&scratch);
    let mut command = Program::get().command((1024, None));
    command.args(["docker-guard", "--docker", "/nothing", "--listen"]).arg(scratch.path("guard.sock"));
    let mut guard = command.envs([place, ("WATCHDOG_USEC", "50000".into())]).stderr(Stdio::null()).spawn().unwrap();
    let mut said = vec![];
    while !said.iter().any(|words: &String| words.starts_with("READY=1\nSTATUS=lets through"))
        || !said.iter().any(|words| words.trim_end() == "WATCHDOG=1")
    {
        said.push(ear.hears());
    }
    let pid = Pid::from_child(&guard);
    // it goes to whole groups of processes: what it ends is what others speak through just now
    rustix::process::kill_process(pid, Signal::HUP).unwrap();
    for _ in 0..3 {
        ear.hears();
    }
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    while ear.hears().trim_end() != "STOPPING=1" {}
    assert!(guard.wait().unwrap().success());
}

/// Starts the server with a socket that is open already, at another address than its configuration says if `other`.
fn with_socket(listen: &str, other: bool) -> (Command, Scratch, Key, OwnedFd) {
    let (scratch, key) = (Scratch::new(), Key::new("agent"));
    let socket = TcpListener::bind(listen).unwrap();
    let address = if other { "127.0.0.1:0".to_owned() } else { socket.local_addr().unwrap().to_string() };
    let directory = scratch.0.display();
    let config = format!(
        "(listen: [{address:?}], state_directory: \"{directory}/state\", token_file: \"{directory}/tokens.ron\")"
    );
    let config = scratch.write("config.ron", config);
    scratch.write("tokens.ron", token_file(&[&key]));
    let socket = OwnedFd::from(socket);
    rustix::io::fcntl_setfd(&socket, FdFlags::empty()).unwrap();
    let program = Program::get();
    let mut server = program.command((1024, None));
    server.arg("serve").arg("--config").arg(config);
    let mut command = Command::new("bash");
    command.args(["-c", "export LISTEN_PID=$$ LISTEN_FDS=1; from=$1; shift; exec \"$@\" 3<&\"$from\"", "bash"]);
    command.arg(socket.as_raw_fd().to_string()).args(words(&server));
    (command, scratch, key, socket)
}

#[test]
fn a_socket_that_is_open_already_is_served() {
    let (command, scratch, key, socket) = with_socket("127.0.0.1:0", false);
    let server = Server::start(command, scratch, vec![key], Program::get());
    assert_eq!(server.address, rustix::net::getsockname(&socket).unwrap().try_into().unwrap());
    server.answers();
}

#[test]
fn a_socket_that_the_configuration_does_not_name_is_served_to_nobody() {
    let (mut command, _scratch, _key, socket) = with_socket("127.0.0.1:0", true);
    let said = command.output().unwrap();
    let why = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(
        !said.status.success() && why.contains("ListenStream= and `listen` (or `listeners`) have to say the same"),
        "{why}"
    );
    drop(socket);
}
