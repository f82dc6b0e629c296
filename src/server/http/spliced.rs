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

/// What stands in an answer in place of the list of tools.
const HOLE: &[u8] = b"\"tools\":[]";

/// Puts `tools`, a list in JSON, into the answer that was made with an empty one. `None`: there is no such place in it.
pub(super) async fn with_tools(answer: Answer, tools: &Bytes) -> Option<Answer> {
    let (mut parts, body) = answer.into_parts();
    let Ok(body) = body.collect().await;
    let body = body.to_bytes();
    // a text of the caller's cannot be taken for it: its quotes are escaped
    let at = memchr::memmem::find(&body, HOLE)?;
    let pieces = VecDeque::from([
        body.slice(..at),
        Bytes::from_static(b"\"tools\":"),
        tools.clone(),
        body.slice(at + HOLE.len()..),
    ]);
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
        let answer = with_tools(answer, &Bytes::from_static(b"[{\"name\":\"a\"}]")).await.unwrap();
        let length = answer.body().size_hint().exact();
        let Ok(body) = answer.into_body().collect().await;
        let body = body.to_bytes();
        assert_eq!(length, Some(body.len() as u64));
        let read: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((&read["id"], &read["result"]["tools"][0]["name"]), (&written["id"], &"a".into()));
        assert_eq!(read["result"]["ttlMs"], 1);
    }

    #[tokio::test]
    async fn an_answer_without_a_place_for_it_is_none() {
        assert!(with_tools(Answer::new(Full::new(Bytes::from("{}")).boxed()), &Bytes::new()).await.is_none());
    }
}
