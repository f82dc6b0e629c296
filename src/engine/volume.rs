//! Volumes and networks, as far as those who act have to know them.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    Docker,
    model::{Summary, or_default},
};
use kernel::failure::Failure;

/// One of `GET /volumes`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Volume {
    /// Its name, which is all the id it has.
    pub name: String,
    /// RFC 3339.
    #[serde(default, deserialize_with = "or_default")]
    pub created_at: String,
    /// Who keeps it; `local` is the Engine itself.
    #[serde(default, deserialize_with = "or_default")]
    pub driver: String,
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

/// The answer to `GET /volumes`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Volumes {
    /// All of them.
    #[serde(default, deserialize_with = "or_default")]
    pub volumes: Vec<Volume>,
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
    /// Why no new container may have it, in a sentence: a volume with options can be any directory of the machine by another name. Only
    /// the plain ones are none, and those of a directory that may be given anyway.
    pub fn refused(&self, binds: &[PathBuf]) -> Option<String> {
        let option = |name: &str| self.options.get(name).map(String::as_str).unwrap_or_default();
        let is_named = || {
            let known = self.options.keys().all(|name| matches!(name.as_str(), "type" | "o" | "device"));
            let is_bind = option("o").split(',').all(|word| matches!(word, "bind" | "rbind" | "ro" | "rw"));
            let device = Path::new(option("device"));
            // of any other type it is not the device alone that says what is mounted
            known && is_bind && option("type") == "none" && binds.iter().any(|bind| bind == device)
        };
        if self.driver == "local" && (self.options.is_empty() || is_named()) {
            return None;
        }
        Some(format!("the volume {} can be a directory of the machine that docker.binds does not name", self.name))
    }

    /// Whether it was made for one container, without a name of its own.
    pub fn is_anonymous(name: &str) -> bool {
        name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
    }
}

impl Network {
    /// Whether the engine made it, and keeps it.
    pub fn is_predefined(&self) -> bool {
        self.ingress || is_predefined(&self.name)
    }
}

/// Whether a network of this name is the engine's own, and nobody's.
pub fn is_predefined(name: &str) -> bool {
    matches!(name, "bridge" | "host" | "none" | "podman" | "docker_gwbridge")
}

impl Summary {
    /// The volumes it has.
    pub fn volumes(&self) -> impl Iterator<Item = &str> {
        self.told_mounts().filter(|mount| mount.kind == "volume").map(|mount| mount.name.as_str())
    }

    /// Whether the volume of this name is one of them.
    pub fn has_volume(&self, name: &str) -> bool {
        self.volumes().any(|volume| volume == name)
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
    fn a_volume_with_options_may_be_anything_of_the_machine() {
        let refused = |driver: &str, options: &[(&str, &str)]| {
            let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let volume = Volume { name: "v".into(), driver: driver.into(), options, ..Volume::default() };
            volume.refused(&["/srv/data".into()]).is_some()
        };
        assert!(!refused("local", &[]));
        assert!(!refused("local", &[("type", "none"), ("o", "bind"), ("device", "/srv/data")]));
        assert!(!refused("local", &[("type", "none"), ("o", "rbind,ro"), ("device", "/srv/data/")]));
        assert!(refused("", &[]));
        assert!(refused("vieux/sshfs", &[]));
        for options in [
            &[("type", "none"), ("o", "bind"), ("device", "/")][..],
            &[("type", "none"), ("o", "bind"), ("device", "/srv/data/link")],
            &[("type", "none"), ("o", "bind"), ("device", "/srv/data/..")],
            &[("type", "none"), ("o", "bind"), ("device", "srv/data")],
            &[("type", "none"), ("o", "bind")],
            &[("type", "overlay"), ("o", "lowerdir=/,upperdir=/a,workdir=/b"), ("device", "overlay")],
            &[("type", "overlay"), ("o", "bind"), ("device", "/srv/data")],
            &[("type", "none"), ("o", "bind,lowerdir=/"), ("device", "/srv/data")],
            &[("type", "nfs"), ("o", "addr=192.0.2.1"), ("device", ":/x")],
            &[("type", "ext4"), ("device", "/dev/sda1")],
            &[("device", "/srv/data")],
            &[("more", "")],
        ] {
            assert!(refused("local", options), "{options:?}");
        }
    }

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
