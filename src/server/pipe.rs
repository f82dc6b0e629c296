//! One client at the other end of a pipe, a message a line. rmcp's own transport keeps answers that nobody reads without bound, and leaves lines
//! that are no message without an answer.

use std::{
    collections::HashMap,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rmcp::{
    RoleServer,
    model::{
        ClientJsonRpcMessage, ClientNotification, ClientRequest, GetExtensions, JsonRpcRequest, RequestId,
        ServerJsonRpcMessage,
    },
    service::{RxJsonRpcMessage, TxJsonRpcMessage},
    transport::Transport,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    sync::{Mutex, Notify},
};

/// The longest line that is read, in bytes.
const LONGEST: usize = 4 << 20;

/// Bytes that requests and answers may hold before nothing more is read.
const MOST_HELD: usize = 8 << 20;

/// Requests that may be answered at the same time before nothing more is read. An answer that is not written down yet takes up to a megabyte.
const MOST_REQUESTS: usize = 32;

/// The most values of JSON in one message: each takes many times the memory of its text.
const MOST_VALUES: usize = 1 << 16;

/// What a line that waits to be written takes in memory, in bytes, besides its text: the task that writes it.
const LINE: usize = 1 << 10;

/// The two ends of a session.
pub struct Pipe<R, W> {
    read: BufReader<R>,
    write: Arc<Mutex<Option<W>>>,
    line: Vec<u8>,
    /// The rest of a line that is too long is dropped.
    skips: bool,
    /// A request has come that made the session what it is.
    begun: bool,
    load: Arc<Load>,
    /// What those requests hold whose answers are not written down yet.
    open: HashMap<RequestId, Arc<Part>>,
}

/// What the requests that are being answered, and the answers that are not taken, hold.
#[derive(Debug, Default)]
struct Load {
    bytes: AtomicUsize,
    requests: AtomicUsize,
    less: Notify,
}

/// A part of it, given back when dropped.
#[derive(Debug)]
struct Part {
    load: Arc<Load>,
    bytes: usize,
    requests: usize,
}

impl Load {
    fn add(self: &Arc<Self>, bytes: usize, requests: usize) -> Part {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.requests.fetch_add(requests, Ordering::Relaxed);
        Part { load: Arc::clone(self), bytes, requests }
    }

    fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= MOST_HELD || self.requests.load(Ordering::Relaxed) >= MOST_REQUESTS
    }

    /// Waits until there is room for one more request.
    async fn room(&self) {
        loop {
            let less = self.less.notified();
            if !self.is_full() {
                return;
            }
            less.await;
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.load.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.load.requests.fetch_sub(self.requests, Ordering::Relaxed);
        // there is one who waits, or will look before it does
        self.load.less.notify_one();
    }
}

impl<R, W> Pipe<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    /// Reads messages here and writes answers there.
    pub fn new(read: R, write: W) -> Self {
        Self {
            read: BufReader::new(read),
            write: Arc::new(Mutex::new(Some(write))),
            line: vec![],
            skips: false,
            begun: false,
            load: Arc::default(),
            open: HashMap::new(),
        }
    }

    /// The next line into `line`; `false` if it is too long. `None` at the end. Nothing is lost if it is given up in the middle.
    async fn read_line(&mut self) -> Option<bool> {
        loop {
            let there = match self.read.fill_buf().await {
                Ok([]) => return None,
                Ok(there) => there,
                Err(error) => {
                    tracing::error!(%error, "standard input cannot be read");
                    return None;
                }
            };
            let end = there.iter().position(|byte| *byte == b'\n');
            let take = end.map_or(there.len(), |end| end + 1);
            if !self.skips && self.line.len() + take <= LONGEST {
                self.line.extend_from_slice(&there[..take]);
            } else {
                (self.skips, self.line) = (true, vec![]);
            }
            self.read.consume(take);
            if end.is_some() {
                return Some(!std::mem::take(&mut self.skips));
            }
        }
    }

    fn write(&self, mut line: Vec<u8>) -> impl Future<Output = io::Result<()>> + Send + 'static {
        line.push(b'\n');
        let (write, part) = (Arc::clone(&self.write), self.load.add(line.len() + LINE, 0));
        async move {
            let _part = part;
            let mut write = write.lock().await;
            let write = write.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            write.write_all(&line).await?;
            write.flush().await
        }
    }

    /// Says that a line is no message; it may be one whose id is known.
    fn refuse(&self, id: &Value, code: i32, message: &str) {
        let error = json!({ "jsonrpc": "2.0", "id": id, "error": { "code": code, "message": message } });
        // who does not read it does not read the next answer either
        tokio::spawn(self.write(error.to_string().into_bytes()));
    }

    /// Counts a request until it has its answer, unless it would make the session another one or have the id of one that has none yet.
    fn admit(&mut self, request: &mut JsonRpcRequest<ClientRequest>, bytes: usize) -> Result<(), Refused> {
        let refused = |why: &str| {
            let id = serde_json::to_value(&request.id).unwrap_or_default();
            Err((id, -32600, format!("Invalid Request: {why}")))
        };
        if self.begun && matches!(request.request, ClientRequest::InitializeRequest(_)) {
            return refused("this session has begun; start another process for another one");
        }
        if self.open.contains_key(&request.id) {
            return refused("a request with this id is still being answered");
        }
        self.begun |= !matches!(request.request, ClientRequest::DiscoverRequest(_) | ClientRequest::PingRequest(_));
        let part = Arc::new(self.load.add(bytes, 1));
        self.open.insert(request.id.clone(), Arc::clone(&part));
        request.request.extensions_mut().insert(part);
        Ok(())
    }

    /// The message in a line, or why it is refused. `Ok(None)`: nothing is to be said of it.
    fn message(&mut self, line: &[u8]) -> Result<Option<RxJsonRpcMessage<RoleServer>>, Refused> {
        let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line).trim_ascii();
        if line.is_empty() {
            return Ok(None);
        }
        let values = text::json::check(line).map_err(|_| (Value::Null, -32700, "Parse error".to_owned()))?;
        if values > MOST_VALUES {
            let why = format!("Invalid Request: the message has more than {MOST_VALUES} values");
            return Err((Value::Null, -32600, why));
        }
        let Ok(mut message) = serde_json::from_slice::<ClientJsonRpcMessage>(line) else {
            return match Unread::of(line) {
                Unread::Request(id) => Err((id, -32600, "Invalid Request".to_owned())),
                // what is no request is never answered
                Unread::Other => Ok(None),
            };
        };
        match &mut message {
            ClientJsonRpcMessage::Request(request) => self.admit(request, line.len() + values * text::json::VALUE)?,
            ClientJsonRpcMessage::Notification(notification) => {
                // it gets no answer; until its work has ended, the request itself holds its part
                if let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                    && let Some(id) = &cancelled.params.request_id
                {
                    self.open.remove(id);
                }
            }
            ClientJsonRpcMessage::Response(_) | ClientJsonRpcMessage::Error(_) => (),
        }
        Ok(Some(message))
    }
}

