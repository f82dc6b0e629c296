//! Pulling an image: the registry is asked by the Engine, without credentials of ours.
//!
//! The Engine quotes what it was answered, and goes where a registry sends it. So its words are for the log, and a caller is told one of a
//! few kinds ([`Trouble`]). Repositories are anybody's, and a manifest can name an address for each layer: once there is a manifest, all that
//! can befall what it names is one kind, and how many bytes have come is not told. Of a registry that the operator does not vouch for no kind
//! is told at all ([`told`]), since it can redirect the first request too.

use std::{collections::BTreeMap, fmt, time::Duration};

use http::StatusCode;
use serde::Deserialize;

use super::{Docker, image::Reference, model::or_default, registries::Registries};
use kernel::failure::Failure;
use redact::{clean, redact_line};

/// How long a pull may take in all.
const WITHIN: Duration = Duration::from_secs(30 * 60);

/// How far a pull has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pulled {
    layers: BTreeMap<String, Layer>,
}

/// How far a layer has come: what it says of itself before it was compared with its digest is not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    #[default]
    Named,
    Fetched,
    Done,
}

/// One line of `POST /images/create`.
#[derive(Debug, Default, Deserialize)]
struct Line {
    #[serde(default, deserialize_with = "or_default")]
    id: String,
    #[serde(default, deserialize_with = "or_default")]
    status: String,
    #[serde(default, rename = "errorDetail", deserialize_with = "or_default")]
    error_detail: Said,
    #[serde(default, deserialize_with = "or_default")]
    error: String,
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

    /// Pulls `reference` if its registry may be pulled from, and tells `step` how far it has come whenever a layer goes on.
    /// Of a registry that the operator does not vouch for it tells that something has come, and no more.
    pub async fn pull(&self, reference: &Reference, mut step: impl FnMut(&Pulled)) -> Result<(), Failure> {
        self.check_registry(reference)?;
        let doing = format!("pull {reference}");
        // by its whole name, as Podman searches for a shorter one; of the grammar of references, which has nothing that a query would
        // read as its own
        let path = format!("/images/create?fromImage={}&tag={}", reference.repository(), reference.version());
        let failed = |words: &str, stage| {
            let said: Vec<_> = words.lines().take(20).map(redact_line).collect();
            tracing::warn!(image = %reference, why = %clean(&said.join("\n"), 1000), "an image could not be pulled");
            Failure::Refused(format!(
                "Docker could not {doing}: {}",
                told(&self.settings.registries, reference, words, stage)
            ))
        };
        // no Engine's words begin so, whatever a registry put into them
        let is_guard = |words: &str| ["docker-guard", "the Docker Engine at "].iter().any(|own| words.starts_with(own));
        let refused = |status: StatusCode, words: &str| match status {
            StatusCode::FORBIDDEN
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
                if is_guard(words) =>
            {
                super::refused(status, &doing, words)
            }
            _ => failed(words, Stage::Manifest),
        };
        let is_vouched = self.settings.registries.vouch_for(reference);
        let (mut pulled, nothing) = (Pulled::default(), Pulled::default());
        let mut stage = Stage::Manifest;
        self.lines(&path, &doing, WITHIN, refused, |line: Line| {
            if let Some(words) = line.failure() {
                return Err(failed(words, stage));
            }
            stage = stage.after(&line.status);
            if pulled.add(&line) {
                step(if is_vouched { &pulled } else { &nothing });
            }
            Ok(())
        })
        .await
    }
}

/// What is being fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The manifest: only the registry has been asked.
    Manifest,
    /// What the manifest names, at addresses that it may name too.
    Layers,
}

impl Stage {
    /// The stage after a line with this status: engines begin to tell when they have the manifest.
    pub fn after(self, status: &str) -> Self {
        if status.is_empty() { self } else { Self::Layers }
    }
}

/// What stands in the words of engines that failed at what a manifest names: Podman may fail there before it has told anything.
const OF_LAYERS: &[&str] = &[
    "blob",
    "image configuration",
    "content descriptor",
    "failed to copy",
    "failed open",
    "get request to",
    "failed to do request: get",
];

