//! A pull, and how far it has come.

use std::time::{Duration, Instant};

use crate::tool::{Step, Turn};
use engine::{
    Docker, Pulled,
    image::{Image, Reference},
};
use kernel::failure::Failure;
use rights::scope::Scope;

/// How often a client is told how far it has come.
const TOLD_EVERY: Duration = Duration::from_millis(500);

/// Pulls `reference`, tells how far that has come, and gives the image it has come to be.
pub(super) async fn pull(turn: &Turn, reference: &Reference) -> Result<Image, Failure> {
    let docker = &turn.docker(Scope::DockerDeploy);
    let (mut last, mut step) = (None, (0, Instant::now()));
    let told = |pulled: &Pulled| {
        let (done, of) = pulled.steps();
        if step.0 != done {
            step = (done, Instant::now());
        }
        if last.is_none_or(|last: Instant| last.elapsed() >= TOLD_EVERY) {
            last = Some(Instant::now());
            let done = done as f64 + part_of_a_step(step.1.elapsed());
            turn.tell(Step { done, of: (of > 0).then_some(of as f64), words: pulled.words() });
        }
    };
    turn.pull(docker.pull(reference, told)).await?;
    let gone = || Failure::Refused(format!("Docker has pulled {reference}, and does not list it: look with `images`"));
    image(docker, reference).await?.ok_or_else(gone)
}

/// How much of a step counts as done after this time: always more, and never the whole. A client waits only for what goes on.
fn part_of_a_step(time: Duration) -> f64 {
    let seconds = time.as_secs_f64();
    seconds / (seconds + 60.0)
}

/// The image that is called so.
pub(super) async fn image(docker: &Docker, reference: &Reference) -> Result<Option<Image>, Failure> {
    Ok(docker.images().await?.into_iter().find(|image| image.is(reference)))
}
