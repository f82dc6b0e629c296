//! Where a long reading goes on.

use std::{sync::Arc, time::Duration};

use crate::tool::Turn;
use facts::host::Machine;
use kernel::failure::Failure;
use lanes::lane::Lane;
use search::patience::Patience;

/// How long a reading may keep a place among those that take a moment.
const MOMENT: Duration = Duration::from_millis(100);

/// Reads for a moment, in the call's own lane. What takes longer begins again among the long readings, for `most` then: however many of
/// those there are, short ones find places.
pub(crate) async fn read<T: Send + 'static>(
    turn: &Turn,
    most: Duration,
    read: impl Fn(&Machine, &Patience) -> Result<T, Failure> + Send + Sync + 'static,
) -> Result<T, Failure> {
    let (read, short) = (Arc::new(read), Patience::of(MOMENT.min(most), turn.stop()));
    let first = Arc::clone(&read);
    let begun = turn.read(move |machine| {
        let report = first(machine, &short)?;
        // it may lack what there was no time for
        Ok((!short.is_over()).then_some(report))
    });
    if let Some(report) = begun.await? {
        return Ok(report);
    }
    turn.move_to(Lane::Bulk).await?;
    let long = Patience::of(turn.time(most), turn.stop());
    turn.read(move |machine| read(machine, &long)).await
}
