//! A hundred containers with what they use, and the end of a long log, next to `docker` and the Python SDK: over one Engine, in turn.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Instant,
};

use serde_json::{Value, json};

use crate::{
    Options,
    figures::{median, mib, ms, row, short, spread, verdict},
    scan::cpu_time,
    server::Server,
};

/// How many containers run.
const COUNT: usize = 100;

/// How many of them are started at the same time.
const ABREAST: usize = 4;

/// The image that `tests/engines` gives every engine.
const IMAGE: &str = "t/bb:1";

/// The container that has written much.
const WRITER: &str = "smcp-bench-writer";

/// What one question took.
struct Took {
    time: f64,
    /// On the processor, of whoever asks; what the Engine spends on it is the same work for all.
    cpu: f64,
}

/// Measures with the Engine that the options name.
pub fn run(options: &Options) {
    let Some(socket) = &options.docker else { panic!("the part docker needs --docker SOCKET") };
    let docker = Docker { socket: socket.clone() };
    let server = Server::asking(options, socket);
    let tools: Vec<String> = server.tools().iter().filter_map(|tool| Some(tool["name"].as_str()?.to_owned())).collect();
    let has = |name: &str| tools.iter().any(|tool| tool == name);
    let mut python = Python::start(options, socket);
    if has("containers") {
        stats(options, &docker, &server, &mut python);
    } else {
        eprintln!("docker: this program has no tool `containers`");
    }
    if has("container_logs") {
        log(options, &docker, &server, &mut python);
    } else {
        eprintln!("docker: this program has no tool `container_logs`");
    }
}

fn stats(options: &Options, docker: &Docker, server: &Server, python: &mut Python) {
    let _herd = Herd::start(docker);
    let [mut ours, mut cli, mut sdk] = [(); 3].map(|()| vec![]);
    for n in 0..=options.rounds {
        eprintln!("docker: round {n} of {}", options.rounds);
        let of_ours = asked(server, "containers", json!({ "stats": true, "limit": 200 }));
        let of_cli = docker.timed(&["stats", "--no-stream"]);
        let (of_sdk, count, _) = python.ask("stats");
        assert!(count >= COUNT, "the SDK saw {count}");
        // the first round fills caches and is not counted
        if n > 0 {
            ours.push(of_ours);
            cli.push(of_cli);
            sdk.push(of_sdk);
        }
    }
    let what = format!("{COUNT} containers with CPU and memory");
    let time = |took: &[Took]| took.iter().map(|took| took.time).collect::<Vec<_>>();
    let said = |took: &[Took]| {
        let cpu: Vec<f64> = took.iter().map(|took| took.cpu).collect();
        format!("{}, CPU {}", spread(&time(took), ms), ms(median(&cpu)))
    };
    let ratio = |theirs: &[Took]| {
        let ratios: Vec<f64> = time(theirs).iter().zip(time(&ours)).map(|(theirs, ours)| theirs / ours).collect();
        format!("{} times as long", spread(&ratios, short))
    };
    let met = median(&time(&ours)) < 2.0;
    row(&format!("{what}: the tool `containers`"), &said(&ours), "", "", &verdict("< 2 s", met));
    row(&format!("{what}: `docker stats --no-stream`, started anew"), "", &said(&cli), &ratio(&cli), "");
    row(&format!("{what}: Python SDK, {COUNT} threads"), "", &said(&sdk), &ratio(&sdk), "");
}

