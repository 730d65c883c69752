//! Reads a dataset's log from its bucket.

use futures::{StreamExt, TryStreamExt, stream};
use skein_model::{DatasetId, Version};
use skein_storage::Bucket;
use ulid::Ulid;

use super::{Checkpoint, Delta, State, keys};
use crate::{
    Error, Result, persisted,
    transaction::{Outcome, Outcomes},
};

/// Log entries read at the same time.
const PARALLEL_READS: u64 = 32;

/// A dataset's log in its bucket.
#[derive(Debug, Clone)]
pub(crate) struct LogReader {
    pub(crate) bucket: Bucket,
    pub(crate) dataset: DatasetId,
    /// What became of the transactions that entries belong to.
    pub(crate) outcomes: Outcomes,
}

/// An entry of the log, by what it counts for.
#[derive(Debug)]
pub(crate) enum Found {
    /// There is none (yet).
    Missing,
    /// Its transaction is neither committed nor given up. Nothing follows until it is.
    Undecided(Ulid),
    /// This is what it changes.
    Counts(Box<Delta>),
}

/// The entries after a version.
#[derive(Debug)]
pub(crate) struct Following {
    /// Those that count, in order.
    pub(crate) deltas: Vec<Delta>,
    /// The transaction that the next entry waits for.
    pub(crate) undecided: Option<Ulid>,
}

/// What a listing of the log shows.
#[derive(Debug, Default)]
struct Listed {
    newest: Version,
    /// Ascending.
    checkpoints: Vec<Version>,
}

impl LogReader {
    /// One version's entry as it was written, or `None` when it is not there (yet). Whether it counts is another question.
    pub(crate) async fn delta(&self, version: Version) -> Result<Option<Delta>> {
        let key = keys::delta_key(self.dataset, version);
        match self.bucket.get_opt(&key).await? {
            None => Ok(None),
            Some(bytes) => persisted::decode_log(&self.bucket, &key, bytes).await.map(Some),
        }
    }

    /// One version's entry, as it counts.
    async fn found(&self, version: Version) -> Result<Found> {
        let Some(mut delta) = self.delta(version).await? else { return Ok(Found::Missing) };
        let Some(transaction) = delta.info.transaction else { return Ok(Found::Counts(Box::new(delta))) };
        Ok(match self.outcomes.of(transaction).await? {
            None => Found::Undecided(transaction),
            Some(Outcome::Aborted) => Found::Counts(Box::new(delta.voided())),
            Some(Outcome::Committed { at }) => {
                delta.info.timestamp = at;
                Found::Counts(Box::new(delta))
            }
        })
    }

    /// Entries `from..=to`, read in parallel and returned in order.
    pub(crate) async fn deltas(&self, from: Version, to: Version) -> Result<Vec<Found>> {
        let parallel = usize::try_from(PARALLEL_READS).unwrap_or(1);
        stream::iter(from..=to).map(|version| self.found(version)).buffered(parallel).try_collect().await
    }

    /// The newest state, read from nothing, and the transaction that what follows waits for; `None` when there is no first
    /// version.
    pub(crate) async fn newest(&self) -> Result<Option<(State, Option<Ulid>)>> {
        let listed = self.list().await?;
        let Some(mut state) = self.at_most(&listed, Version::MAX).await? else { return Ok(None) };
        self.advance(&mut state, listed.newest).await?;
        // A listing may lag behind: only a missing next entry proves that there is none.
        let mut width = 1;
        loop {
            let Following { deltas, undecided } = self.following(state.snapshot().version, &mut width).await?;
            let ends = deltas.is_empty() || undecided.is_some();
            self.apply_all(&mut state, deltas)?;
            if ends {
                return Ok(Some((state, undecided)));
            }
        }
    }

    /// The state at an older version, which must exist.
    pub(crate) async fn at(&self, version: Version) -> Result<State> {
        let listed = self.list().await?;
        let mut state = self.at_most(&listed, version).await?.ok_or_else(|| self.missing(1))?;
        self.advance(&mut state, version).await?;
        if state.snapshot().version == version { Ok(state) } else { Err(self.missing(version)) }
    }

