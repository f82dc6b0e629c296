//! An answer with a part that was written down once for many.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::header;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};

use super::Answer;
use crate::server::Written;

/// Puts what was `written` before into the answer, which was made with an empty list in its place. `None`: there is no such place in it.
pub(super) async fn with(answer: Answer, written: &Written) -> Option<Answer> {
    let (mut parts, body) = answer.into_parts();
    let Ok(body) = body.collect().await;
    let body = body.to_bytes();
    // a text of the caller's cannot be taken for it: its quotes are escaped
    let hole = format!("\"{}\":[]", written.key);
    let at = memchr::memmem::find(&body, hole.as_bytes())?;
    // the key stays, and with it the colon
    let (from, to) = (at + hole.len() - 2, at + hole.len());
    let pieces = VecDeque::from([body.slice(..from), written.json.clone(), body.slice(to..)]);
    parts.headers.remove(header::CONTENT_LENGTH);
    Some(Answer::from_parts(parts, Pieces(pieces).boxed()))
}

/// A body of several pieces, of a length that is known.
struct Pieces(VecDeque<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[tokio::test]
    async fn the_list_stands_where_the_empty_one_stood_and_an_id_that_looks_like_it_does_not_matter() {
        let written =
            serde_json::json!({ "jsonrpc": "2.0", "id": "\"tools\":[]", "result": { "tools": [], "ttlMs": 1 } });
        let answer = Answer::new(Full::new(Bytes::from(written.to_string())).boxed());
        let parts = answer.into_body().collect().await;
        let Ok(parts) = parts.map(|body| body.to_bytes());
        for long in [1, 100_000] {
            let answer = Answer::new(Full::new(parts.clone()).boxed());
            let list = Written { key: "tools", json: format!("[{{\"name\":\"{}\"}}]", "a".repeat(long)).into() };
            let answer = with(answer, &list).await.unwrap();
            let length = answer.body().size_hint().exact();
            let Ok(body) = answer.into_body().collect().await;
            let body = body.to_bytes();
            assert_eq!(length, Some(body.len() as u64));
            let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!((&read["id"], &read["result"]["ttlMs"]), (&written["id"], &1.into()));
            assert_eq!(read["result"]["tools"][0]["name"].as_str().map(str::len), Some(long));
        }
    }

    #[tokio::test]
    async fn an_answer_without_a_place_for_it_is_none() {
        let list = Written { key: "tools", json: Bytes::new() };
        for other in ["{}", "{\"content\":[]}", "{\"tools\":[1]}"] {
            assert!(with(Answer::new(Full::new(Bytes::from(other)).boxed()), &list).await.is_none(), "{other}");
        }
    }
}
