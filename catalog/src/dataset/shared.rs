//! What all handles on a dataset share: the newest state that is known, and how to find out what came after it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::RwLock;
use skein_model::{Clock, DatasetId, Version};
use skein_storage::Bucket;
use tokio::sync::{Semaphore, SemaphorePermit};
use ulid::Ulid;

use crate::{
    Error, Result, Snapshot,
    log::{Delta, Following, LogReader, State},
    transaction::Outcomes,
};

/// Older snapshots kept in memory per dataset.
const OLD_SNAPSHOTS: u64 = 8;

/// One dataset, as far as this process knows it.
pub(crate) struct Shared {
    reader: LogReader,
    clock: Arc<dyn Clock>,
    refresh: Duration,
    checkpoint_every: u64,
    state: RwLock<Known>,
    old: moka::sync::Cache<Version, Arc<Snapshot>>,
    /// One task reads the log from the start; the others wait for it.
    loading: Semaphore,
    /// Commits of this process queue here instead of racing each other in the bucket.
    committing: Semaphore,
}

#[derive(Default)]
struct Known {
    state: Option<State>,
    checked: Option<Instant>,
    /// The transaction that the entry after the newest version waits for, when it was last looked at.
    undecided: Option<Ulid>,
}

impl Shared {
    pub(crate) fn new(bucket: Bucket, dataset: DatasetId, outcomes: Outcomes, options: &crate::CatalogOptions) -> Self {
        Self {
            reader: LogReader { bucket, dataset, outcomes },
            clock: Arc::clone(&options.clock),
            refresh: options.refresh,
            checkpoint_every: options.checkpoint_every,
            state: RwLock::default(),
            old: moka::sync::Cache::new(OLD_SNAPSHOTS),
            loading: Semaphore::new(1),
            committing: Semaphore::new(1),
        }
    }

    pub(crate) fn id(&self) -> DatasetId {
        self.reader.dataset
    }

    pub(crate) fn bucket(&self) -> &Bucket {
        &self.reader.bucket
    }

    pub(super) fn reader(&self) -> &LogReader {
        &self.reader
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.clock.as_ref()
    }

    pub(super) async fn turn_to_commit(&self) -> Result<SemaphorePermit<'_>> {
        self.committing.acquire().await.map_err(|_| Error::Internal("the queue of commits is closed".to_owned()))
    }

    /// Looks at the state. It must have been loaded by [`Shared::refresh`].
    pub(super) fn with<T>(&self, look: impl FnOnce(&State) -> T) -> Result<T> {
        let known = self.state.read();
        known
            .state
            .as_ref()
            .map(look)
            .ok_or_else(|| Error::Internal("a dataset was used before it was read".to_owned()))
    }

    pub(super) fn is_loaded(&self) -> bool {
        self.state.read().state.is_some()
    }

    /// A snapshot that needs no reading.
    pub(super) fn known(&self, version: Version) -> Option<Arc<Snapshot>> {
        let known = self.state.read();
        let newest = known.state.as_ref().map(State::snapshot).filter(|s| s.version == version).cloned();
        newest.or_else(|| self.old.get(&version))
    }

    /// Makes sure that the state is not older than the options allow.
    pub(super) async fn refresh(&self) -> Result<()> {
        let checked = self.state.read().checked;
        match checked {
            Some(at) if at.elapsed() < self.refresh => Ok(()),
            Some(_) => self.catch_up().await,
            None => self.load_newest().await,
        }
    }

    /// Reads the versions after the newest one known, whatever the options say.
    pub(super) async fn catch_up(&self) -> Result<()> {
        if !self.is_loaded() {
            return self.load_newest().await;
        }
        let started = Instant::now();
        let mut width = 1;
        loop {
            let version = self.with(|state| state.snapshot().version)?;
            let Following { deltas, undecided } = self.reader.following(version, &mut width).await?;
            let ends = deltas.is_empty() || undecided.is_some();
            self.take_over(deltas)?;
            if ends {
                let mut known = self.state.write();
                (known.checked, known.undecided) = (Some(started), undecided);
                return Ok(());
            }
        }
    }

    /// The transaction that, when it was last looked at, was about to make the version after the newest.
    pub(crate) fn undecided(&self) -> Option<Ulid> {
        self.state.read().undecided
    }

    /// Sees to it that the version after the newest one known, if there is one, is decided. Its transaction gets some time;
    /// after that it is given up.
    pub(super) async fn settle_next(&self) -> Result<()> {
        let next = self.with(|state| state.snapshot().version)? + 1;
        if let Some(transaction) = self.reader.delta(next).await?.and_then(|delta| delta.info.transaction) {
            self.reader.outcomes.settle(transaction, self.clock.now()).await?;
        }
        Ok(())
    }

    /// Moves on to a version that this process has committed, unless somebody has read it from the log before this task
    /// got here.
    pub(super) fn adopt(&self, delta: Delta, snapshot: Arc<Snapshot>) {
        let mut known = self.state.write();
        if let Some(state) = known.state.as_mut().filter(|s| s.snapshot().version + 1 == snapshot.version) {
            state.advance(delta, snapshot);
        }
    }

    /// Reads an older snapshot.
    pub(super) async fn load(&self, version: Version) -> Result<Arc<Snapshot>> {
        let state = self.reader.at(version).await?;
        let snapshot = Arc::clone(state.snapshot());
        self.old.insert(version, Arc::clone(&snapshot));
        Ok(snapshot)
    }

    /// Writes a checkpoint in the background when it is time for one: no commit waits for it, and a missing one only
    /// makes a later start slower.
    pub(super) fn checkpoint_if_due(&self) {
        let due = self.state.write().state.as_mut().and_then(|s| s.due_checkpoint(self.checkpoint_every));
        let Some(checkpoint) = due else { return };
        let reader = self.reader.clone();
        tokio::spawn(async move {
            let version = checkpoint.version;
            if let Err(error) = reader.write_checkpoint(checkpoint).await {
                tracing::warn!(dataset = %reader.dataset, version, %error, "checkpoint was not written");
            }
        });
    }

    async fn load_newest(&self) -> Result<()> {
        let permit = self.loading.acquire().await;
        let _permit = permit.map_err(|_| Error::Internal("the queue of readers is closed".to_owned()))?;
        if self.is_loaded() {
            // Loaded while this task was waiting, but perhaps from before it was called.
            return Box::pin(self.catch_up()).await;
        }
        let started = Instant::now();
        let (state, undecided) = self.reader.newest().await?.ok_or_else(|| self.no_log())?;
        *self.state.write() = Known { state: Some(state), checked: Some(started), undecided };
        Ok(())
    }

    /// Applies what another task has not applied meanwhile.
    fn take_over(&self, deltas: Vec<Delta>) -> Result<()> {
        let mut known = self.state.write();
        let Some(state) = known.state.as_mut() else { return Ok(()) };
        let current = state.snapshot().version;
        let new = deltas.into_iter().filter(|d| d.info.version > current).collect();
        self.reader.apply_all(state, new)
    }

    fn no_log(&self) -> Error {
        Error::Corrupt {
            bucket: self.bucket().name().to_owned(),
            key: crate::log::delta_key(self.id(), 1),
            reason: "the dataset's first log entry is missing; restore it from a backup, or drop the table".to_owned(),
        }
    }
}
