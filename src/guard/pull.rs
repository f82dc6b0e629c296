//! A pull through the guard: of registries that images may come from, and without what a registry said.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::{Body, Frame, Incoming};
use serde_json::{Map, Value, json};

use super::{Call, Refusal};
use engine::{
    image::Reference,
    pull::{Stage, told},
    registries::Registries,
};
use redact::{clean, redact_line};

/// The longest line of an answer that is read, in bytes.
const LONGEST_LINE: usize = 1 << 20;

/// The statuses that say nothing of what a layer's address answered. All others, such as `Retrying in 5 seconds`, read `Downloading`.
const STATUSES: &[&str] =
    &["Pulling fs layer", "Waiting", "Already exists", "Download complete", "Extracting", "Pull complete"];

/// The beginnings of such, of the whole image.
const OF_THE_WHOLE: &[&str] = &["Pulling from ", "Digest: ", "Status: "];

/// Refuses a pull from a registry that images may not come from.
pub(super) fn check(call: &Call, registries: &Registries) -> Result<(), Refusal> {
    let Some(image) = &call.pulled else { return Ok(()) };
    registries.check(image).map_err(|why| Refusal::forbidden(format!("docker-guard: {why}")))
}

/// The answer to a pull as it is passed on, each line made again. Of a registry that the operator does not vouch for, every failure is the
/// same.
pub(super) fn answer(mut answer: Response<Incoming>, image: &Reference, registries: &Registries) -> Response<Told> {
    if !answer.status().is_success() && !registries.vouch_for(image) {
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let (image, registries) = (image.clone(), registries.clone());
    answer.map(|body| Told { body, image, registries, stage: Stage::Manifest, rest: vec![], ended: false })
}

/// What is told of a pull, line by line.
pub(super) struct Told {
    body: Incoming,
    image: Reference,
    registries: Registries,
    stage: Stage,
    /// The beginning of a line that has not come to its end.
    rest: Vec<u8>,
    ended: bool,
}

impl Told {
    fn line(&mut self, line: &[u8]) -> Vec<u8> {
        line_of(line, &self.image, &self.registries, &mut self.stage)
    }

    /// The lines that these bytes bring to their end, as they are passed on.
    fn lines(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut passed = vec![];
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.rest.len() > LONGEST_LINE {
                let line = mem::take(&mut self.rest);
                passed.extend(self.line(&line));
            }
        }
        passed
    }
}

impl Body for Told {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        while !this.ended {
            let passed = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame.into_data().map(|bytes| this.lines(&bytes)).unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    this.ended = true;
                    let rest = mem::take(&mut this.rest);
                    this.line(&rest)
                }
            };
            if !passed.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(passed.into()))));
            }
        }
        Poll::Ready(None)
    }
}

/// One line made again: how far it has come, or why it failed as far as that is told. Nothing of a line that is neither. The next line is
/// of `stage`.
fn line_of(line: &[u8], image: &Reference, registries: &Registries, stage: &mut Stage) -> Vec<u8> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return vec![];
    }
    let said = serde_json::from_slice::<Map<String, Value>>(line).unwrap_or_else(|_| {
        // it says nothing that could be passed on, and the pull may have failed by it
        Map::from_iter([("error".to_owned(), Value::from(String::from_utf8_lossy(line).into_owned()))])
    });
    let text = |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let error =
        text(said.get("errorDetail").and_then(|detail| detail.get("message"))).or_else(|| text(said.get("error")));
    let message = text(said.get("message"));
    let status = text(said.get("status"));
    let mut made = if let Some(words) = error.as_ref().or(message.as_ref()) {
        let shown: Vec<_> = words.lines().take(20).map(redact_line).collect();
        tracing::warn!(%image, why = %clean(&shown.join("\n"), 1000), "an image could not be pulled");
        let words = told(registries, image, words, *stage);
        // an answer of another status than success is an object with a message
        match error {
            Some(_) => json!({ "errorDetail": { "message": words }, "error": words }),
            None => json!({ "message": words }),
        }
    } else if !registries.vouch_for(image) {
        // that it goes on, and not how much has come of what the registry led to
        json!({ "status": "Pulling" })
    } else {
        let passes = |status: &String| {
            STATUSES.contains(&status.as_str()) || OF_THE_WHOLE.iter().any(|of| status.starts_with(of))
        };
        let shown = status.clone().filter(passes).unwrap_or_else(|| "Downloading".to_owned());
        match text(said.get("id")) {
            Some(id) => json!({ "status": shown, "id": id }),
            None => json!({ "status": shown }),
        }
    }
    .to_string()
    .into_bytes();
    made.extend(b"\r\n");
    *stage = stage.after(&status.unwrap_or_default());
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_a_pull_tells_how_far_it_has_come_and_nothing_that_a_registry_said() {
        let made = |line: &str, image: &str| {
            let (image, mut stage) = (Reference::parse(image).unwrap(), Stage::Manifest);
            let made = line_of(line.as_bytes(), &image, &Registries::default(), &mut stage);
            String::from_utf8(made).unwrap()
        };
        let progress =
            r#"{"status":"Downloading","progressDetail":{"current":5,"total":10},"id":"aa","aux":{"hush":1}}"#;
        let passed: Value = serde_json::from_str(&made(progress, "web")).unwrap();
        assert_eq!(passed, json!({ "status": "Downloading", "id": "aa" }));
        for status in ["Retrying in 5 seconds", "Verifying Checksum"] {
            let line = json!({ "status": status, "id": "aa" }).to_string();
            assert!(made(&line, "web").contains(r#""status":"Downloading""#), "{status}");
        }
        assert!(made(r#"{"status":"Pull complete","id":"aa"}"#, "web").contains("Pull complete"));
        let web = Reference::parse("web").unwrap();
        let mut stage = Stage::Manifest;
        line_of(br#"{"status":"Pulling from library/web","id":"latest"}"#, &web, &Registries::default(), &mut stage);
        let refused = br#"{"error":"Get \"http://127.0.0.1:22/\": dial tcp: connection refused"}"#;
        let told = String::from_utf8(line_of(refused, &web, &Registries::default(), &mut stage)).unwrap();
        assert!(told.contains("what the manifest names") && !told.contains("unreachable"), "{told}");
        assert_eq!(made(progress, "attacker.example/x"), "{\"status\":\"Pulling\"}\r\n");
        for line in [
            r#"{"message":"unknown: hush"}"#,
            r#"{"errorDetail":{"message":"unknown: hush"},"error":"unknown: hush"}"#,
            r#"{"error":"unknown: hush"}"#,
            r#"{"cause":"hush","message":"normalizing image: hush","response":500}"#,
            r#"["hush"]"#,
            "hush",
        ] {
            for image in ["web", "attacker.example/x"] {
                let made = made(line, image);
                assert!(!made.contains("hush"), "{made}");
                let made: Value = serde_json::from_str(&made).unwrap();
                assert!(made["message"].is_string() || made["error"].is_string(), "{made}");
            }
        }
        assert!(made(r#"{"error":"unknown: hush"}"#, "web").contains("not found"));
        assert!(!made(r#"{"error":"unknown: hush"}"#, "attacker.example/x").contains("not found: "));
        assert_eq!(made("\r\n", "web"), "");
    }
}
