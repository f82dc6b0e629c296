//! Pulling an image: the registry is asked by the Engine, without credentials of ours.
//!
//! The Engine quotes what it was answered, and goes where a registry sends it. So its words are for the log, and a caller is told one of a
//! few kinds ([`Trouble`]). Of a registry that the operator does not vouch for not even that ([`told`]), nor how many bytes have come: where
//! it sends the Engine would otherwise be told by what is there.

use std::{collections::BTreeMap, fmt, time::Duration};

use http::StatusCode;
use serde::Deserialize;

use super::{Docker, image::Reference, model::or_default, registries::Registries};
use crate::{
    failure::Failure,
    text::{clean, redact_line},
};

/// How long a pull may take in all.
const WITHIN: Duration = Duration::from_secs(30 * 60);

/// How far a pull has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pulled {
    layers: BTreeMap<String, Layer>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Layer {
    got: u64,
    unpacked: u64,
    of: Option<u64>,
    done: bool,
}

/// One line of `POST /images/create`.
#[derive(Debug, Default, Deserialize)]
struct Line {
    #[serde(default, deserialize_with = "or_default")]
    id: String,
    #[serde(default, deserialize_with = "or_default")]
    status: String,
    #[serde(default, rename = "progressDetail", deserialize_with = "or_default")]
    progress: Progress,
    #[serde(default, rename = "errorDetail", deserialize_with = "or_default")]
    error_detail: Said,
    #[serde(default, deserialize_with = "or_default")]
    error: String,
}

#[derive(Debug, Default, Deserialize)]
struct Progress {
    #[serde(default)]
    current: Option<u64>,
    #[serde(default)]
    total: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
struct Said {
    #[serde(default, deserialize_with = "or_default")]
    message: String,
}

impl Docker {
    /// Refuses an image of a registry that images may not come from.
    pub fn check_registry(&self, reference: &Reference) -> Result<(), Failure> {
        self.settings.registries.check(reference).map_err(Failure::Forbidden)
    }

    /// Pulls `reference` if its registry may be pulled from, and tells `step` how far it has come whenever that changes.
    /// Of a registry that the operator does not vouch for it tells that something has come, and no more.
    pub async fn pull(&self, reference: &Reference, mut step: impl FnMut(&Pulled)) -> Result<(), Failure> {
        self.check_registry(reference)?;
        let doing = format!("pull {reference}");
        // by its whole name, as Podman searches for a shorter one; of the grammar of references, which has nothing that a query would
        // read as its own
        let path = format!("/images/create?fromImage={}&tag={}", reference.repository(), reference.version());
        let failed = |words: &str| {
            let said: Vec<_> = words.lines().take(20).map(redact_line).collect();
            tracing::warn!(image = %reference, why = %clean(&said.join("\n"), 1000), "an image could not be pulled");
            Failure::Refused(format!("Docker could not {doing}: {}", told(&self.settings.registries, reference, words)))
        };
        // no Engine's words begin so, whatever a registry put into them
        let is_guard = |words: &str| ["docker-guard", "the Docker Engine at "].iter().any(|own| words.starts_with(own));
        let refused = |status: StatusCode, words: &str| match status {
            StatusCode::FORBIDDEN
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
                if is_guard(words) =>
            {
                super::refused(status, &doing, words)
            }
            _ => failed(words),
        };
        let is_vouched = self.settings.registries.vouch_for(reference);
        let (mut pulled, nothing) = (Pulled::default(), Pulled::default());
        self.lines(&path, &doing, WITHIN, refused, |line: Line| {
            if let Some(words) = line.failure() {
                return Err(failed(words));
            }
            if pulled.add(&line) {
                step(if is_vouched { &pulled } else { &nothing });
            }
            Ok(())
        })
        .await
    }
}

/// What a caller is told of a pull that failed with these words of the Engine's.
pub fn told(registries: &Registries, reference: &Reference, words: &str) -> String {
    if registries.vouch_for(reference) {
        // the Engine repeats the name, which may have any of the words in it; one part alone could be a part of any word
        let whole = reference.repository();
        let path = whole.split_once('/').map(|(_, path)| path).filter(|path| path.contains('/'));
        return Trouble::of(&words.replace(path.unwrap_or(&whole), "")).to_string();
    }
    format!(
        "the registry does not have it for this machine, asks for a login, or cannot be reached, or the disk is full; the server's log has the reason, and so has this answer once docker.registries names {}",
        reference.registry()
    )
}

/// Why a pull failed, as far as a caller is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// There is no such repository, tag or digest.
    NotFound,
    /// It needs credentials, or they do not suffice.
    Denied,
    /// The registry wants fewer requests.
    TooMany,
    /// There is none for this machine's architecture.
    OtherPlatform,
    /// No TLS, or a certificate that the Engine does not trust.
    Untrusted,
    /// The registry did not answer in time.
    Late,
    /// There is no way to the registry, or it broke off.
    Unreachable,
    /// What came is not what the registry had announced.
    Corrupt,
    /// The machine's disk is full.
    DiskFull,
    /// Another status of HTTP.
    Status(u16),
    /// Anything else.
    Other,
}