    /// The entries after `version` that are there and count; none when the next is not there, or undecided. Reads more at
    /// once the longer it goes on.
    pub(crate) async fn following(&self, version: Version, width: &mut u64) -> Result<Following> {
        let (mut deltas, mut undecided) = (Vec::new(), None);
        for found in self.deltas(version + 1, version + *width).await? {
            match found {
                Found::Counts(delta) => deltas.push(*delta),
                Found::Missing => break,
                Found::Undecided(transaction) => {
                    undecided = Some(transaction);
                    break;
                }
            }
        }
        *width = if deltas.len() as u64 == *width { (*width * 2).min(PARALLEL_READS) } else { 1 };
        Ok(Following { deltas, undecided })
    }

    pub(crate) fn apply_all(&self, state: &mut State, deltas: Vec<Delta>) -> Result<()> {
        state.apply_all(deltas).map_err(|misfit| {
            let key = keys::delta_key(self.dataset, state.snapshot().version + 1);
            self.misfit(&key, &misfit)
        })
    }

    /// Writes a checkpoint. That another server has written it already is as good.
    pub(crate) async fn write_checkpoint(&self, checkpoint: Checkpoint) -> Result<()> {
        let key = keys::checkpoint_key(self.dataset, checkpoint.version);
        let encoded = tokio::task::spawn_blocking(move || persisted::encode(&checkpoint))
            .await
            .map_err(|e| Error::Internal(format!("encoding was interrupted: {e}")))??;
        self.bucket.put_new(&key, encoded).await?;
        Ok(())
    }

    async fn list(&self) -> Result<Listed> {
        let mut listed = Listed::default();
        for object in self.bucket.list(&keys::log_folder(self.dataset)).await? {
            let key = object.location.as_ref();
            if let Some(version) = keys::parse_delta_key(key) {
                listed.newest = listed.newest.max(version);
            } else if let Some(version) = keys::parse_checkpoint_key(key) {
                listed.checkpoints.push(version);
            }
        }
        listed.checkpoints.sort_unstable();
        Ok(listed)
    }

    /// The state at the newest readable checkpoint up to `limit`, or else at the first version.
    async fn at_most(&self, listed: &Listed, limit: Version) -> Result<Option<State>> {
        for version in listed.checkpoints.iter().rev().filter(|v| **v <= limit) {
            match self.checkpoint(*version).await {
                Ok(state) => return Ok(Some(state)),
                // The versions say the same, only more slowly.
                Err(Error::Corrupt { key, reason, .. }) => {
                    tracing::warn!(bucket = self.bucket.name(), key, reason, "checkpoint is unusable");
                }
                Err(error) => return Err(error),
            }
        }
        let Some(first) = self.delta(1).await? else { return Ok(None) };
        let key = keys::delta_key(self.dataset, 1);
        State::start(first).map(Some).map_err(|misfit| self.misfit(&key, &misfit))
    }

    async fn checkpoint(&self, version: Version) -> Result<State> {
        let key = keys::checkpoint_key(self.dataset, version);
        let bytes = self.bucket.get_opt(&key).await?;
        let bytes = bytes.ok_or_else(|| persisted::corrupt(&self.bucket, &key, "it is gone"))?;
        let checkpoint: Checkpoint = persisted::decode_log(&self.bucket, &key, bytes).await?;
        if (checkpoint.dataset, checkpoint.version) != (self.dataset, version) {
            return Err(persisted::corrupt(&self.bucket, &key, "it is another one's"));
        }
        State::restore(checkpoint).map_err(|misfit| persisted::corrupt(&self.bucket, &key, &misfit))
    }

    /// Applies the entries up to `version`, all of which must be there, or up to the first that is undecided.
    async fn advance(&self, state: &mut State, version: Version) -> Result<()> {
        while state.snapshot().version < version {
            let from = state.snapshot().version + 1;
            let to = version.min(from + 8 * PARALLEL_READS - 1);
            let mut deltas = Vec::new();
            let mut undecided = false;
            for found in self.deltas(from, to).await? {
                match found {
                    Found::Counts(delta) => deltas.push(*delta),
                    Found::Missing => return Err(self.missing(from)),
                    Found::Undecided(_) => {
                        undecided = true;
                        break;
                    }
                }
            }
            self.apply_all(state, deltas)?;
            if undecided {
                break;
            }
        }
        Ok(())
    }

    fn missing(&self, version: Version) -> Error {
        let key = keys::delta_key(self.dataset, version);
        persisted::corrupt(&self.bucket, &key, "a log entry at or after this one is missing; restore it from a backup")
    }

    fn misfit(&self, key: &str, misfit: &str) -> Error {
        let reason = format!("it does not fit the versions before it: {misfit}; restore it from a backup");
        persisted::corrupt(&self.bucket, key, &reason)
    }
}
