//! The MCP face: discover and initialize, the list, the calls. Both eras, over HTTP and stdio.

mod connections;
pub mod http;
mod instructions;
pub mod listen;
pub mod pipe;

use std::{
    net::IpAddr,
    pin::pin,
    sync::{Arc, OnceLock},
};

use ::http::request::Parts;
use bytes::Bytes;

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, CompleteRequestParams, CompleteResult,
        ContentBlock, DiscoverResult, ErrorCode, Implementation, InitializeRequestParams, InitializeResult, JsonObject,
        ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, NumberOrString,
        PaginatedRequestParams, ProgressNotificationParam, ReadResourceRequestParams, ReadResourceResponse,
        ServerCapabilities, ServerConfig, Tool,
    },
    service::RequestContext,
};
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    audit::{Client, RequestId},
    gate::{Call, Gate, Refusal},
};
use auth::Caller;
use kernel::failure::Failure;
use tools::tool::Step;

/// The code of an error that ends by itself: JSON-RPC leaves those from here to -32099 to servers.
const NOT_NOW: ErrorCode = ErrorCode(-32000);

/// The face one caller sees. A request over HTTP brings its caller with it; over stdio there is one for all.
#[derive(Clone, Debug)]
pub struct Server {
    gate: Arc<Gate>,
    caller: Option<Arc<Caller>>,
}

/// Who a request comes from: put into it by [`http`] once the credentials were checked.
#[derive(Clone, Debug)]
pub struct Sender {
    /// The caller.
    pub caller: Arc<Caller>,
    /// The address it came from.
    pub peer: IpAddr,
    /// Where to leave what was written before, for who writes the answer; the answer itself then has an empty list in its place.
    pub written: Option<Arc<OnceLock<Written>>>,
}

/// A part of a result that was written once, for many answers.
#[derive(Clone, Debug)]
pub struct Written {
    /// The key behind which it stands.
    pub key: &'static str,
    /// It, in JSON.
    pub json: Bytes,
}

impl Server {
    /// A face whose every request must bring its [`Sender`].
    pub fn over_http(gate: Arc<Gate>) -> Self {
        Self { gate, caller: None }
    }

    /// A face for the one caller at the other end of a pipe.
    pub fn over_stdio(gate: Arc<Gate>, caller: Caller) -> Self {
        Self { gate, caller: Some(Arc::new(caller)) }
    }

    fn sender(&self, context: &RequestContext<RoleServer>) -> Result<(Arc<Caller>, Option<IpAddr>), ErrorData> {
        if let Some(caller) = &self.caller {
            return Ok((Arc::clone(caller), None));
        }
        // http.rs lets nothing through without one; if it ever did, this is where it ends
        let sender = sent(context).ok_or_else(|| ErrorData::internal_error("internal error", None))?;
        Ok((Arc::clone(&sender.caller), Some(sender.peer)))
    }
}

impl ServerHandler for Server {
    /// What is said where no caller is known: rmcp itself asks for it, with every request.
    fn get_info(&self) -> ServerConfig {
        own(ServerCapabilities::builder().enable_tools().build())
    }

    async fn initialize(
        &self,
        request: InitializeRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<InitializeResult, ErrorData> {
        let (caller, _) = self.sender(&context)?;
        context.peer.set_peer_info(request.clone());
        let announced = announced(&caller, &self.gate);
        let mut info = self.negotiate_initialize(&request)?;
        (info.capabilities, info.instructions) = (announced.capabilities, announced.instructions);
        Ok(info)
    }

    async fn discover(&self, context: RequestContext<RoleServer>) -> Result<DiscoverResult, ErrorData> {
        let (caller, _) = self.sender(&context)?;
        let versions = ServerHandler::supported_protocol_versions(self).into_owned();
        Ok(DiscoverResult::from_server_info(versions, announced(&caller, &self.gate)))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let _ = name;
        None
    }

    async fn list_tools(
        &self,
        page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        one_page(page.as_ref())?;
        let (caller, peer) = self.sender(&context)?;
        let client = client(&context, peer);
        let call = Call {
            tool: "tools/list",
            arguments: JsonObject::default(),
            caller: &caller,
            peer,
            client: client.as_ref().map(named),
            request: Some(id(&context)),
            steps: None,
        };
        let listed = self
            .gate
            .list(&call, context.ct.cancelled())
            .await
            .map_err(|failure| ErrorData::new(NOT_NOW, format!("{}: {failure}", failure.kind()), None))?;
        let is_written = leave(&context, "tools", &listed.json);
        let tools = if is_written { vec![] } else { listed.tools.clone() };
        Ok(ListToolsResult::with_all_items(tools).with_ttl_ms(60_000).with_cache_scope(CacheScope::Private))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let (caller, peer) = self.sender(&context)?;
        let client = client(&context, peer);
        let (steps, told) = match context.meta.get_progress_token() {
            Some(_) => {
                let (steps, told) = mpsc::channel(16);
                (Some(steps), Some(told))
            }
            None => (None, None),
        };
        let has_steps = steps.is_some();
        let call = Call {
            tool: &request.name,
            arguments: request.arguments.unwrap_or_default(),
            caller: &caller,
            peer,
            client: client.as_ref().map(named),
            request: Some(id(&context)),
            steps,
        };
        let (mut calling, mut telling) =
            (pin!(self.gate.call(call, context.ct.cancelled())), pin!(tell(&context, told)));
        let result = tokio::select! {
            result = &mut calling => result,
            () = &mut telling => calling.await,
        };
        match result {
            // an answer that steps came before is one of several messages
            Ok(answer) if !has_steps && leave(&context, "content", answer.written()) => {
                Ok(CallToolResult::success(vec![]).into())
            }
            Ok(answer) => {
                let mut result = CallToolResult::success(vec![ContentBlock::text(answer.text.clone())]);
                result.structured_content = Some(answer.structured.clone());
                Ok(result.into())
            }
            Err(Refusal::NoSuchTool) => {
                let name = redact::clean(&request.name, 64);
                Err(ErrorData::invalid_params(format!("there is no tool {name:?} for these credentials"), None))
            }
            Err(Refusal::Failed(failure)) => Ok(refused(&failure).into()),
        }
    }

    async fn list_prompts(
        &self,
        page: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        one_page(page.as_ref())?;
        Ok(ListPromptsResult::default().with_ttl_ms(60_000).with_cache_scope(CacheScope::Private))
    }

    async fn list_resources(
        &self,
        page: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        one_page(page.as_ref())?;
        Ok(ListResourcesResult::default().with_ttl_ms(60_000).with_cache_scope(CacheScope::Private))
    }

    async fn list_resource_templates(
        &self,
        page: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        one_page(page.as_ref())?;
        Ok(ListResourceTemplatesResult::default().with_ttl_ms(60_000).with_cache_scope(CacheScope::Private))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let uri = redact::clean(&request.uri, 200);
        // the protocol wants the address back as it came; one that is longer than any honest one is not worth the bytes
        let data = (request.uri.len() <= 2_000).then(|| json!({ "uri": request.uri }));
        Err(ErrorData::resource_not_found(format!("there is no resource {uri:?}"), data))
    }

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Ok(CompleteResult::default())
    }
}

