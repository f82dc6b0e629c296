//! What a container has beyond what a new one may ask for: rights that an operator gave it.

use serde_json::Value;

use super::{
    Docker,
    model::{Summary, digits, mounts_of},
    policy,
    replace::recreate,
};
use kernel::failure::Failure;

impl Docker {
    /// What the Engine says of the image that a container was made of; null if it is gone, and an error if it is there and nothing is said.
    /// `inspect` is what the Engine says of the container.
    pub async fn image_of(&self, inspect: &Value) -> Result<Value, Failure> {
        let id = inspect["Image"].as_str().unwrap_or_default();
        match self.get(&format!("/images/{id}/json")).await {
            Ok(image) => Ok(image),
            Err(failure) if self.images().await?.iter().any(|left| digits(&left.id) == digits(id)) => Err(failure),
            Err(_) => Ok(Value::Null),
        }
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

    /// These containers with their mounts: where the list does not tell them, the container is asked. One that is gone is left out.
    pub async fn with_mounts(&self, all: Vec<Summary>) -> Result<Vec<Summary>, Failure> {
        let mut told = Vec::with_capacity(all.len());
        for mut one in all {
            if one.mounts.is_none() {
                let Some(inspect) = self.inspected(&one).await? else { continue };
                one.mounts = Some(mounts_of(&inspect).ok_or_else(|| self.no_engine())?);
            }
            told.push(one);
        }
        Ok(told)
    }

    /// What the Engine says of a container, unread; `None` if it is gone by now.
    async fn inspected(&self, one: &Summary) -> Result<Option<Value>, Failure> {
        match self.get(&format!("/containers/{}/json", one.id)).await {
            Ok(inspect) => Ok(Some(inspect)),
            Err(failure) if self.all_containers().await?.iter().any(|left| left.id == one.id) => Err(failure),
            Err(_) => Ok(None),
        }
    }

    /// Refuses volumes of which one is in use by a container that has more, out of all there are ([`Self::with_mounts`]): what it executes may be in there.
    pub async fn check_shared(&self, volumes: &[&str], all: &[Summary]) -> Result<(), Failure> {
        for one in all {
            let Some(volume) = one.volumes().find(|name| volumes.contains(name)) else { continue };
            // one that is gone uses nothing
            let Some(inspect) = self.inspected(one).await? else { continue };
            let image = self.image_of(&inspect).await?;
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Settings, Socket};

    #[tokio::test]
    async fn an_image_of_which_the_engine_says_nothing_is_not_one_that_is_gone() {
        let docker = Docker::new(Settings { socket: Socket::None, ..Settings::default() });
        assert!(docker.image_of(&json!({ "Image": "sha256:0" })).await.is_err());
    }

    #[tokio::test]
    async fn a_container_whose_mounts_are_not_told_is_not_one_without() {
        let listed = |mounts: Value| -> Summary {
            serde_json::from_value(json!({ "Id": "0", "Names": ["/a"], "Mounts": mounts })).unwrap()
        };
        let silent: Summary = serde_json::from_value(json!({ "Id": "0" })).unwrap();
        assert!(listed(Value::Null).mounts.is_none() && silent.mounts.is_none());
        assert_eq!(listed(json!([])).mounts, Some(vec![]));
        assert_eq!((mounts_of(&json!({})), mounts_of(&json!({ "Mounts": null }))), (None, None));
        assert_eq!(mounts_of(&json!({ "Mounts": [] })), Some(vec![]));
        // it is asked, and here nobody answers
        let docker = Docker::new(Settings { socket: Socket::None, ..Settings::default() });
        assert!(docker.with_mounts(vec![listed(Value::Null)]).await.is_err());
        assert_eq!(docker.with_mounts(vec![listed(json!([]))]).await.unwrap().len(), 1);
    }
}
