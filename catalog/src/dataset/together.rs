//! Committing changes of several datasets at once: all of them count from one moment on, or none ever does.
//!
//! Each dataset's log gets an entry that names the transaction, and after all of them the transaction's outcome is created:
//! that is the commit. Until then readers stop before the entries and writers wait, but not for long (see
//! [`Outcomes`](crate::transaction::Outcomes)).

use std::sync::Arc;

use ulid::Ulid;

use super::{
    Dataset,
    change::Proposal,
    commit::{self, Placed, place},
    staged::Staged,
};
use crate::{Actor, Catalog, Error, Result, Snapshot, SnapshotInfo, crash, log::Delta, transaction::Outcome};

/// What a transaction changes in one dataset, as one change.
pub(crate) struct Part<'a> {
    dataset: Dataset,
    proposal: Proposal<'a>,
}

impl<'a> Part<'a> {
    /// `None` when nothing was changed.
    pub(crate) fn new(dataset: &Dataset, staged: &Staged, actor: &'a Actor) -> Result<Option<Self>> {
        let dataset = dataset.outside();
        let proposal = staged.merged(actor, dataset.name().to_string())?;
        Ok(proposal.map(|proposal| Self { dataset, proposal }))
    }

    fn duplicate(&self) -> Error {
        self.proposal.conflict("its idempotency key has been committed since".to_owned())
    }
}

/// Commits one change by itself.
pub(crate) async fn commit_alone(part: Part<'_>) -> Result<()> {
    match commit::propose(&part.dataset, &part.proposal).await? {
        committed if committed.duplicate => Err(part.duplicate()),
        _ => Ok(()),
    }
}

/// Commits all changes, or none. `parts` are in the order of the datasets' ids, so that two who commit at the same time do not
/// wait for each other. `others` announces what else depends on the outcome.
///
/// # Errors
/// [`Error::CommitUnknown`] when it may or may not have been committed; after any other nothing was.
pub(crate) async fn commit_together<F>(
    catalog: &Catalog,
    transaction: Ulid,
    parts: Vec<Part<'_>>,
    others: impl FnOnce() -> F,
) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    let datasets: Vec<_> = parts.iter().map(|part| part.dataset.clone()).collect();
    let mut turns = Vec::with_capacity(datasets.len());
    for dataset in &datasets {
        turns.push(dataset.shared.turn_to_commit().await?);
    }
    // Whether anything in the bucket may name the transaction.
    let mut named = false;
    let prepared = async {
        let mut placed = Vec::with_capacity(parts.len());
        for Part { dataset, proposal } in parts {
            let part = Part { dataset, proposal: proposal.within(transaction) };
            let outcome = place(&part.dataset, &part.proposal).await;
            named |= matches!(outcome, Ok(Placed::New { .. }) | Err(Error::CommitUnknown { .. }));
            match outcome? {
                Placed::New { delta, snapshot } => {
                    placed.push((part.dataset.clone(), delta, snapshot));
                    crash::point("transaction", "between");
                }
                Placed::Duplicate(_) => return Err(part.duplicate()),
            }
        }
        named = true;
        others().await?;
        Ok(placed)
    };
    let placed = match prepared.await {
        Ok(placed) => placed,
        // Nobody waits for it, so nobody has to be told; a record of it would stay for ever.
        Err(error) if !named => return Err(error),
        Err(error) => return Err(give_up(catalog, transaction, error).await),
    };
    // Not before any of the entries, so that no version is older than the one before it.
    let at = placed.iter().map(|(_, _, snapshot)| snapshot.info.timestamp).fold(catalog.now(), Ord::max);
    crash::point("transaction", "before");
    let decided = catalog.outcomes().decide(transaction, Outcome::Committed { at }, at).await;
    crash::point("transaction", "after");
    match decided {
        Ok(Outcome::Committed { at }) => {
            for (dataset, delta, snapshot) in placed {
                adopt(&dataset, *delta, &snapshot, at);
            }
            Ok(())
        }
        Ok(Outcome::Aborted) => Err(Error::Conflict {
            what: "what the transaction changes".to_owned(),
            reason: "it had to wait too long for this commit and gave it up".to_owned(),
        }),
        Err(Error::Storage(source @ skein_storage::Error::Ambiguous { .. })) => {
            let (what, version) = placed.first().map_or_else(
                || (format!("transaction {transaction}"), 0),
                |(dataset, _, snapshot)| (format!("table '{}'", dataset.name()), snapshot.version),
            );
            Err(Error::CommitUnknown { what, version, source })
        }
        Err(error) => Err(give_up(catalog, transaction, error).await),
    }
}

fn adopt(dataset: &Dataset, mut delta: Delta, snapshot: &Snapshot, at: chrono::DateTime<chrono::Utc>) {
    delta.info.timestamp = at;
    let info = SnapshotInfo { timestamp: at, ..snapshot.info.clone() };
    dataset.shared.adopt(delta, Arc::new(Snapshot { info, ..snapshot.clone() }));
    dataset.shared.checkpoint_if_due();
}

/// Tells those who wait. Should it fail, they find out by themselves: only this committer could have committed it, and it will
/// not. So whatever the reason was, it is definite that nothing was committed.
async fn give_up(catalog: &Catalog, transaction: Ulid, reason: Error) -> Error {
    if let Err(error) = catalog.outcomes().decide(transaction, Outcome::Aborted, catalog.now()).await {
        tracing::debug!(%transaction, %error, "an aborted transaction is left for others to find out");
    }
    match reason {
        Error::CommitUnknown { source, .. } => source.into(),
        reason => reason,
    }
}
