//! Reads a dataset's log from its bucket.

use futures::{StreamExt, TryStreamExt, stream};
use skein_model::{DatasetId, Version};
use skein_storage::Bucket;

use super::{Checkpoint, Delta, State, keys};
use crate::{Error, Result, persisted};

/// Log entries read at the same time.
const PARALLEL_READS: u64 = 32;

/// A dataset's log in its bucket.
#[derive(Debug, Clone)]
pub(crate) struct LogReader {
    pub(crate) bucket: Bucket,
    pub(crate) dataset: DatasetId,
}

/// What a listing of the log shows.
#[derive(Debug, Default)]
struct Listed {
    newest: Version,
    /// Ascending.
    checkpoints: Vec<Version>,
}

impl LogReader {
    /// One version's entry, or `None` when it is not there (yet).
    pub(crate) async fn delta(&self, version: Version) -> Result<Option<Delta>> {
        let key = keys::delta_key(self.dataset, version);
        match self.bucket.get_opt(&key).await? {
            None => Ok(None),
            Some(bytes) => persisted::decode_log(&self.bucket, &key, bytes).await.map(Some),
        }
    }

    /// Entries `from..=to`, read in parallel and returned in order.
    pub(crate) async fn deltas(&self, from: Version, to: Version) -> Result<Vec<Option<Delta>>> {
        let parallel = usize::try_from(PARALLEL_READS).unwrap_or(1);
        stream::iter(from..=to).map(|version| self.delta(version)).buffered(parallel).try_collect().await
    }

    /// The newest state, read from nothing; `None` when there is no first version.
    pub(crate) async fn newest(&self) -> Result<Option<State>> {
        let listed = self.list().await?;
        let Some(mut state) = self.at_most(&listed, Version::MAX).await? else { return Ok(None) };
        self.advance(&mut state, listed.newest).await?;
        // A listing may lag behind: only a missing next entry proves that there is none.
        let mut width = 1;
        while let Some(deltas) = self.following(state.snapshot().version, &mut width).await? {
            self.apply_all(&mut state, deltas)?;
        }
        Ok(Some(state))
    }

    /// The state at an older version, which must exist.
    pub(crate) async fn at(&self, version: Version) -> Result<State> {
        let listed = self.list().await?;
        let mut state = self.at_most(&listed, version).await?.ok_or_else(|| self.missing(1))?;
        self.advance(&mut state, version).await?;
        Ok(state)
    }

    /// The entries after `version` that are there, at least one; `None` when the next is not there. Reads more at once
    /// the longer it goes on.
    pub(crate) async fn following(&self, version: Version, width: &mut u64) -> Result<Option<Vec<Delta>>> {
        let deltas = self.deltas(version + 1, version + *width).await?;
        let found: Vec<_> = deltas.into_iter().map_while(|delta| delta).collect();
        *width = if found.len() as u64 == *width { (*width * 2).min(PARALLEL_READS) } else { 1 };
        Ok((!found.is_empty()).then_some(found))
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

    /// Applies the entries up to `version`, all of which must be there.
    async fn advance(&self, state: &mut State, version: Version) -> Result<()> {
        while state.snapshot().version < version {
            let from = state.snapshot().version + 1;
            let to = version.min(from + 8 * PARALLEL_READS - 1);
            let deltas: Option<Vec<_>> = self.deltas(from, to).await?.into_iter().collect();
            self.apply_all(state, deltas.ok_or_else(|| self.missing(from))?)?;
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
