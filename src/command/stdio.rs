//! `stdio`: one client at the other end of the pipes that started this process, such as `ssh HOST systemmanager-mcp stdio`.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use rmcp::ServiceExt;
use tokio_util::sync::CancellationToken;

use super::{Error, end, machinery::Machinery, repair::repair_forever};
use crate::{
    config::{DEFAULT_FILE, Environment, Settings, Source},
    server::{Server, pipe::Pipe},
};
use auth::Caller;
use facts::host::First;
use rights::grant::Grants;

/// How long a call that acts may go on when its client is gone.
const ENDS_WITHIN: Duration = Duration::from_secs(60);

/// Serves standard input and output until the client closes them.
pub(super) async fn run(source: &Source, environment: &Environment, grants: Grants) -> Result<(), Error> {
    let settings = Settings::of(source, Path::new(DEFAULT_FILE), environment)?;
    super::log::start(settings.log);
    let gate = Machinery::open(&settings, First::Waits)?.gate;
    let sampling = tokio::spawn({
        let gate = std::sync::Arc::clone(&gate);
        async move {
            let host = gate.host();
            tokio::join!(host.sample_forever(), gate.sweep_forever())
        }
    });
    let repairing = tokio::spawn(repair_forever(std::sync::Arc::clone(&gate)));
    let stop = CancellationToken::new();
    let ending = tokio::spawn(end(stop.clone())?);
    let server = Server::over_stdio(std::sync::Arc::clone(&gate), Caller::stdio(grants));
    let serving = async {
        match server.serve(Pipe::new(tokio::io::stdin(), tokio::io::stdout())).await {
            Ok(service) => drop(service.waiting().await),
            // the client went before it said what it wanted: nothing is wrong here
            Err(error) => tracing::debug!(%error, "no session"),
        }
    };
    tokio::select! {
        () = serving => (),
        () = stop.cancelled() => (),
    }
    // the client may close its end while something it asked for is half done: that is still done whole
    tokio::select! {
        () = gate.rest() => (),
        () = stop.cancelled() => (),
        () = tokio::time::sleep(ENDS_WITHIN) => (),
    }
    super::say_cut_off(&gate);
    ending.abort();
    sampling.abort();
    repairing.abort();
    gate.audit().finish(SystemTime::now()).map_err(Error::other)
}