impl Trouble {
    /// What the Engine's words say. The first that fits counts: the words of an error stand before what the registry says with it.
    pub fn of(words: &str) -> Self {
        const KNOWN: &[(&str, Trouble)] = &[
            ("no space left", Trouble::DiskFull),
            ("toomanyrequests", Trouble::TooMany),
            ("too many requests", Trouble::TooMany),
            ("http 429", Trouble::TooMany),
            ("no matching manifest", Trouble::OtherPlatform),
            ("no match for", Trouble::OtherPlatform),
            ("no image found in manifest list", Trouble::OtherPlatform),
            ("access denied", Trouble::Denied),
            ("denied: ", Trouble::Denied),
            ("unauthorized", Trouble::Denied),
            ("authentication required", Trouble::Denied),
            ("no basic auth", Trouble::Denied),
            ("http 401", Trouble::Denied),
            ("http 403", Trouble::Denied),
            ("403 forbidden", Trouble::Denied),
            ("x509", Trouble::Untrusted),
            ("certificate", Trouble::Untrusted),
            ("server gave http response", Trouble::Untrusted),
            ("tls: ", Trouble::Untrusted),
            ("timeout", Trouble::Late),
            ("deadline exceeded", Trouble::Late),
            ("request canceled", Trouble::Late),
            ("connection refused", Trouble::Unreachable),
            ("no such host", Trouble::Unreachable),
            ("dial tcp", Trouble::Unreachable),
            ("unreachable", Trouble::Unreachable),
            ("no route", Trouble::Unreachable),
            ("connection reset", Trouble::Unreachable),
            ("verification failed", Trouble::Corrupt),
            ("does not match", Trouble::Corrupt),
            ("unexpected eof", Trouble::Corrupt),
            ("eof", Trouble::Unreachable),
            ("manifest unknown", Trouble::NotFound),
            ("name unknown", Trouble::NotFound),
            ("not found", Trouble::NotFound),
            ("http 404", Trouble::NotFound),
            ("unknown: ", Trouble::NotFound),
        ];
        let words = words.to_ascii_lowercase();
        let known = KNOWN.iter().filter_map(|(word, trouble)| Some((words.find(word)?, *trouble)));
        known.min_by_key(|(at, _)| *at).map_or_else(|| status(&words), |(_, trouble)| trouble)
    }
}

/// The status in `received unexpected HTTP status: 500 Internal Server Error`, or in `unexpected status from HEAD request to https://…: 500
/// Internal Server Error`.
fn status(words: &str) -> Trouble {
    let behind = |(_, rest): (&str, &str)| rest.to_owned();
    let named = words.split_once("http status: ").map(behind);
    let rest = named.or_else(|| words.split_once("unexpected status ")?.1.rsplit_once(": ").map(behind));
    let number = rest.and_then(|rest| rest.get(..3)?.parse().ok());
    number.filter(|number| (100..600).contains(number)).map_or(Trouble::Other, Trouble::Status)
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "not found: the registry has no such repository, tag or digest",
            Self::Denied => "denied: there is no such repository, or it asks for a login",
            Self::TooMany => "too many requests for the registry; try again later",
            Self::OtherPlatform => "no match for this machine's architecture",
            Self::Untrusted => "the registry has no certificate that Docker trusts",
            Self::Late => "the registry's answer does not come in time (timeout)",
            Self::Unreachable => "the registry is unreachable",
            Self::Corrupt => "what came does not match what the registry announced; try again",
            Self::DiskFull => "no space left on the machine's disk",
            Self::Status(status) => return write!(f, "the registry answers with HTTP status: {status}"),
            Self::Other => "it failed; the server's log has the reason",
        })
    }
}

