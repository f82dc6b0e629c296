//! What a container has beyond what a new one may ask for: rights that an operator gave it.

use serde_json::Value;

use super::{Docker, model::Summary, policy, replace::recreate};
use crate::failure::Failure;

impl Docker {
    /// What the Engine says of the image that a container was made of; null if it is gone. `inspect` is what it says of the container.
    pub async fn image_of(&self, inspect: &Value) -> Value {
        let id = inspect["Image"].as_str().unwrap_or_default();
        self.get(&format!("/images/{id}/json")).await.unwrap_or_default()
    }

    /// What a container would have, made again of `image`, that no new one may ask for, in a clause; `None` if it has no more than that.
    /// `old_image` is the one that it has, null if that is gone.
    pub async fn beyond(&self, inspect: &Value, old_image: &Value, image: &Value) -> Result<Option<String>, Failure> {
        let binds = &self.settings.binds;
        let again = recreate(inspect, old_image, image, inspect["Config"]["Image"].as_str().unwrap_or_default()).create;
        if let Err(why) = policy::check_successor(&again, image, binds) {
            return Ok(Some(why));
        }
        let wanted = policy::volumes(&again);
        if wanted.is_empty() {
            return Ok(None);
        }
        let there = self.all_volumes().await?;
        Ok(there.iter().filter(|one| wanted.contains(&one.name.as_str())).find_map(|one| one.refused(binds)))
    }

    /// Refuses volumes of which one is in use by a container that has more, out of all there are: what it executes may be in there.
    pub async fn check_shared(&self, volumes: &[&str], all: &[Summary]) -> Result<(), Failure> {
        for one in all {
            let Some(volume) = one.volumes().find(|name| volumes.contains(name)) else { continue };
            let inspect: Value = match self.get(&format!("/containers/{}/json", one.id)).await {
                Ok(inspect) => inspect,
                // one that is gone by now uses nothing
                Err(failure) if self.all_containers().await?.iter().any(|left| left.id == one.id) => {
                    return Err(failure);
                }
                Err(_) => continue,
            };
            let image = self.image_of(&inspect).await;
            if let Some(has) = self.beyond(&inspect, &image, &image).await? {
                return Err(Failure::Forbidden(format!(
                    "the volume {volume} belongs to {}, which has what no new container may ask for ({has}): no other gets it",
                    one.name()
                )));
            }
        }
        Ok(())
    }
}
