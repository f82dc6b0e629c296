//! Pulling an image: the registry is asked by the Engine, without credentials of ours.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::{Docker, image::Reference, model::or_default};
use crate::failure::Failure;

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
    /// Pulls `reference`, and tells `told` how far it has come whenever that changes.
    pub async fn pull(&self, reference: &Reference, mut told: impl FnMut(&Pulled)) -> Result<(), Failure> {
        let doing = format!("pull {reference}");
        // both are of the grammar of references, which has nothing that a query would read as its own
        let path = format!("/images/create?fromImage={}&tag={}", reference.name, reference.version());
        let mut pulled = Pulled::default();
        self.lines(&path, &doing, WITHIN, |line: Line| {
            let error = [line.error_detail.message.as_str(), &line.error].into_iter().find(|words| !words.is_empty());
            if let Some(words) = error {
                return Err(Failure::Refused(format!("Docker could not {doing}: {words}")));
            }
            if pulled.add(&line) {
                told(&pulled);
            }
            Ok(())
        })
        .await
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
