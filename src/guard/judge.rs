//! Whether a body passes: by the policy, or because the guard makes the same of what it has looked at itself.

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::{
    Call, Guard, Refusal, answer, pull,
    request::{is_id, is_image, is_name},
    table::{Body, LOOKED_UP, RENAME, STARTS},
};
use engine::{
    model::{Summary, mounts_of},
    policy,
    replace::{self, Replaced, Successor},
    transport,
    volume::Volumes,
};

/// The longest inspection that is read, in bytes.
const LARGEST: usize = 16 << 20;

/// Requests that are looked at at a time, of each kind.
const JUDGED: usize = 4;

/// Requests that are looked at at a time, each with a body and three inspections. What starts a container has places of its own: it ends
/// updates, and waits behind nothing that asks for new containers.
#[derive(Debug)]
pub(super) struct Judging {
    starts: Semaphore,
    others: Semaphore,
}

impl Judging {
    pub(super) fn new() -> Self {
        Self { starts: Semaphore::new(JUDGED), others: Semaphore::new(JUDGED) }
    }

    /// A place, for what starts a container or for anything else. Refused if there is none in time.
    async fn place(&self, is_start: bool) -> Result<SemaphorePermit<'_>, Refusal> {
        let places = if is_start { &self.starts } else { &self.others };
        let place = timeout(LOOKED_UP, places.acquire()).await;
        place.ok().and_then(Result::ok).ok_or_else(|| {
            Refusal::new(503, "docker-guard looks at as many requests as it can at once; try again in a minute")
        })
    }
}

impl Guard {
    /// The body to send in the place of this one: the same, as we read it.
    pub(super) async fn judged(&self, call: &Call, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let parse = || policy::parse(body).map_err(|why| Refusal::forbidden(format!("docker-guard: {why}")));
        pull::check(call, &self.settings.registries)?;
        let is_start = STARTS.contains(&call.row.path);
        if call.row.body == Body::None && call.row.path != RENAME && !is_start {
            return Ok(vec![]);
        }
        let _place = self.judging.place(is_start).await?;
        let body = match call.row.body {
            Body::None if is_start => return self.start(call).await.map(|()| vec![]),
            Body::None => return self.rename(call).await.map(|()| vec![]),
            Body::Create => {
                let body = parse()?;
                self.create(call, &body).await?;
                body
            }
            Body::Connect => {
                let body = parse()?;
                self.connect(call, &body).await?;
                body
            }
        };
        serde_json::to_vec(&body)
            .map_err(|error| Refusal::new(500, format!("docker-guard made no body of it: {error}")))
    }

    /// What is passed on of the Engine's answer: nothing that a registry said, and no container that is another than was judged.
    pub(super) async fn answered(
        &self,
        call: &Call,
        answer: Response<Incoming>,
    ) -> Result<Response<answer::Body>, Refusal> {
        if let Some(image) = &call.pulled {
            return Ok(pull::answer(answer, image, &self.settings.registries).map(answer::body));
        }
        if call.row.body == Body::Create && call.replaced().is_some() && answer.status() == StatusCode::CREATED {
            return self.created(answer).await;
        }
        Ok(answer.map(answer::body))
    }

    /// Removes a new container again that is of another image than was judged: the name of one can come to be another's.
    async fn created(&self, answer: Response<Incoming>) -> Result<Response<answer::Body>, Refusal> {
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LARGEST).collect().await.map_err(|_| self.silent())?.to_bytes();
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        let id = Some(text(&said["Id"])).filter(|id| is_id(id)).ok_or_else(|| self.silent())?;
        let proven = match self.look(&format!("/containers/{id}/json")).await {
            Ok(Some(new)) => self.proven(&new).await,
            Ok(None) => Ok(()),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = proven {
            self.remove(id).await;
            return Err(refusal);
        }
        Ok(Response::from_parts(head, answer::body(Full::new(body))))
    }

