//! A registry of a few lines, in the network that the engine is in: as good, as slow or as bad as a test wants it.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::json;

use super::Engine;

/// How it gives a layer.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Manner {
    Well,
    /// A bit every now and then.
    Slowly,
    /// Not at all, though it has it on its list.
    NoMore,
    /// With other bytes than those it was asked for.
    Falsely,
    /// Half of it, and then nothing more.
    Hanging,
    /// Half of it, and then it is dead.
    Dying,
    /// It hangs up, whatever is asked.
    Dead,
}

/// One that listens until the tests end.
pub(crate) struct Registry {
    /// As it stands in a reference: `127.0.0.1:PORT`.
    pub(crate) address: String,
    shelf: Arc<Mutex<Shelf>>,
}

struct Shelf {
    manner: Manner,
    /// Manifests by repository and tag or digest.
    manifests: BTreeMap<String, Vec<u8>>,
    blobs: BTreeMap<String, Vec<u8>>,
    /// Whole answers by path, each sent as it is.
    answers: BTreeMap<String, String>,
    /// Method and path of what was asked.
    asked: Vec<String>,
}

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

impl Registry {
    pub(crate) fn beside(engine: &Engine) -> Self {
        let shelf = Arc::new(Mutex::new(Shelf {
            manner: Manner::Well,
            manifests: BTreeMap::new(),
            blobs: BTreeMap::new(),
            answers: BTreeMap::new(),
            asked: vec![],
        }));
        let listener = listen_beside(engine);
        let address = listener.local_addr().unwrap().to_string();
        let theirs = Arc::clone(&shelf);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shelf = Arc::clone(&theirs);
                thread::spawn(move || serve(stream, &shelf));
            }
        });
        Self { address, shelf }
    }

    pub(crate) fn set(&self, manner: Manner) {
        self.shelf.lock().unwrap().manner = manner;
    }

    /// What it answers for this path: a status with its words, more fields of the head (each with its end of line), and a body.
    pub(crate) fn say(&self, path: &str, status: &str, fields: &str, body: &str) {
        let answer = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\n{fields}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.shelf.lock().unwrap().answers.insert(path.to_owned(), answer);
    }

    /// Method and path of what was asked so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shelf.lock().unwrap().asked.clone()
    }

    /// Puts any file there.
    pub(crate) fn put_file(&self, path: &str, content: &[u8]) {
        self.shelf.lock().unwrap().blobs.insert(path.to_owned(), content.to_vec());
    }

    /// Puts an image there whose one file has this content; gives its digest.
    pub(crate) fn put(&self, repository: &str, tag: &str, content: &[u8]) -> String {
        let layer = tar("content", content);
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux",
            "config": { "Cmd": ["/content"] },
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        });
        let config = config.to_string().into_bytes();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": { "mediaType": "application/vnd.docker.container.image.v1+json", "size": config.len(), "digest": digest(&config) },
            "layers": [{ "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": layer.len(), "digest": digest(&layer) }],
        });
        let manifest = manifest.to_string().into_bytes();
        let named = digest(&manifest);
        let mut shelf = self.shelf.lock().unwrap();
        for name in [tag, &named] {
            shelf.manifests.insert(format!("/v2/{repository}/manifests/{name}"), manifest.clone());
        }
        shelf.blobs.insert(format!("/v2/{repository}/blobs/{}", digest(&config)), config);
        shelf.blobs.insert(format!("/v2/{repository}/blobs/{}", digest(&layer)), layer);
        named
    }
}

/// A port in the network namespace of whoever listens at the engine's socket.
fn listen_beside(engine: &Engine) -> TcpListener {
    let peer = UnixStream::connect(&engine.socket).unwrap();
    let pid = rustix::net::sockopt::socket_peercred(&peer).unwrap().pid;
    let theirs = std::fs::File::open(format!("/proc/{}/ns/net", pid.as_raw_nonzero())).unwrap();
    // only this thread goes there; the socket stays there with it
    let go = move || {
        let kind = Some(rustix::thread::LinkNameSpaceType::Network);
        rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&theirs), kind).unwrap();
        TcpListener::bind("127.0.0.1:0").unwrap()
    };
    thread::spawn(go).join().unwrap()
}

fn serve(stream: TcpStream, shelf: &Mutex<Shelf>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    // containerd begins with TLS, and takes the words of a server that speaks none for that
    if reader.fill_buf().is_ok_and(|bytes| bytes.first() == Some(&0x16)) {
        let _ = writer.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
        return;
    }
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header).unwrap_or(0) == 0 {
                return;
            }
            if header.trim().is_empty() {
                break;
            }
        }
        let (found, kind, manner) = {
            let mut shelf = shelf.lock().unwrap();
            shelf.asked.push(format!("{method} {path}"));
            if let Some(answer) = shelf.answers.get(&path) {
                // a client that asks for the head alone would take the body for the next answer
                let end = if method == "HEAD" { answer.find("\r\n\r\n").map(|at| at + 4) } else { None };
                if writer.write_all(&answer.as_bytes()[..end.unwrap_or(answer.len())]).is_err() {
                    return;
                }
                continue;
            }
            let manifest = shelf.manifests.get(&path).map(|manifest| (manifest.clone(), MANIFEST));
            let blob = shelf.blobs.get(&path).map(|blob| (blob.clone(), "application/octet-stream"));
            let ping = (path == "/v2/").then(|| (b"{}".to_vec(), "application/json"));
            let (found, kind) = manifest.or(blob).or(ping).map_or((None, ""), |(found, kind)| (Some(found), kind));
            (found, kind, shelf.manner)
        };
        if manner == Manner::Dead {
            return;
        }
        let found = found.filter(|blob| manner != Manner::NoMore || !is_layer(&path, blob));
        let Some(mut body) = found else {
            let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"there is none"}]}"#;
            let said = format!(
                "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            if writer.write_all(said.as_bytes()).is_err() {
                return;
            }
            continue;
        };
        let is_layer = is_layer(&path, &body);
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nDocker-Content-Digest: {}\r\n\r\n",
            body.len(),
            digest(&body)
        );
        if writer.write_all(head.as_bytes()).is_err() {
            return;
        }
        if method == "HEAD" {
            continue;
        }
        if is_layer && manner == Manner::Falsely {
            body.reverse();
        }
        let sent = match manner {
            // longer than any answer takes that is only looked up
            Manner::Slowly if is_layer => body.chunks(body.len() / 20 + 1).try_for_each(|chunk| {
                thread::sleep(Duration::from_millis(700));
                writer.write_all(chunk)
            }),
            Manner::Hanging | Manner::Dying if is_layer => {
                let _ = writer.write_all(&body[..body.len() / 2]);
                if manner == Manner::Dying {
                    shelf.lock().unwrap().manner = Manner::Dead;
                } else {
                    // until whoever asked hangs up
                    let _ = reader.read_line(&mut String::new());
                }
                return;
            }
            _ => writer.write_all(&body),
        };
        if sent.is_err() {
            return;
        }
    }
}

fn is_layer(path: &str, body: &[u8]) -> bool {
    body.len() >= 1024 && path.contains("/blobs/")
}

/// An archive of one file.
fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = [0_u8; 512];
    let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000755");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{:011o}", content.len()));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\0");
    put(263, "00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut archive = [&header[..], content].concat();
    archive.resize(archive.len().div_ceil(512) * 512 + 1024, 0);
    archive
}

fn digest(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let digits: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}
