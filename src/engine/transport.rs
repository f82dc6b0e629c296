//! One request, one connection: nothing is left over from an Engine that was restarted, and a size and a time hold for one answer.

use std::{
    io,
    path::Path,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderValue, Request, Response, header};
use hyper::{body::Body, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
    sync::oneshot,
};

/// What has no end of its own: a stream goes on as long as somebody reads it.
pub const ENDLESS: u64 = u64::MAX;

/// The longest refusal, in bytes: it is a sentence.
const LARGEST_REFUSAL: u64 = 1 << 20;

/// How long an answer that is no stream may take from its head to its last byte.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// What keeps a request from its answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody to ask.
    #[error(transparent)]
    Connect(io::Error),
    /// No HTTP, or it broke off.
    #[error(transparent)]
    Broke(hyper::Error),
}

/// Sends `request` to the socket at `path`; reads `largest` bytes of the answer at most, its head included. How long to wait for the head
/// is the caller's to say; what comes after it ends in time as well, unless it is [`ENDLESS`]. A refusal never is.
pub async fn send<B>(path: &Path, mut request: Request<B>, largest: u64) -> Result<Response<Incoming>, Error>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = UnixStream::connect(path).await.map_err(Error::Connect)?;
    let left = Arc::new(AtomicU64::new(largest));
    let stream = TokioIo::new(Budget { stream, left: Arc::clone(&left) });
    let (mut sender, connection) = http1::handshake(stream).await.map_err(Error::Broke)?;
    let (ends, has_to_end) = oneshot::channel();
    let late = async {
        match has_to_end.await {
            Ok(()) => tokio::time::sleep(ENDS_WITHIN).await,
            Err(_) => std::future::pending().await,
        }
    };
    // ends with the answer, when nobody reads it any more, or late
    tokio::spawn(async move {
        tokio::select! { _ = connection => (), () = late => () }
    });
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("docker"));
    let answer = sender.send_request(request).await.map_err(Error::Broke)?;
    let refuses = answer.status().is_client_error() || answer.status().is_server_error();
    if refuses {
        left.fetch_min(LARGEST_REFUSAL, Ordering::Relaxed);
    }
    if refuses || largest != ENDLESS {
        // one that has ended already has nobody to tell
        let _ = ends.send(());
    }
    Ok(answer)
}

/// A stream that breaks off after so many bytes were read from it.
struct Budget {
    stream: UnixStream,
    left: Arc<AtomicU64>,
}

impl AsyncRead for Budget {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = (buffer.filled().len() - before) as u64;
        let spent = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(read));
        Poll::Ready(match spent {
            Ok(_) => Ok(()),
            Err(_) => Err(io::Error::other("the answer is longer than any that makes sense")),
        })
    }
}

impl AsyncWrite for Budget {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
