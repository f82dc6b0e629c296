//! Whether a body passes: by the policy, or because the guard makes the same of what it has looked at itself.

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    Call, Guard, Refusal, answer, pull,
    request::{is_id, is_image, is_name},
    table::{Body, LOOKED_UP, RENAME},
};
use crate::docker::{
    policy,
    replace::{self, Replaced, Successor},
    transport,
    volume::Volumes,
};

/// The longest inspection that is read, in bytes.
const LARGEST: usize = 16 << 20;

impl Guard {
    /// The body to send in the place of this one: the same, as we read it.
    pub(super) async fn judged(&self, call: &Call, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let parse = || policy::parse(body).map_err(|why| Refusal::forbidden(format!("docker-guard: {why}")));
        pull::check(call, &self.settings.registries)?;
        if call.row.body == Body::None && call.row.path != RENAME {
            return Ok(vec![]);
        }
        // each may hold a body and three inspections
        let _place = self.judging.acquire().await;
        let body = match call.row.body {
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

    /// What is passed on of the Engine's answer: nothing that a registry said.
    pub(super) fn answered(&self, call: &Call, answer: Response<Incoming>) -> Response<answer::Body> {
        match &call.pulled {
            Some(image) => pull::answer(answer, image, &self.settings.registries).map(answer::body),
            None => answer.map(answer::body),
        }
    }

    /// A new container asks for nothing beyond the policy, or for what the one has that it replaces.
    async fn create(&self, call: &Call, body: &Value) -> Result<(), Refusal> {
        self.named(call).await?;
        let image = body["Image"].as_str().unwrap_or_default();
        if !is_image(image) {
            return Err(Refusal::forbidden(
                "docker-guard lets no such container be made: Image is no image's name or id",
            ));
        }
        let why = match policy::check(body, &self.settings.binds) {
            Ok(()) => self.volumes(body).await?,
            Err(why) => Some(why),
        };
        let Some(why) = why else { return Ok(()) };
        let Some(replaced) = call.replaced() else {
            return Err(Refusal::forbidden(format!("docker-guard lets no such container be made: {why}")));
        };
        let (successor, old_image) = self.successor(&replaced, image).await?;
        let name = &replaced.name;
        if successor.create == *body {
            let is_plain = policy::check_successor(body, &self.settings.binds).is_ok();
            if replace::may_run(&old_image, image) || is_plain && self.volumes(body).await?.is_none() {
                return Ok(());
            }
            return Err(Refusal::forbidden(format!(
                "docker-guard: {name} may do more than a new container ({why}), so it is replaced only by one of the same repository"
            )));
        }
        Err(Refusal::forbidden(format!(
            "docker-guard lets no such container be made: {why}, and in the rest it is not as {name} is now"
        )))
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
        let (successor, _) = self.successor(&replaced, image).await?;
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
        let name = inspect["Name"].as_str().unwrap_or_default().trim_start_matches('/');
        if inspect["Id"] == id && replace::may_rename(id, name, call.value("name").unwrap_or_default()) {
            Ok(())
        } else {
            Err(no())
        }
    }

    /// What would replace that container, made of what the Engine says of it now; and the image that it is made of, by name.
    async fn successor(&self, replaced: &Replaced, image: &str) -> Result<(Successor, String), Refusal> {
        let no =
            |why: &str| Refusal::forbidden(format!("docker-guard: {} is not to be replaced: {why}", replaced.name));
        if !is_name(&replaced.name) || !is_image(image) {
            return Err(no("it, or the image, has no name to go by"));
        }
        let inspect = self.look(&format!("/containers/{}/json", replaced.name)).await?;
        let inspect = inspect.ok_or_else(|| no("it is not there"))?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        // the Engine may have found it by the beginning of an id
        if !replaced.is(&text(&inspect["Id"]), &text(&inspect["Name"])) {
            return Err(no("it is another than the name says"));
        }
        if let Some(why) = replace::refused(&inspect) {
            return Err(no(why));
        }
        let old_image = text(&inspect["Image"]);
        let old_image =
            if is_image(&old_image) { self.look(&format!("/images/{old_image}/json")).await? } else { None };
        let new_image =
            self.look(&format!("/images/{image}/json")).await?.ok_or_else(|| no("the image is not there"))?;
        let successor = replace::recreate(&inspect, &old_image.unwrap_or(Value::Null), &new_image, image);
        Ok((successor, text(&inspect["Config"]["Image"])))
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
