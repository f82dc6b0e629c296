//! The answer, as it comes from the Engine: its status, a few fields that clients go by, and its body piece by piece.

use std::{
    error::Error,
    io,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::body::Body as _;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::{OwnedReadHalf, OwnedWriteHalf},
    time::timeout,
};

use super::{Call, Refusal};
use engine::presence::GUARD;

/// How long the other side may leave an answer unread.
const READ_WITHIN: Duration = Duration::from_mins(1);

/// How long the body of an answer may take; and that of one which goes on while things happen.
const WHOLE_WITHIN: Duration = Duration::from_mins(10);
const STREAMS_FOR: Duration = Duration::from_hours(1);

/// How long is waited for the other side to close, and how much is read meanwhile.
const LINGER: Duration = Duration::from_secs(1);
const LEFT: u64 = 4 << 20;

/// What clients go by. None of these is about the connection.
const PASSED: &[&str] =
    &["content-type", "api-version", "ostype", "docker-experimental", "builder-version", "swarm", "libpod-api-version"];

/// The body of an answer, as it is passed on.
pub(super) type Body = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// This body.
pub(super) fn body<B>(body: B) -> Body
where
    B: hyper::body::Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    body.map_err(Into::into).boxed_unsync()
}

/// A refusal, whole.
pub(super) fn refusal(refusal: &Refusal) -> Vec<u8> {
    let body = serde_json::json!({ "message": refusal.why }).to_string();
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::FORBIDDEN);
    let mut answer = begin(status, &HeaderMap::new());
    answer.extend(format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len()).bytes());
    answer
}

fn begin(status: StatusCode, fields: &HeaderMap) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or("Unknown");
    let mut head =
        format!("HTTP/1.1 {} {reason}\r\nServer: {GUARD}\r\nConnection: close\r\n", status.as_u16()).into_bytes();
    for name in PASSED {
        if let Some(value) = fields.get(*name) {
            head.extend(format!("{name}: ").bytes());
            head.extend(value.as_bytes());
            head.extend(b"\r\n");
        }
    }
    head
}

/// The way back to the caller.
pub(super) struct Writer(OwnedWriteHalf);

impl Writer {
    pub(super) fn new(half: OwnedWriteHalf) -> Self {
        Self(half)
    }

    /// Writes all of it, to somebody who reads.
    pub(super) async fn all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match timeout(READ_WITHIN, self.0.write_all(bytes)).await {
            Ok(written) => written,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Passes an answer on. It ends early if the Engine breaks off, if nobody reads it, or if it takes too long: then its last piece is
    /// missing, and whoever reads it knows.
    pub(super) async fn answer(&mut self, answer: Response<Body>, call: &Call) {
        let until = Instant::now() + if call.row.streams { STREAMS_FOR } else { WHOLE_WITHIN };
        let (parts, body) = answer.into_parts();
        let passing = self.pass(parts.status, &parts.headers, body, call.row.method == "HEAD");
        match tokio::time::timeout_at(until.into(), passing).await {
            Ok(Ok(())) => (),
            Ok(Err(error)) => tracing::debug!(%error, "an answer broke off"),
            Err(_) => tracing::debug!("an answer took too long"),
        }
    }

    async fn pass(
        &mut self,
        status: StatusCode,
        fields: &HeaderMap,
        mut body: Body,
        head_only: bool,
    ) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut head = begin(status, fields);
        let bodiless = head_only || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let length = body.size_hint().exact();
        if !bodiless {
            head.extend(match length {
                Some(length) => format!("Content-Length: {length}\r\n").into_bytes(),
                None => b"Transfer-Encoding: chunked\r\n".to_vec(),
            });
        }
        head.extend(b"\r\n");
        self.all(&head).await?;
        if bodiless {
            return Ok(());
        }
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame?.into_data() else { continue };
            if piece.is_empty() {
                continue;
            }
            if length.is_none() {
                self.all(format!("{:x}\r\n", piece.len()).as_bytes()).await?;
            }
            self.all(&piece).await?;
            if length.is_none() {
                self.all(b"\r\n").await?;
            }
        }
        if length.is_none() {
            self.all(b"0\r\n\r\n").await?;
        }
        Ok(())
    }

    /// Says that nothing more comes, and reads what is left until the other side has heard it.
    pub(super) async fn end(mut self, reader: &mut OwnedReadHalf) {
        let _ = self.0.shutdown().await;
        let mut left = reader.take(LEFT);
        let _ = timeout(LINGER, tokio::io::copy(&mut left, &mut tokio::io::sink())).await;
    }
}
