//! Whether a body passes: by the policy, or because the guard makes the same of what it has looked at itself.

use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use serde_json::Value;
use tokio::time::timeout;

use super::{
    Call, Guard, Refusal,
    request::{is_id, is_image, is_name},
    table::{Body, LOOKED_UP},
};
use crate::docker::{
    policy,
    replace::{self, Replaced, Successor},
    transport,
};

/// The longest inspection that is read, in bytes.
const LARGEST: usize = 16 << 20;

impl Guard {
    /// The body to send in the place of this one: the same, as we read it.
    pub(super) async fn judged(&self, call: &Call, body: &[u8]) -> Result<Vec<u8>, Refusal> {
        let parse = || policy::parse(body).map_err(|why| Refusal::forbidden(format!("docker-guard: {why}")));
        let body = match call.row.body {
            Body::None => return Ok(vec![]),
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

    /// A new container asks for nothing beyond the policy, or for what the one has that it replaces.
    async fn create(&self, call: &Call, body: &Value) -> Result<(), Refusal> {
        let Err(why) = policy::check(body, &self.settings.binds) else { return Ok(()) };
        let Some(replaced) = call.replaced() else {
            return Err(Refusal::forbidden(format!("docker-guard lets no such container be made: {why}")));
        };
        let image = body["Image"].as_str().unwrap_or_default();
        let successor = self.successor(&replaced, image).await?;
        if successor.create == *body {
            return Ok(());
        }
        let name = &replaced.name;
        Err(Refusal::forbidden(format!(
            "docker-guard lets no such container be made: {why}, and in the rest it is not as {name} is now"
        )))
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
        let successor = self.successor(&replaced, image).await?;
        let network = call.subject.as_deref().unwrap_or_default();
        let is_same = |(name, place): &(String, Value)| name == network && place == endpoint;
        if successor.connect.iter().any(is_same) { Ok(()) } else { Err(no()) }
    }

    /// What would replace that container, made of what the Engine says of it now.
    async fn successor(&self, replaced: &Replaced, image: &str) -> Result<Successor, Refusal> {
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
        Ok(replace::recreate(&inspect, &old_image.unwrap_or(Value::Null), &new_image, image))
    }

    /// What the Engine says of one thing; `None` if it does not have it.
    async fn look(&self, path: &str) -> Result<Option<Value>, Refusal> {
        let away = || {
            let socket = self.settings.docker.display();
            Refusal::new(502, format!("the Docker Engine at {socket} does not say what docker-guard has to know"))
        };
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
}