fn log(options: &Options, docker: &Docker, server: &Server, python: &mut Python) {
    let bytes = (options.patience * f64::from(1 << 30)) as u64;
    eprintln!("docker: a container writes {}", mib(bytes as f64));
    let _writer = Container { docker: docker.clone(), name: WRITER.to_owned() };
    let line = "2026-01-01T00:00:00Z INFO one more request from 192.0.2.1 for /index.html was answered";
    docker.said(&[
        "run",
        "--name",
        WRITER,
        "--network",
        "none",
        IMAGE,
        "sh",
        "-c",
        &format!("yes '{line}' | head -c {bytes} >/proc/self/fd/1"),
    ]);
    let (_, _, before_sdk) = python.ask(&format!("logs {WRITER}"));
    for (what, arguments) in [
        ("its last 100 lines", json!({ "name": WRITER, "tail": 100 })),
        ("a search through all of it that finds nothing", json!({ "name": WRITER, "grep": "is not in it" })),
    ] {
        let tail = arguments.get("tail").is_some();
        let [mut ours, mut peak, mut cli, mut sdk] = [(); 4].map(|()| vec![]);
        for _ in 0..options.rounds {
            server.forget_peak();
            ours.push(asked(server, "container_logs", arguments.clone()).time);
            peak.push(server.memory("VmHWM"));
            if tail {
                cli.push(docker.timed(&["logs", "--tail", "100", WRITER]).time);
                sdk.push(python.ask(&format!("logs {WRITER}")).0.time);
            }
        }
        let what = format!("a log of {}: {what}", mib(bytes as f64));
        let target = if tail { verdict("< 2 s", median(&ours) < 2.0) } else { String::new() };
        let beside = if tail {
            format!("`docker logs` {}, SDK {} and {}", spread(&cli, ms), spread(&sdk, ms), mib(before_sdk))
        } else {
            String::new()
        };
        let said = format!("{}, resident at most {}", spread(&ours, ms), spread(&peak, mib));
        row(&what, &said, &beside, "", &target);
    }
}

/// Asks a tool of ours, which must answer.
fn asked(server: &Server, tool: &str, arguments: Value) -> Took {
    let (began, busy) = (Instant::now(), server.cpu_time());
    let result = server.call(tool, arguments).unwrap_or_else(|why| panic!("{tool}: {why}"));
    let took = Took { time: began.elapsed().as_secs_f64(), cpu: (server.cpu_time() - busy).as_secs_f64() };
    if tool == "containers" {
        let seen = result["structuredContent"]["matching"].as_u64().unwrap_or_default();
        assert!(seen >= COUNT as u64, "{tool} saw {seen}");
    }
    took
}

/// The `docker` command line.
#[derive(Clone)]
struct Docker {
    socket: PathBuf,
}

impl Docker {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("--host").arg(format!("unix://{}", self.socket.display())).args(words).stdout(Stdio::null());
        command
    }

    fn said(&self, words: &[&str]) {
        let status = self.command(words).status().expect("docker");
        assert!(status.success(), "docker {words:?}: {status}");
    }

    fn timed(&self, words: &[&str]) -> Took {
        let (began, busy) = (Instant::now(), cpu_time(libc::RUSAGE_CHILDREN));
        self.said(words);
        let cpu = cpu_time(libc::RUSAGE_CHILDREN).saturating_sub(busy);
        Took { time: began.elapsed().as_secs_f64(), cpu: cpu.as_secs_f64() }
    }
}

/// Containers that sleep, removed when dropped.
struct Herd(#[expect(dead_code, reason = "held to be dropped")] Vec<Container>);

impl Herd {
    fn start(docker: &Docker) -> Self {
        eprintln!("docker: {COUNT} containers are started");
        let containers: Vec<_> =
            (0..COUNT).map(|n| Container { docker: docker.clone(), name: format!("smcp-bench-{n}") }).collect();
        std::thread::scope(|scope| {
            for part in containers.chunks(COUNT.div_ceil(ABREAST)) {
                scope.spawn(move || {
                    for Container { docker, name } in part {
                        docker.said(&[
                            "run",
                            "--detach",
                            "--network",
                            "none",
                            "--name",
                            name,
                            IMAGE,
                            "sleep",
                            "100000",
                        ]);
                    }
                });
            }
        });
        Self(containers)
    }
}

struct Container {
    docker: Docker,
    name: String,
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.docker.command(&["rm", "--force", "--volumes", &self.name]).stderr(Stdio::null()).status();
    }
}

/// A Python with the SDK loaded.
struct Python {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Python {
    fn start(options: &Options, socket: &Path) -> Self {
        let mut child = Command::new(&options.python)
            .arg(&options.docker_peer)
            .arg(socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python");
        let ask = child.stdin.take().expect("its input");
        let answers = BufReader::new(child.stdout.take().expect("its output"));
        Self { child, ask, answers }
    }

    /// How long it took, how many there were, and the most that was ever resident.
    fn ask(&mut self, what: &str) -> (Took, usize, f64) {
        writeln!(self.ask, "{what}").expect("the SDK");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the SDK");
        let figures: Vec<f64> = line.split_whitespace().filter_map(|figure| figure.parse().ok()).collect();
        let &[time, cpu, count, resident] = &figures[..] else { panic!("the SDK said {line:?}") };
        (Took { time, cpu }, count as usize, resident)
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
