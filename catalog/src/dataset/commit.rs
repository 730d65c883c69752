//! The commit protocol: the next version of a dataset is whatever object is created first under its key.
//!
//! A writer that comes second reads what the first one wrote and tries the version after that, if its change still
//! makes sense there. Nobody waits for anybody, no lock is held, and a writer that dies leaves nothing half-done.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use skein_model::Version;
use skein_storage::PutNew;

use super::{
    Dataset,
    change::{Change, Committed, Prepared, Proposal},
};
use crate::{
    Actor, Error, Result, Snapshot, crash,
    log::{self, Delta},
    persisted,
};

/// How often a commit is tried before it gives up: other writers got there first each time.
const ATTEMPTS: u32 = 100;
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn commit(dataset: &Dataset, change: Change, actor: &Actor) -> Result<Committed> {
    propose(dataset, &Proposal::new(change, actor, dataset.name().to_string())?).await
}

/// See [`Dataset::give_up`].
pub(super) async fn collect(dataset: &Dataset, before: DateTime<Utc>, actor: &Actor) -> Result<Committed> {
    propose(dataset, &Proposal::collection(before, actor, dataset.name().to_string())?).await
}

/// See [`Dataset::expire`].
pub(super) async fn expire(dataset: &Dataset, up_to: Version, actor: &Actor) -> Result<Committed> {
    propose(dataset, &Proposal::expiry(up_to, actor, dataset.name().to_string())?).await
}

/// Commits in the order of those who ask.
pub(super) async fn propose(dataset: &Dataset, proposal: &Proposal<'_>) -> Result<Committed> {
    let shared = &dataset.shared;
    let _turn = shared.turn_to_commit().await?;
    match place(dataset, proposal).await? {
        Placed::New { delta, snapshot } => {
            shared.adopt(*delta, Arc::clone(&snapshot));
            shared.checkpoint_if_due();
            tracing::debug!(dataset = %dataset.id(), version = snapshot.version, "committed");
            Ok(Committed { version: snapshot.version, snapshot, duplicate: false })
        }
        Placed::Duplicate(version) => {
            let snapshot = dataset.version_of_log(version).await?;
            Ok(Committed { version, snapshot, duplicate: true })
        }
    }
}

/// What became of an attempt to make the next version.
pub(super) enum Placed {
    /// It is in the bucket.
    New { delta: Box<Delta>, snapshot: Arc<Snapshot> },
    /// The idempotency key was in this version already.
    Duplicate(Version),
}

/// Creates the next version, on top of whatever others create first. To be called by whoever has the turn to commit. From the
/// moment the version exists nothing in here can fail, or the caller would take the commit for failed and delete its files.
pub(super) async fn place(dataset: &Dataset, proposal: &Proposal<'_>) -> Result<Placed> {
    let shared = &dataset.shared;
    shared.bucket().writable()?;
    // What is known may be out of date. The create finds that out; only a refusal must not rest on old knowledge.
    let mut up_to_date = !shared.is_loaded();
    if up_to_date {
        shared.catch_up().await?;
    }
    for attempt in 0..ATTEMPTS {
        let now = shared.clock().now();
        let (delta, snapshot) = match shared.with(|state| proposal.prepare(state, now))? {
            Ok(Prepared::Next(delta, next)) => (delta, next),
            Ok(Prepared::Duplicate(version)) => return Ok(Placed::Duplicate(version)),
            Err(_) if !up_to_date => {
                shared.catch_up().await?;
                up_to_date = true;
                continue;
            }
            Err(refusal) => return Err(refusal),
        };
        let bytes = persisted::encode(delta.as_ref())?;
        crash::point(delta.info.operation.as_str(), "before");
        match shared.bucket().put_new(&log::delta_key(dataset.id(), snapshot.version), bytes).await {
            Ok(PutNew::Created) => {
                crash::point(delta.info.operation.as_str(), "after");
                return Ok(Placed::New { delta, snapshot });
            }
            Ok(PutNew::Exists) => {}
            Err(source @ skein_storage::Error::Ambiguous { .. }) => {
                return Err(Error::CommitUnknown { what: proposal.table(), version: snapshot.version, source });
            }
            Err(error) => return Err(error.into()),
        }
        // Another writer was first; it may be in the middle of a transaction.
        shared.settle_next().await?;
        shared.catch_up().await?;
        up_to_date = true;
        tokio::time::sleep(pause(attempt)).await;
    }
    Err(proposal.conflict(format!("{ATTEMPTS} attempts to commit all came second")))
}

/// Grows with the attempts, at random, so that writers who collided do not collide again.
fn pause(attempt: u32) -> Duration {
    let longest = Duration::from_millis(1 << attempt.min(10)).min(LONGEST_PAUSE);
    longest.mul_f64(rand::random_range(0.0..1.0))
}