impl Line {
    /// Why the pull ends here, in the Engine's words.
    fn failure(&self) -> Option<&str> {
        [self.error_detail.message.as_str(), &self.error].into_iter().find(|words| !words.is_empty())
    }
}

impl Pulled {
    /// What has been fetched and unpacked, in bytes, and of how much as far as is known. Only ever grows, unless a layer is fetched anew.
    pub fn bytes(&self) -> (u64, u64) {
        let done = self.layers.values().map(|layer| layer.got.saturating_add(layer.unpacked));
        let of = self.layers.values().filter_map(|layer| layer.of).map(|of| of.saturating_mul(2));
        (done.fold(0, u64::saturating_add), of.fold(0, u64::saturating_add))
    }

    /// In words.
    pub fn words(&self) -> String {
        if self.layers.is_empty() {
            return "fetching".to_owned();
        }
        let done = self.layers.values().filter(|layer| layer.done).count();
        let got = self.layers.values().map(|layer| layer.got).fold(0, u64::saturating_add);
        format!("{done} of {} layers there, {:.1} MiB fetched", self.layers.len(), got as f64 / f64::from(1 << 20))
    }

    /// Whether the line changed anything.
    fn add(&mut self, line: &Line) -> bool {
        // `Pulling from library/busybox` has the tag for its id
        if line.id.is_empty() || line.status.starts_with("Pulling from") || self.layers.len() >= 1_000 {
            return false;
        }
        let layer = self.layers.entry(line.id.clone()).or_default();
        let before = layer.clone();
        layer.of = line.progress.total.filter(|total| *total > 0).or(layer.of);
        match line.status.as_str() {
            "Downloading" => layer.got = line.progress.current.unwrap_or(layer.got),
            "Download complete" => layer.got = layer.of.unwrap_or(layer.got),
            "Extracting" => {
                layer.got = layer.of.unwrap_or(layer.got);
                layer.unpacked = line.progress.current.unwrap_or(layer.unpacked);
            }
            "Pull complete" | "Already exists" => {
                layer.done = true;
                (layer.got, layer.unpacked) = (layer.of.unwrap_or(layer.got), layer.of.unwrap_or(layer.unpacked));
            }
            _ => (),
        }
        *layer != before || line.status == "Pulling fs layer"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_is_told_the_kind_of_a_failure_and_nothing_that_a_registry_said() {
        // as Docker 20.10, 26.1 and 28.5, with both of its stores, and Podman 4.3 say it
        for (words, trouble) in [
            ("manifest for 127.0.0.1:5001/x:1 not found: manifest unknown: hush", Trouble::NotFound),
            ("unknown: hush", Trouble::NotFound),
            (
                "error parsing HTTP 404 response body: invalid character 'h' looking for beginning of value: \"hush unauthorized\"",
                Trouble::NotFound,
            ),
            (
                "pull access denied for x, repository does not exist or may require 'docker login': denied: hush",
                Trouble::Denied,
            ),
            ("unauthorized: hush", Trouble::Denied),
            (
                "error parsing HTTP 403 response body: invalid character 'h' looking for beginning of value: \"hush\"",
                Trouble::Denied,
            ),
            ("toomanyrequests: hush", Trouble::TooMany),
            (
                "error parsing HTTP 429 response body: invalid character 'h' looking for beginning of value: \"hush\"",
                Trouble::TooMany,
            ),
            ("received unexpected HTTP status: 500 Internal Server Error", Trouble::Status(500)),
            ("no matching manifest for linux/arm64/v8 in the manifest list entries", Trouble::OtherPlatform),
            (
                "Get \"https://r.example/v2/\": dial tcp 192.0.2.1:443: connect: connection refused",
                Trouble::Unreachable,
            ),
            ("Get \"https://r.example/v2/\": dial tcp: lookup r.example: no such host", Trouble::Unreachable),
            ("Get \"https://r.example/v2/\": net/http: TLS handshake timeout", Trouble::Late),
            ("Get \"https://r.example/v2/\": context deadline exceeded", Trouble::Late),
            ("Get \"https://r.example/v2/\": x509: certificate signed by unknown authority", Trouble::Untrusted),
            ("Get \"https://r.example/v2/\": http: server gave HTTP response to HTTPS client", Trouble::Untrusted),
            ("Get \"http://r.example/v2/\": EOF", Trouble::Unreachable),
            ("filesystem layer verification failed for digest sha256:00", Trouble::Corrupt),
            ("write /var/lib/docker/tmp/x: no space left on device", Trouble::DiskFull),
            (
                "failed to resolve reference \"r.example/x:1\": unexpected status from HEAD request to https://r.example/v2/x/manifests/1: 503 Service Unavailable",
                Trouble::Status(503),
            ),
            ("failed to resolve reference \"r.example/x:1\": r.example/x:1: not found", Trouble::NotFound),
            (
                "failed to do request: Head \"https://r.example/v2/x/manifests/1\": tls: first record does not look like a TLS handshake",
                Trouble::Untrusted,
            ),
            ("mediaType in manifest should be 'hush' not ''", Trouble::Other),
        ] {
            assert_eq!(Trouble::of(words), trouble, "{words}");
            assert!(!trouble.to_string().contains("hush"));
            // docker-guard says it in these words, and the server reads them
            assert_eq!(Trouble::of(&trouble.to_string()), trouble);
        }
        let registries = Registries(vec!["docker.io".parse().unwrap(), "r.example".parse().unwrap()]);
        for (image, words, trouble) in [
            ("team/timeout", "manifest for team/timeout:latest not found: manifest unknown", Trouble::NotFound),
            ("r.example/timeout", "failed to resolve r.example/timeout:latest: not found", Trouble::NotFound),
            ("r.example/a", "unauthorized: authentication required", Trouble::Denied),
        ] {
            assert_eq!(told(&registries, &Reference::parse(image).unwrap(), words), trouble.to_string(), "{image}");
        }
    }

    #[test]
    fn of_a_registry_that_nobody_vouches_for_every_failure_reads_the_same() {
        let reference = Reference::parse("attacker.example/x").unwrap();
        let public = Registries::default();
        let all = [
            "unknown: hush",
            "unauthorized: hush",
            "Head \"http://127.0.0.1:2/x\": dial tcp 127.0.0.1:2: connect: connection refused",
        ];
        let told: Vec<String> = all.iter().map(|words| told(&public, &reference, words)).collect();
        assert!(
            told.iter().all(|one| *one == told[0] && !one.contains("hush") && !one.contains("127.0.0.1")),
            "{told:?}"
        );
        assert!(told[0].contains("names attacker.example"), "{told:?}");
    }

    #[test]
    fn layers_are_counted_as_the_engine_tells_them() {
        let mut pulled = Pulled::default();
        let mut last = (0, 0);
        for line in [
            r#"{"status":"Pulling from library/x","id":"latest"}"#,
            r#"{"status":"Pulling fs layer","progressDetail":{},"id":"aa"}"#,
            r#"{"status":"Already exists","progressDetail":{},"id":"bb"}"#,
            r#"{"status":"Downloading","progressDetail":{"current":5,"total":10},"progress":"[=> ]","id":"aa"}"#,
            r#"{"status":"Download complete","progressDetail":{},"id":"aa"}"#,
            r#"{"status":"Extracting","progressDetail":{"current":10,"total":10},"id":"aa"}"#,
            r#"{"status":"Pull complete","progressDetail":null,"id":"aa"}"#,
            r#"{"status":"Status: Downloaded newer image for x:latest"}"#,
        ] {
            pulled.add(&serde_json::from_str(line).unwrap());
            let now = pulled.bytes();
            assert!(now.0 >= last.0, "{line}");
            last = now;
        }
        assert_eq!(last, (20, 20));
        assert!(pulled.words().starts_with("2 of 2 layers"), "{}", pulled.words());
    }
}
