//! One request, one connection: nothing is left over from an Engine that was restarted, and a size holds for one answer.

use std::{
    io,
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{HeaderValue, Request, Response, header};
use hyper::{body::Body, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
};

/// What keeps a request from its answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Nobody to ask.
    #[error(transparent)]
    Connect(io::Error),
    /// No HTTP, or it broke off.
    #[error(transparent)]
    Broke(hyper::Error),
}

/// Sends `request` to the socket at `path`; reads `largest` bytes of the answer at most, its head included.
pub(super) async fn send<B>(path: &Path, mut request: Request<B>, largest: u64) -> Result<Response<Incoming>, Error>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let stream = UnixStream::connect(path).await.map_err(Error::Connect)?;
    let stream = TokioIo::new(Budget { stream, left: largest });
    let (mut sender, connection) = http1::handshake(stream).await.map_err(Error::Broke)?;
    // ends with the answer, or when nobody reads it any more
    tokio::spawn(connection);
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("docker"));
    sender.send_request(request).await.map_err(Error::Broke)
}

/// A stream that breaks off after so many bytes were read from it.
struct Budget {
    stream: UnixStream,
    left: u64,
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
        match self.left.checked_sub(read) {
            Some(left) => self.left = left,
            None => return Poll::Ready(Err(io::Error::other("the answer is longer than any that makes sense"))),
        }
        Poll::Ready(Ok(()))
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
