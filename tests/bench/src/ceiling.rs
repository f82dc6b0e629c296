//! The ceiling: the server's stack (rmcp on hyper on tokio, mimalloc, the same settings) answering constants. No credentials, no audit,
//! no limits, no machine: what is left is what any server on this stack pays.
//!
//! `ceiling FILE`, where FILE is a JSON object of tool name → result of tools/call. Prints the address it listens on.

use std::{cell::Cell, collections::HashMap, convert::Infallible, sync::Arc, time::Duration, time::Instant};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ServerCapabilities,
        ServerConfig,
    },
    service::RequestContext,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::never::NeverSessionManager,
    },
};
use serde_json::Value;
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

struct Answer {
    text: String,
    structured: Value,
}

#[derive(Clone)]
struct Server(Arc<HashMap<String, Answer>>);

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new("ceiling", "0.0.0"))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let answer = self.0.get(&*request.name).ok_or_else(|| ErrorData::invalid_params("no such tool", None))?;
        // rmcp takes an answer by value: these two copies are part of the stack's price
        let mut result = CallToolResult::success(vec![ContentBlock::text(answer.text.clone())]);
        result.structured_content = Some(answer.structured.clone());
        Ok(result.into())
    }
}

fn main() {
    let file = std::env::args_os().nth(1).expect("usage: ceiling FILE");
    let results: HashMap<String, Value> =
        serde_json::from_slice(&std::fs::read(file).expect("the file of answers")).expect("JSON");
    let answers = results.into_iter().map(|(tool, result)| {
        let text = result["content"][0]["text"].as_str().expect("a text").to_owned();
        (tool, Answer { text, structured: result["structuredContent"].clone() })
    });
    let server = Server(Arc::new(answers.collect()));
    // as in command.rs of the server
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .on_thread_park(collect)
        .build()
        .expect("a runtime")
        .block_on(serve(server));
}

async fn serve(server: Server) {
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        .disable_allowed_hosts()
        .disable_allowed_origins();
    let mcp = StreamableHttpService::new(move || Ok(server.clone()), Arc::new(NeverSessionManager::default()), config);
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("{}", socket.local_addr().expect("its address"));
    loop {
        let Ok((stream, _)) = socket.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let mcp = mcp.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| async { Ok::<_, Infallible>(mcp.handle(request).await) });
            let serving = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(None)
                .max_buf_size(64 << 10)
                .serve_connection(TokioIo::new(stream), service);
            let _ = serving.await;
        });
    }
}

/// As in main.rs of the server: memory is given back when a worker has nothing to do.
fn collect() {
    thread_local! {
        static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    }
    if LAST.get().is_none_or(|last| last.elapsed() > Duration::from_millis(500)) {
        LAST.set(Some(Instant::now()));
        // SAFETY: takes no pointer and frees nothing that is in use; mimalloc allows it on any thread at any time
        unsafe { libmimalloc_sys::mi_collect(true) }
    }
}
