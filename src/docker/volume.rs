//! Volumes and networks, as far as those who act have to know them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{
    Docker,
    model::{Summary, or_default},
};
use crate::failure::Failure;

/// One of `GET /volumes`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Volume {
    /// Its name, which is all the id it has.
    pub name: String,
    /// RFC 3339.
    #[serde(default, deserialize_with = "or_default")]
    pub created_at: String,
    /// What its driver was told, such as which device to mount.
    #[serde(default, deserialize_with = "or_default")]
    pub options: BTreeMap<String, String>,
}

/// One of `GET /networks`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Network {
    /// 64 hexadecimal digits.
    #[serde(alias = "id")]
    pub id: String,
    /// Not always the only one of its name.
    #[serde(default, alias = "name", deserialize_with = "or_default")]
    pub name: String,
    /// `local`, or `swarm`.
    #[serde(default, deserialize_with = "or_default")]
    pub scope: String,
    /// Whether it is swarm's own.
    #[serde(default, deserialize_with = "or_default")]
    pub ingress: bool,
    /// RFC 3339.
    #[serde(default, deserialize_with = "or_default")]
    pub created: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volumes {
    #[serde(default, deserialize_with = "or_default")]
    volumes: Vec<Volume>,
}

impl Docker {
    /// Every volume there is.
    pub async fn all_volumes(&self) -> Result<Vec<Volume>, Failure> {
        Ok(self.get::<Volumes>("/volumes").await?.volumes)
    }

    /// Every network there is.
    pub async fn all_networks(&self) -> Result<Vec<Network>, Failure> {
        self.get("/networks").await
    }
}

impl Volume {
    /// Whether it was made for one container, without a name of its own.
    pub fn is_anonymous(name: &str) -> bool {
        name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

impl Network {
    /// Whether the engine made it, and keeps it.
    pub fn is_predefined(&self) -> bool {
        self.ingress || matches!(self.name.as_str(), "bridge" | "host" | "none" | "podman" | "docker_gwbridge")
    }
}

impl Summary {
    /// The volumes it has.
    pub fn volumes(&self) -> impl Iterator<Item = &str> {
        self.mounts.iter().filter(|mount| mount.kind == "volume").map(|mount| mount.name.as_str())
    }
}

/// Whether this may name a volume or a network in a path or a body: nothing that could be another part of it.
pub fn is_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric();
    name.len() <= 255
        && name.bytes().next().is_some_and(is_word)
        && name.bytes().all(|byte| is_word(byte) || matches!(byte, b'_' | b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path_and_no_query() {
        for name in ["a", "db_data-1.2", "0"] {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(256);
        for name in ["", ".", "..", "-a", "a/b", "a?b", "a%2fb", "a:b", "a b", "a\n", "\u{fc}", "/", &long] {
            assert!(!is_name(name), "{name}");
        }
    }
}
