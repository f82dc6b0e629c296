//! An answer that goes on: one JSON value a line, told as it comes.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Docker, ENDLESS, Said};
use kernel::failure::Failure;

/// How long the Engine may say nothing in between: a registry that is slow, a layer that is unpacked.
const QUIET: Duration = Duration::from_secs(120);

/// The longest line that is read, in bytes.
const LONGEST_LINE: usize = 1 << 20;

impl Docker {
    /// Sends a POST to `path` and gives each line of the answer to `each`. Ends with the answer, with the first failure, or `within` this
    /// time; the Engine gives up what it does for an answer that nobody reads any more. `doing` says what was tried, and `refused` makes
    /// an error of another status than success and of what the Engine says with it.
    pub async fn lines<T: DeserializeOwned>(
        &self,
        path: &str,
        doing: &str,
        within: Duration,
        refused: impl Fn(StatusCode, &str) -> Failure,
        mut each: impl FnMut(T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let late = |_| Failure::TimedOut(format!("the Docker Engine, asked to {doing},"));
        let until = Instant::now() + within;
        let request = Request::builder().method(Method::POST).uri(path).body(Full::new(Bytes::new()));
        let request = request.map_err(|error| Failure::Internal(error.into()))?;
        // each line has its bound and all of them their time: a large image has many, and takes longer than any answer that is looked up
        let answer = timeout(QUIET.min(within), self.send(request, ENDLESS)).await.map_err(late)??;
        let status = answer.status();
        let mut body = answer.into_body();
        let mut rest: Vec<u8> = vec![];
        loop {
            let next = timeout_at(until.min(Instant::now() + QUIET), body.frame()).await.map_err(late)?;
            let Some(frame) = next else { break };
            let Ok(bytes) = frame.map_err(|error| self.broke(doing, &error))?.into_data() else { continue };
            rest.extend_from_slice(&bytes);
            if !status.is_success() {
                if rest.len() > LONGEST_LINE {
                    break;
                }
                continue;
            }
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                self.line(path, &line, &mut each)?;
            }
            if rest.len() > LONGEST_LINE {
                return Err(self.broke(doing, &"a line without an end"));
            }
        }
        if !status.is_success() {
            let words = serde_json::from_slice::<Said>(&rest).map(|said| said.message).unwrap_or_default();
            return Err(refused(status, &words));
        }
        self.line(path, &rest, &mut each)
    }

    fn line<T: DeserializeOwned>(
        &self,
        path: &str,
        line: &[u8],
        each: &mut impl FnMut(T) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let line = line.trim_ascii();
        if line.is_empty() {
            return Ok(());
        }
        each(serde_json::from_slice(line).map_err(|error| self.garbage(path, &error))?)
    }
}
