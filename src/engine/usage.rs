//! What takes the disk, as `GET /system/df` says: in one shape until API 1.51, in another from 1.52 on, and Podman's.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout};

use super::{
    Docker,
    model::{Image, Summary, Volume, or_default},
};
use kernel::failure::Failure;

/// How long the Engine has: it reads through all volumes and containers.
pub const WITHIN: Duration = Duration::from_secs(20);

/// How long it is left alone when it would not count.
const AGAIN: Duration = Duration::from_millis(300);

/// How often it is asked to count when it gives up.
const TRIES: u32 = 4;

/// Everything. What an Engine does not know of it, it overlooks.
pub const OF_ALL: &str = "/system/df?verbose=1";

/// Of volumes alone, where the Engine can tell them apart.
pub const OF_VOLUMES: &str = "/system/df?verbose=1&type=volume";

/// The answer, in either shape.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Usage {
    #[serde(default)]
    layers_size: Option<i64>,
    #[serde(default, deserialize_with = "or_default")]
    images: Vec<Image>,
    #[serde(default, deserialize_with = "or_default")]
    containers: Vec<Used>,
    #[serde(default, deserialize_with = "or_default")]
    volumes: Vec<Volume>,
    #[serde(default, deserialize_with = "or_default")]
    build_cache: Vec<Cached>,
    #[serde(default)]
    image_usage: Option<Of<Image>>,
    #[serde(default)]
    container_usage: Option<Of<Used>>,
    #[serde(default)]
    volume_usage: Option<Of<Volume>>,
    #[serde(default)]
    build_cache_usage: Option<Of<Cached>>,
}

/// One kind of thing.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase", bound = "T: Deserialize<'de>")]
pub struct Of<T> {
    /// What all of it takes, in bytes, as the Engine counts it.
    #[serde(default)]
    pub total_size: Option<i64>,
    /// Each.
    #[serde(default = "Vec::new", deserialize_with = "or_default")]
    pub items: Vec<T>,
}

/// A container with what it takes.
#[derive(Debug, Default, Deserialize)]
pub struct Used {
    /// The container.
    #[serde(flatten)]
    pub summary: Summary,
    /// What it has written into its own layer, in bytes.
    #[serde(default, rename = "SizeRw")]
    pub written: Option<i64>,
}

/// A record of the build cache.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Cached {
    /// Its id.
    #[serde(default, rename = "ID", deserialize_with = "or_default")]
    pub id: String,
    /// `regular`, `source.local` and so on.
    #[serde(default, rename = "Type", deserialize_with = "or_default")]
    pub kind: String,
    /// The instruction that made it.
    #[serde(default, deserialize_with = "or_default")]
    pub description: String,
    /// A build uses it.
    #[serde(default, deserialize_with = "or_default")]
    pub in_use: bool,
    /// An image has it too.
    #[serde(default, deserialize_with = "or_default")]
    pub shared: bool,
    /// In bytes.
    #[serde(default)]
    pub size: Option<i64>,
}

impl Usage {
    /// Asks for [`OF_ALL`] or [`OF_VOLUMES`].
    pub async fn ask(docker: &Docker, path: &str) -> Result<Self, Failure> {
        let since = Instant::now();
        let late = || Failure::TimedOut("the Docker Engine, which is counting what takes the disk,".into());
        let _alone = timeout(WITHIN, docker.counting.lock()).await.map_err(|_| late())?;
        let mut tries = 0;
        loop {
            tries += 1;
            match docker.get_within(path, WITHIN).await {
                // it counts for somebody else
                Err(Failure::Refused(why)) if why.contains("already running") && since.elapsed() < WITHIN => {
                    sleep(AGAIN).await;
                }
                // Podman gives up when a container goes while it counts, and where many come and go that is often
                Err(Failure::Refused(_)) if tries < TRIES => (),
                other => return other,
            }
        }
    }

    /// Images; the total is that of their layers, each counted once.
    pub fn images(&mut self) -> Of<Image> {
        let old = Of { total_size: self.layers_size, items: std::mem::take(&mut self.images) };
        self.image_usage.take().unwrap_or(old)
    }

    /// Containers.
    pub fn containers(&mut self) -> Of<Used> {
        let old = Of { total_size: None, items: std::mem::take(&mut self.containers) };
        self.container_usage.take().unwrap_or(old)
    }

    /// Volumes.
    pub fn volumes(&mut self) -> Of<Volume> {
        let old = Of { total_size: None, items: std::mem::take(&mut self.volumes) };
        self.volume_usage.take().unwrap_or(old)
    }

    /// The build cache.
    pub fn build_cache(&mut self) -> Of<Cached> {
        let old = Of { total_size: None, items: std::mem::take(&mut self.build_cache) };
        self.build_cache_usage.take().unwrap_or(old)
    }
}