/// What a caller is told of the server before it asks anything. Nothing is announced that is empty for it: clients would show menus without
/// entries.
fn announced(caller: &Caller, gate: &Gate) -> ServerConfig {
    let tools: Vec<_> = gate.visible(caller).collect();
    let capabilities = match tools.is_empty() {
        true => ServerCapabilities::default(),
        false => ServerCapabilities::builder().enable_tools().build(),
    };
    own(capabilities).with_instructions(instructions::of(&tools, &caller.grants))
}

/// What this server is.
fn own(capabilities: ServerCapabilities) -> ServerConfig {
    let own = Implementation::new(env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")).with_title("System Manager");
    ServerConfig::new(capabilities).with_server_info(own)
}

/// What the client of a request says it is.
fn client(context: &RequestContext<RoleServer>, peer: Option<IpAddr>) -> Option<Implementation> {
    context.meta.client_info().or_else(|| match peer {
        None => context.client_info(),
        Some(_) => None, // without a session rmcp only has a filler
    })
}

fn named(client: &Implementation) -> Client<'_> {
    Client { name: &client.name, version: &client.version }
}

/// The JSON-RPC id of a request.
fn id(context: &RequestContext<RoleServer>) -> RequestId {
    match &context.id {
        NumberOrString::Number(number) => RequestId::Number(*number),
        NumberOrString::String(text) => RequestId::Text(text.to_string()),
    }
}

/// Leaves what was written before for who writes the answer. `false`: nobody takes it.
fn leave(context: &RequestContext<RoleServer>, key: &'static str, json: &Bytes) -> bool {
    let place = sent(context).and_then(|sender| sender.written.as_ref());
    place.is_some_and(|place| place.set(Written { key, json: json.clone() }).is_ok())
}

/// Who a request over HTTP comes from.
fn sent(context: &RequestContext<RoleServer>) -> Option<&Sender> {
    context.extensions.get::<Parts>().and_then(|parts| parts.extensions.get::<Sender>())
}

/// Tells the client how far its call has come, until it has ended.
async fn tell(context: &RequestContext<RoleServer>, told: Option<mpsc::Receiver<Step>>) {
    let (Some(mut told), Some(token)) = (told, context.meta.get_progress_token()) else { return };
    let mut done = f64::NEG_INFINITY;
    while let Some(step) = told.recv().await {
        // the protocol wants it to grow
        if step.done <= done {
            continue;
        }
        done = step.done;
        let words = redact::clean(&redact::redact_line(&step.words), 200).into_owned();
        let mut progress = ProgressNotificationParam::new(token.clone(), step.done).with_message(words);
        progress.total = step.of;
        // a client that is gone is noticed elsewhere
        let _ = context.peer.notify_progress(progress).await;
    }
}

/// Every list of ours is one page, so that any cursor is a wrong one.
fn one_page(page: Option<&PaginatedRequestParams>) -> Result<(), ErrorData> {
    match page.and_then(|page| page.cursor.as_ref()) {
        None => Ok(()),
        Some(_) => Err(ErrorData::invalid_params("this list is one page and has no such cursor", None)),
    }
}

/// Words only: some clients hold `structuredContent` to the output schema even when `isError` is set, and would hide the failure
/// behind a schema error.
fn refused(failure: &Failure) -> CallToolResult {
    let message = format!("{}: {failure}", failure.kind());
    CallToolResult::error(vec![ContentBlock::text(redact::clean(&redact::redact_line(&message), 2_000).into_owned())])
}