/// Why a line is refused: the id of its answer, the code and the words.
type Refused = (Value, i32, String);

/// What a line is that is JSON and no message of this protocol.
enum Unread {
    /// It wants an answer, with this id if it has one that an answer can carry.
    Request(Value),
    /// A notification that is not known, or an answer to what nobody asked.
    Other,
}

impl Unread {
    fn of(line: &[u8]) -> Self {
        let value: Value = serde_json::from_slice(line).unwrap_or_default();
        let has = |name: &str| value.get(name).is_some();
        if !has("id") && has("method") || !has("method") && (has("result") || has("error")) {
            return Self::Other;
        }
        let id = value.get("id").filter(|id| id.is_string() || id.is_i64() || id.is_u64());
        Self::Request(id.cloned().unwrap_or_default())
    }
}

impl<R, W> Transport<RoleServer> for Pipe<R, W>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = io::Error;

    fn send(&mut self, message: TxJsonRpcMessage<RoleServer>) -> impl Future<Output = io::Result<()>> + Send + 'static {
        match &message {
            ServerJsonRpcMessage::Response(answer) => drop(self.open.remove(&answer.id)),
            ServerJsonRpcMessage::Error(error) => drop(error.id.as_ref().and_then(|id| self.open.remove(id))),
            ServerJsonRpcMessage::Request(_) | ServerJsonRpcMessage::Notification(_) => (),
        }
        // written down at once: the message itself takes several times the memory
        let written = serde_json::to_vec::<ServerJsonRpcMessage>(&message).map(|line| self.write(line));
        async move {
            match written {
                Ok(written) => written.await,
                Err(error) => Err(error.into()),
            }
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        loop {
            self.load.room().await;
            let is_whole = self.read_line().await?;
            let line = std::mem::take(&mut self.line);
            if !is_whole {
                let why = format!("Invalid Request: the line is longer than {LONGEST} bytes");
                self.refuse(&Value::Null, -32600, &why);
                continue;
            }
            match self.message(&line) {
                Ok(Some(message)) => return Some(message),
                Ok(None) => (),
                Err((id, code, words)) => self.refuse(&id, code, &words),
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        drop(self.write.lock().await.take());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn refused_lines_whose_answers_nobody_reads_count_with_their_tasks() {
        let (_unread, write) = tokio::io::duplex(64);
        let pipe = Pipe::new(tokio::io::empty(), write);
        let mut refused = 0;
        while !pipe.load.is_full() {
            pipe.refuse(&Value::Null, -32700, "Parse error");
            refused += 1;
        }
        assert!(refused <= MOST_HELD / LINE, "{refused}");
    }
}