    /// Removes a container that has not run. One that stays is not started either.
    async fn remove(&self, id: &str) {
        let request = Request::delete(format!("/containers/{id}?force=true"));
        let Ok(request) = request.body(Empty::<bytes::Bytes>::new()) else { return };
        let removed = timeout(LOOKED_UP, transport::send(&self.settings.docker, request, u64::MAX)).await;
        if !removed.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status().is_success())) {
            tracing::error!(id, "a container of another image than was judged could not be removed; remove it");
        }
    }

    /// A new container asks for nothing beyond the policy, or for what the one has that it replaces.
    async fn create(&self, call: &Call, body: &Value) -> Result<(), Refusal> {
        self.named(call).await?;
        let image = text(&body["Image"]);
        if !is_image(image) {
            return Err(Refusal::forbidden(
                "docker-guard lets no such container be made: Image is no image's name or id",
            ));
        }
        let why = match policy::check(body, &self.settings.binds) {
            Ok(()) => match self.volumes(body).await? {
                None => self.shared(body).await?,
                why => why,
            },
            Err(why) => Some(why),
        };
        let Some(why) = why else { return Ok(()) };
        let Some(replaced) = call.replaced() else {
            return Err(Refusal::forbidden(format!("docker-guard lets no such container be made: {why}")));
        };
        let replacement = self.replacement(&replaced, image).await?;
        if replacement.successor.create != *body {
            return Err(Refusal::forbidden(format!(
                "docker-guard lets no such container be made: {why}, and in the rest it is not as {} is now",
                replaced.name
            )));
        }
        match self.beyond(body, &replacement.new_image).await? {
            Some(_) => self.may_run(&replaced.name, &replacement, image),
            None => Ok(()),
        }
    }

    /// What such a container, made of this image, has beyond the policy and what every container has.
    async fn beyond(&self, body: &Value, image: &Value) -> Result<Option<String>, Refusal> {
        match policy::check_successor(body, image, &self.settings.binds) {
            Ok(()) => self.volumes(body).await,
            Err(why) => Ok(Some(why)),
        }
    }

    /// Refuses an image for a container that may do more than a new one may.
    fn may_run(&self, name: &str, of: &Replacement, image: &str) -> Result<(), Refusal> {
        let no =
            |why: &str| Refusal::forbidden(format!("docker-guard: {name} may do more than a new container, and {why}"));
        if !self.settings.update_privileged {
            return Err(no("this docker-guard lets no such container be replaced (--update-privileged would)"));
        }
        replace::may_run(&of.old, &of.old_image, &of.new_image, image, &self.settings.registries)
            .map_err(|why| no(&why))
    }

    /// A container that is to replace another is started only if it is what was let through.
    async fn start(&self, call: &Call) -> Result<(), Refusal> {
        let id = call.subject.as_deref().unwrap_or_default();
        // what is not there the Engine says itself
        let Some(inspect) = self.look(&format!("/containers/{id}/json")).await? else { return Ok(()) };
        self.proven(&inspect).await
    }

    /// Refuses a container, called as one that is to replace another, whose image is not one that could have been let through: the name
    /// that the create had may have come to be another image's before the Engine looked for it.
    async fn proven(&self, new: &Value) -> Result<(), Refusal> {
        let Some(replaced) = Replaced::by(name_of(new)) else { return Ok(()) };
        let image = text(&new["Config"]["Image"]);
        let new_image = self.image(text(&new["Image"])).await?;
        let again = replace::recreate(new, &new_image, &new_image, image).create;
        if self.beyond(&again, &new_image).await?.is_none() {
            return Ok(());
        }
        let no = |why: &str| {
            Refusal::forbidden(format!("docker-guard: {} is not to replace {}: {why}", name_of(new), replaced.name))
        };
        let old = match self.look(&format!("/containers/{}/json", replaced.old_name())).await? {
            Some(old) if text(&old["Id"]).starts_with(&replaced.short_id) && name_of(&old) == replaced.old_name() => {
                old
            }
            _ => self.replaced(&replaced).await?,
        };
        let old_image = self.image(text(&old["Image"])).await?;
        if new_image.is_null() {
            return Err(no("its image is gone"));
        }
        let successor = replace::recreate(&old, &old_image, &new_image, image);
        self.may_run(&replaced.name, &Replacement { old, old_image, new_image, successor }, image)
    }

    /// The names of an update are for what replaces a container that is there.
    async fn named(&self, call: &Call) -> Result<(), Refusal> {
        let name = call.value("name").unwrap_or_default();
        if !replace::is_reserved(name) {
            return Ok(());
        }
        let no =
            || Refusal::forbidden("docker-guard: this name is for what replaces a container, and none is replaced");
        let replaced = call.replaced().filter(|replaced| is_name(&replaced.name)).ok_or_else(no)?;
        let inspect = self.look(&format!("/containers/{}/json", replaced.name)).await?.ok_or_else(no)?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if replaced.is(&text(&inspect["Id"]), &text(&inspect["Name"])) { Ok(()) } else { Err(no()) }
    }

    /// A further network is for a container that replaces one which was in it, in the same place there.
    async fn connect(&self, call: &Call, body: &Value) -> Result<(), Refusal> {
        let no = || Refusal::forbidden("docker-guard: a network is joined as the container was in it that is replaced");
        let fields = body.as_object().ok_or_else(no)?;
        let (Some(container), Some(endpoint), 2) =
            (fields.get("Container").and_then(Value::as_str), fields.get("EndpointConfig"), fields.len())
        else {
            return Err(no());
        };
        if !is_id(container) {
            return Err(no());
        }
        let new = self.look(&format!("/containers/{container}/json")).await?.ok_or_else(no)?;
        let replaced =
            new["Name"].as_str().and_then(|name| Replaced::by(name.trim_start_matches('/'))).ok_or_else(no)?;
        let image = new["Config"]["Image"].as_str().unwrap_or_default();
        let successor = self.replacement(&replaced, image).await?.successor;
        let network = call.subject.as_deref().unwrap_or_default();
        let is_same = |(name, place): &(String, Value)| name == network && place == endpoint;
        if successor.connect.iter().any(is_same) { Ok(()) } else { Err(no()) }
    }

    /// Why one of the volumes that a body names is not to be given.
    async fn volumes(&self, body: &Value) -> Result<Option<String>, Refusal> {
        let wanted = policy::volumes(body);
        if wanted.is_empty() {
            return Ok(None);
        }
        // whoever had the guard's own would have its socket, and speak to it as the server does
        let own = self.own_volumes().await?;
        if let Some(name) = wanted.iter().find(|name| own.iter().any(|own| own == *name)) {
            return Ok(Some(format!("the volume {name} is that of docker-guard itself")));
        }
        // silence is no list: every volume there is has to be told
        let there = self.look("/volumes").await?.filter(Value::is_object);
        let there = there.and_then(|list| serde_json::from_value::<Volumes>(list).ok());
        let there = there.ok_or_else(|| self.silent())?.volumes;
        let named = there.iter().filter(|volume| wanted.contains(&volume.name.as_str()));
        Ok(named.filter_map(|volume| volume.refused(&self.settings.binds)).next())
    }

    /// Why one of the volumes that a body names is not to be given to a new container: one that has more is using it, and may execute what
    /// is in there.
    async fn shared(&self, body: &Value) -> Result<Option<String>, Refusal> {
        let wanted = policy::volumes(body);
        if wanted.is_empty() {
            return Ok(None);
        }
        let all = self.look("/containers/json?all=1").await?;
        let all: Vec<Summary> = all.and_then(|all| serde_json::from_value(all).ok()).ok_or_else(|| self.silent())?;
        for mut one in all {
            if one.mounts.is_none() {
                // Podman before 4.0 tells no container's here
                let Some(inspect) = self.look(&format!("/containers/{}/json", one.id)).await? else { continue };
                one.mounts = Some(mounts_of(&inspect).ok_or_else(|| self.silent())?);
            }
            let Some(volume) = one.volumes().find(|name| wanted.contains(name)) else { continue };
            let Some(inspect) = self.look(&format!("/containers/{}/json", one.id)).await? else { continue };
            let image = self.image(text(&inspect["Image"])).await?;
            let again = replace::recreate(&inspect, &image, &image, text(&inspect["Config"]["Image"])).create;
            if self.beyond(&again, &image).await?.is_some() {
                return Ok(Some(format!("the volume {volume} is that of a container that may do more than a new one")));
            }
        }
        Ok(None)
    }

    /// The volumes of the container that the guard runs in.
    async fn own_volumes(&self) -> Result<Vec<String>, Refusal> {
        let Some(own) = &self.settings.own else { return Ok(vec![]) };
        let Some(inspect) = self.look(&format!("/containers/{own}/json")).await? else { return Ok(vec![]) };
        let mounts = inspect["Mounts"].as_array().ok_or_else(|| self.silent())?;
        let names = mounts.iter().filter(|mount| mount["Type"] == "volume").filter_map(|mount| mount["Name"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    /// A name is given only as containers exchange theirs when one replaces another.
    async fn rename(&self, call: &Call) -> Result<(), Refusal> {
        let no = || Refusal::forbidden("docker-guard: a container is called otherwise only when it replaces another");
        let id = call.subject.as_deref().unwrap_or_default();
        let inspect = self.look(&format!("/containers/{id}/json")).await?;
        let inspect = inspect.ok_or_else(|| Refusal::new(404, format!("No such container: {id}")))?;
        if inspect["Id"] != id || !replace::may_rename(id, name_of(&inspect), call.value("name").unwrap_or_default()) {
            return Err(no());
        }
        self.proven(&inspect).await
    }

    /// What would replace that container by this image, made of what the Engine says of both now.
    async fn replacement(&self, replaced: &Replaced, image: &str) -> Result<Replacement, Refusal> {
        if !is_name(&replaced.name) || !is_image(image) {
            return Err(kept(replaced, "it, or the image, has no name to go by"));
        }
        let old = self.replaced(replaced).await?;
        let old_image = self.image(text(&old["Image"])).await?;
        let new_image = self.look(&format!("/images/{image}/json")).await?;
        let new_image = new_image.ok_or_else(|| kept(replaced, "the image is not there"))?;
        let successor = replace::recreate(&old, &old_image, &new_image, image);
        Ok(Replacement { old, old_image, new_image, successor })
    }

    /// The container that is to be replaced, as the Engine shows it.
    async fn replaced(&self, replaced: &Replaced) -> Result<Value, Refusal> {
        let inspect = self.look(&format!("/containers/{}/json", replaced.name)).await?;
        let inspect = inspect.ok_or_else(|| kept(replaced, "it is not there"))?;
        // the Engine may have found it by the beginning of an id
        if !replaced.is(text(&inspect["Id"]), text(&inspect["Name"])) {
            return Err(kept(replaced, "it is another than the name says"));
        }
        match replace::refused(&inspect) {
            Some(why) => Err(kept(replaced, why)),
            None => Ok(inspect),
        }
    }

    /// The image with this id; null if it is gone.
    async fn image(&self, id: &str) -> Result<Value, Refusal> {
        let image = if is_image(id) { self.look(&format!("/images/{id}/json")).await? } else { None };
        Ok(image.unwrap_or_default())
    }

    /// What the Engine says of one thing; `None` if it does not have it.
    async fn look(&self, path: &str) -> Result<Option<Value>, Refusal> {
        let away = || self.silent();
        let request = Request::get(path).body(Empty::<bytes::Bytes>::new()).map_err(|_| away())?;
        let look = async {
            let answer = transport::send(&self.settings.docker, request, u64::MAX).await.map_err(|_| away())?;
            match answer.status() {
                StatusCode::NOT_FOUND => return Ok(None),
                StatusCode::OK => (),
                _ => return Err(away()),
            }
            let body = Limited::new(answer.into_body(), LARGEST).collect().await.map_err(|_| away())?;
            serde_json::from_slice(&body.to_bytes()).map(Some).map_err(|_| away())
        };
        timeout(LOOKED_UP, look).await.unwrap_or_else(|_| Err(away()))
    }

    fn silent(&self) -> Refusal {
        let socket = self.settings.docker.display();
        Refusal::new(502, format!("the Docker Engine at {socket} does not say what docker-guard has to know"))
    }
}

/// A container, and what would replace it.
struct Replacement {
    old: Value,
    /// Null if it is gone.
    old_image: Value,
    new_image: Value,
    successor: Successor,
}

fn kept(replaced: &Replaced, why: &str) -> Refusal {
    Refusal::forbidden(format!("docker-guard: {} is not to be replaced: {why}", replaced.name))
}

fn name_of(inspect: &Value) -> &str {
    text(&inspect["Name"]).trim_start_matches('/')
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_start_waits_behind_no_new_container_and_nothing_waits_without_an_end() {
        let judging = Judging::new();
        let _creates = judging.others.acquire_many(JUDGED as u32).await.unwrap();
        let start = judging.place(true).await.unwrap();
        assert_eq!(judging.place(false).await.unwrap_err().status, 503);
        let _starts = judging.starts.acquire_many(JUDGED as u32 - 1).await.unwrap();
        assert_eq!(judging.place(true).await.unwrap_err().status, 503);
        drop(start);
        drop(judging.place(true).await.unwrap());
    }
}