/// What a caller is told of a pull that failed in this stage with these words of the Engine's.
pub fn told(registries: &Registries, reference: &Reference, words: &str, stage: Stage) -> String {
    if registries.vouch_for(reference) {
        // the Engine repeats the name, which may have any of the words in it; one part alone could be a part of any word
        let whole = reference.repository();
        let path = whole.split_once('/').map(|(_, path)| path).filter(|path| path.contains('/'));
        let words = words.replace(path.unwrap_or(&whole), "");
        let is_of_layers = stage == Stage::Layers || OF_LAYERS.iter().any(|of| words.to_ascii_lowercase().contains(of));
        let trouble = match Trouble::of(&words) {
            // the Engine's own, whatever an address answers
            trouble @ (Trouble::OtherPlatform | Trouble::DiskFull) => trouble,
            _ if is_of_layers => Trouble::Layers,
            trouble => trouble,
        };
        return trouble.to_string();
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
    /// What the manifest names could not be fetched, or is not what it says.
    Layers,
    /// Another status of HTTP.
    Status(u16),
    /// Anything else.
    Other,
}

impl Trouble {
    /// What the Engine's words say. The first that fits counts: the words of an error stand before what the registry says with it.
    pub fn of(words: &str) -> Self {
        const KNOWN: &[(&str, Trouble)] = &[
            (NO_LAYERS, Trouble::Layers),
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
        // containerd's kind of an error of which it knows no more, not a registry's
        let words = words.strip_prefix("unknown: ").filter(|rest| rest.starts_with("failed to ")).unwrap_or(&words);
        let known = KNOWN.iter().filter_map(|(word, trouble)| Some((words.find(word)?, *trouble)));
        known.min_by_key(|(at, _)| *at).map_or_else(|| status(words), |(_, trouble)| trouble)
    }
}

/// What is told of [`Trouble::Layers`], in small letters.
const NO_LAYERS: &str = "what the manifest names could not be fetched, or is not what it says";

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
            Self::Layers => return write!(f, "{NO_LAYERS}; try again, and then see the server's log for the reason"),
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
    /// How many steps its layers have made, and of how many: each is fetched, and unpacked.
    pub fn steps(&self) -> (u64, u64) {
        let done = self.layers.values().map(|layer| *layer as u64).sum();
        (done, self.layers.len() as u64 * Layer::Done as u64)
    }

    /// In words.
    pub fn words(&self) -> String {
        if self.layers.is_empty() {
            return "fetching".to_owned();
        }
        let done = self.layers.values().filter(|layer| **layer == Layer::Done).count();
        format!("{done} of {} layers there", self.layers.len())
    }

    /// Whether the line says that a layer goes on.
    fn add(&mut self, line: &Line) -> bool {
        // `Pulling from library/busybox` has the tag for its id
        if line.id.is_empty() || line.status.starts_with("Pulling from") || self.layers.len() >= 1_000 {
            return false;
        }
        let layer = self.layers.entry(line.id.clone()).or_default();
        let now = match line.status.as_str() {
            "Download complete" | "Extracting" => Layer::Fetched,
            "Pull complete" | "Already exists" => Layer::Done,
            _ => Layer::Named,
        };
        *layer = now.max(*layer);
        true
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
                "unknown: failed to resolve reference \"r.example/x:1\": unexpected status from HEAD request to http://r.example/v2/x/manifests/1: 401 Unauthorized",
                Trouble::Denied,
            ),
            (
                "unknown: failed to resolve reference \"r.example/x:1\": unexpected status from HEAD request to http://r.example/v2/x/manifests/1: 500 Internal Server Error",
                Trouble::Status(500),
            ),
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
            let told = told(&registries, &Reference::parse(image).unwrap(), words, Stage::Manifest);
            assert_eq!(told, trouble.to_string(), "{image}");
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
        let told: Vec<String> = all.iter().map(|words| told(&public, &reference, words, Stage::Manifest)).collect();
        assert!(
            told.iter().all(|one| *one == told[0] && !one.contains("hush") && !one.contains("127.0.0.1")),
            "{told:?}"
        );
        assert!(told[0].contains("names attacker.example"), "{told:?}");
    }

    /// Whatever an address that a manifest names answers, or does not, one thing is told.
    #[test]
    fn what_a_manifest_leads_to_is_not_told_by_the_failure_of_a_pull() {
        let registries = Registries(vec!["docker.io".parse().unwrap(), "r.example".parse().unwrap()]);
        let told = |words: &str, stage| told(&registries, &Reference::parse("r.example/x").unwrap(), words, stage);
        let one =
            told("Get \"http://127.0.0.1:22/\": dial tcp 127.0.0.1:22: connect: connection refused", Stage::Layers);
        assert!(one.contains(NO_LAYERS), "{one}");
        for words in [
            "Get \"http://127.0.0.1:22/\": net/http: HTTP/1.x transport connection broken: malformed HTTP response",
            "Get \"http://192.0.2.1/\": net/http: request canceled (Client.Timeout exceeded while awaiting headers)",
            "Get \"https://127.0.0.1:443/\": x509: certificate signed by unknown authority",
            "received unexpected HTTP status: 503 Service Unavailable",
            "error parsing HTTP 404 response body: invalid character 'h'",
            "unauthorized: hush",
            "toomanyrequests: hush",
            "filesystem layer verification failed for digest sha256:00",
            "unexpected EOF",
            "anything",
        ] {
            assert_eq!(told(words, Stage::Layers), one, "{words}");
        }
        // before Podman has told anything, and what containerd fetches beside the layers
        for words in [
            "reading blob sha256:00: failed fetching external blob from all urls: Get \"http://127.0.0.1:22/\": EOF",
            "Error reading blob sha256:00: error fetching external blob from \"http://127.0.0.1/\": 401 (Unauthorized)",
            "parsing image configuration: error fetching external blob from \"http://127.0.0.1/\": 503",
            "failed to copy: httpReadSeeker: failed open: unexpected status from GET request to http://127.0.0.1/: 401 Unauthorized",
            "failed to copy: httpReadSeeker: failed open: could not fetch content descriptor sha256:00 from remote: not found",
        ] {
            assert_eq!(told(words, Stage::Manifest), one, "{words}");
        }
        // docker-guard says it in these words, and the server reads them
        assert_eq!(told(&one, Stage::Manifest), one);
        assert!(told("write /var/lib/docker/tmp/x: no space left on device", Stage::Layers).contains("no space left"));
        assert_eq!(Stage::Manifest.after(""), Stage::Manifest);
        assert_eq!(Stage::Manifest.after("Pulling from t/x"), Stage::Layers);
    }

    #[test]
    fn layers_are_counted_as_the_engine_tells_them_and_no_bytes() {
        let mut pulled = Pulled::default();
        let mut last = (0, 0);
        for line in [
            r#"{"status":"Pulling from library/x","id":"latest"}"#,
            r#"{"status":"Pulling fs layer","progressDetail":{},"id":"aa"}"#,
            r#"{"status":"Already exists","progressDetail":{},"id":"bb"}"#,
            r#"{"status":"Downloading","progressDetail":{"current":5,"total":10},"progress":"[=> ]","id":"aa"}"#,
            r#"{"status":"Verifying Checksum","progressDetail":{},"id":"aa"}"#,
            r#"{"status":"Download complete","progressDetail":{},"id":"aa"}"#,
            r#"{"status":"Extracting","progressDetail":{"current":10,"total":10},"id":"aa"}"#,
            r#"{"status":"Pull complete","progressDetail":null,"id":"aa"}"#,
            r#"{"status":"Status: Downloaded newer image for x:latest"}"#,
        ] {
            pulled.add(&serde_json::from_str(line).unwrap());
            let now = pulled.steps();
            assert!(now.0 >= last.0, "{line}");
            assert!(!line.contains("Downloading") || now == (2, 4), "{line}: {now:?}");
            last = now;
        }
        assert_eq!(last, (4, 4));
        assert_eq!(pulled.words(), "2 of 2 layers there");
    }
}
