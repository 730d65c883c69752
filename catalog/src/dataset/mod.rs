//! A handle on one dataset.

mod alter;
mod change;
mod commit;
mod expire;
mod references;
mod shared;
mod staged;
mod together;

use std::{collections::HashSet, fmt, sync::Arc};

use arrow_schema::SchemaRef;
use chrono::{DateTime, Utc};
use skein_model::{DatasetId, FileId, TableName, Version};
use skein_storage::Bucket;
use ulid::Ulid;

pub use self::{
    alter::Alter,
    change::{Change, Committed, Removed},
    expire::{Expired, Retention},
};
pub(crate) use self::{
    references::{Gone, References},
    shared::Shared,
    staged::{Staged, Step},
    together::{Part, commit_alone, commit_together},
};
use crate::{
    Actor, Error, Operation, Result, Snapshot, SnapshotInfo, Transaction, log,
    schema::{assign, validate},
};

/// Which snapshot is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The newest.
    Latest,
    /// The one with this number.
    Version(Version),
    /// As `Version`, for whoever has begun to read it before: it may have been expired since. Its files stay for at least
    /// [`MIN_GRACE`](crate::maintenance::MIN_GRACE) after that.
    Pinned(Version),
    /// The newest that is not younger than this.
    Timestamp(DateTime<Utc>),
}

/// One dataset, under the name it was resolved by. Cheap to clone; all clones share what is known about its log.
#[derive(Clone)]
pub struct Dataset {
    name: TableName,
    shared: Arc<Shared>,
    /// Changes are this transaction's, and its changes are seen.
    transaction: Option<Arc<Transaction>>,
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset").field("name", &self.name).field("id", &self.id()).finish_non_exhaustive()
    }
}

impl Dataset {
    pub(crate) fn new(name: TableName, shared: Arc<Shared>) -> Self {
        Self { name, shared, transaction: None }
    }

    /// The same dataset, as a transaction sees and changes it.
    pub(crate) fn within(&self, transaction: Arc<Transaction>) -> Self {
        Self { transaction: Some(transaction), ..self.clone() }
    }

    /// The same dataset under another name.
    pub(crate) fn named(&self, name: TableName) -> Self {
        Self { name, ..self.clone() }
    }

    /// The same dataset outside of any transaction.
    pub(crate) fn outside(&self) -> Self {
        Self { transaction: None, ..self.clone() }
    }

    /// Its id, for as long as it exists.
    pub fn id(&self) -> DatasetId {
        self.shared.id()
    }

    /// The name it was resolved by.
    pub fn name(&self) -> &TableName {
        &self.name
    }

    /// Where its files are.
    pub fn bucket(&self) -> &Bucket {
        self.shared.bucket()
    }

    /// A snapshot. [`At::Latest`] sees every commit that was acknowledged before the call, by any server, unless the
    /// catalog was opened with a `refresh` above zero.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such snapshot (the message says which there are), and for the latest one
    /// of a dataset that was dropped.
    pub async fn snapshot(&self, at: At) -> Result<Arc<Snapshot>> {
        match &self.transaction {
            Some(transaction) => transaction.snapshot(self, at).await,
            None => self.committed_snapshot(at).await,
        }
    }

    /// As it is without the changes of its transaction.
    pub(crate) async fn committed_snapshot(&self, at: At) -> Result<Arc<Snapshot>> {
        match at {
            At::Latest => {
                self.shared.refresh().await?;
                self.shared.with(|state| self.check_alive(state).map(|()| Arc::clone(state.snapshot())))?
            }
            At::Version(version) => self.version(version).await,
            At::Pinned(version) => self.version_of_log(version).await,
            At::Timestamp(time) => {
                self.shared.refresh().await?;
                let version = self.shared.with(|state| {
                    self.check_alive(state)?;
                    state.version_at(time).ok_or_else(|| self.not_yet(time, state.history()))
                })??;
                self.version(version).await
            }
        }
    }

    /// What every snapshot did, newest first.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn history(&self) -> Result<Vec<SnapshotInfo>> {
        match &self.transaction {
            Some(transaction) => transaction.history(self).await,
            None => self.committed_history().await,
        }
    }

    pub(crate) async fn committed_history(&self) -> Result<Vec<SnapshotInfo>> {
        self.shared.refresh().await?;
        self.shared.with(|state| state.history().iter().rev().map(|info| info.as_ref().clone()).collect())
    }

    /// Commits a change as the next version. Commits of the same dataset from anywhere are put in one order; an append
    /// is rebased onto whatever got there first.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the change cannot be rebased, [`Error::NotFound`] when the dataset was dropped,
    /// [`Error::InvalidInput`] when the change makes no sense. After any of these nothing has changed and the files of
    /// the change may be deleted. After [`Error::CommitUnknown`] they must be kept.
    pub async fn commit(&self, change: Change, actor: &Actor) -> Result<Committed> {
        if matches!(change.operation, Operation::Create | Operation::Drop | Operation::Collect | Operation::Expire) {
            let operation = change.operation;
            return Err(Error::InvalidInput(format!("'{operation}' is not a change of a dataset; use the catalog")));
        }
        match &self.transaction {
            Some(transaction) => transaction.stage(self, change, actor).await,
            None => commit::commit(self, change, actor).await,
        }
    }

    /// `schema` with field ids, for a [`Operation::Replace`] that changes the columns: give it to the writer and then
    /// to [`Change::schema`]. Columns that keep their name and type keep their id.
    ///
    /// # Errors
    /// When a dataset cannot have these columns.
    pub async fn plan_schema(&self, schema: &SchemaRef) -> Result<SchemaRef> {
        validate(schema)?;
        if let Some(transaction) = &self.transaction {
            let assigned = |state: &log::State| assign(schema, Some(&state.stored_schema().0), state.last_field_id());
            return Ok(transaction.look(self, assigned).await?.schema);
        }
        self.shared.refresh().await?;
        self.shared.with(|state| assign(schema, Some(&state.stored_schema().0), state.last_field_id()).schema)
    }

    /// The version that was committed with this idempotency key, if there is one. Worth asking before a long ingest.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn find_key(&self, idempotency_key: &str) -> Result<Option<Version>> {
        if let Some(transaction) = &self.transaction {
            return transaction.look(self, |state| state.find_key(idempotency_key)).await;
        }
        self.shared.refresh().await?;
        self.shared.with(|state| state.find_key(idempotency_key))
    }

    /// The version that a transaction sees that began at this time: the newest that was committed until then and is not a part of
    /// a transaction that another dataset has shown it without; and the transaction that is about to make the next one.
    pub(crate) async fn pin(
        &self,
        begun: Option<DateTime<Utc>>,
        without: &HashSet<Ulid>,
    ) -> Result<(Version, Option<Ulid>)> {
        self.shared.refresh().await?;
        let undecided = self.shared.undecided();
        let version = self.shared.with(|state| {
            self.check_alive(state)?;
            let newest = state.snapshot().version;
            // One that was made since then is seen as it is now.
            let version = begun.map_or(newest, |begun| state.version_at(begun).unwrap_or(newest));
            let unseen = |info: &&Arc<SnapshotInfo>| info.transaction.is_some_and(|id| without.contains(&id));
            let first_unseen = state.history().iter().find(unseen).map_or(Version::MAX, |info| info.version);
            Ok::<_, Error>(version.min(first_unseen.saturating_sub(1)))
        })??;
        Ok((version, undecided))
    }

    /// The key of a data file in [`Dataset::bucket`].
    pub fn data_key(&self, file: FileId) -> String {
        log::data_key(self.id(), file)
    }

    /// Whether, as far as is known, the log has come to its end.
    pub(crate) fn was_dropped(&self) -> bool {
        self.shared.with(|state| state.dropped().is_some()).unwrap_or(false)
    }

    /// Ends the log: nothing can be committed after this.
    pub(crate) async fn seal(&self, actor: &Actor) -> Result<()> {
        self.seal_at(None, actor).await
    }

    /// As [`Dataset::seal`], but not if anybody has committed to it since `version`.
    pub(crate) async fn seal_at(&self, version: Option<Version>, actor: &Actor) -> Result<()> {
        let change = Change { operation: Operation::Drop, read_version: version, ..Change::append(Vec::new()) };
        match commit::commit(self, change, actor).await {
            // Dropped by somebody else at the same time.
            Ok(_) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Announces in the log that this dataset, which has no name, is about to be dropped, unless anybody has committed
    /// to it since `version`. Returns the version to give to [`Dataset::seal_at`] once it is clear that no name leads
    /// to it still.
    pub(crate) async fn announce_drop(&self, version: Version, actor: &Actor) -> Result<Version> {
        let change =
            Change { operation: Operation::Collect, read_version: Some(version), ..Change::append(Vec::new()) };
        Ok(commit::commit(self, change, actor).await?.version)
    }

    /// To be called by whoever has just given this dataset its name: objects to a drop that was announced before the name
    /// could be seen. Either this or the drop comes first in the log, and the other gives way.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it was dropped.
    pub(crate) async fn object_to_drop(&self, actor: &Actor) -> Result<()> {
        let outcome = self.answer_announcement(actor).await;
        // Whoever was slow may find neither the drop nor anything else: all of it has been removed since. The log goes
        // from its first version on, so while that one is there, looked for after all others, none has gone.
        if self.has_first_version().await? { outcome } else { Err(self.was_removed()) }
    }

    async fn answer_announcement(&self, actor: &Actor) -> Result<()> {
        let known = self.shared.with(|state| state.snapshot().version).unwrap_or(1);
        let has_next = self.shared.reader().delta(known + 1).await?.is_some();
        if !has_next && !self.is_announced() && !self.was_dropped() {
            return Ok(());
        }
        self.shared.catch_up().await?;
        self.shared.with(|state| self.check_alive(state))??;
        if self.is_announced() {
            commit::commit(self, Change::append(Vec::new()), actor).await?;
        }
        Ok(())
    }

    async fn has_first_version(&self) -> Result<bool> {
        Ok(self.bucket().get_opt(&log::delta_key(self.id(), 1)).await?.is_some())
    }

    fn is_announced(&self) -> bool {
        self.shared.with(|state| state.snapshot().info.operation == Operation::Collect).unwrap_or(false)
    }

    /// A version that can be read, as far as the bucket says now.
    async fn version(&self, version: Version) -> Result<Arc<Snapshot>> {
        self.shared.refresh().await?;
        self.shared.with(|state| self.check_readable(state, version))??;
        self.version_of_log(version).await
    }

    /// As [`Dataset::version`], also of an expired one, whose files may be gone.
    pub(super) async fn version_of_log(&self, version: Version) -> Result<Arc<Snapshot>> {
        if let Some(snapshot) = self.shared.known(version) {
            return Ok(snapshot);
        }
        self.shared.refresh().await?;
        let newest = self.shared.with(|state| Arc::clone(state.snapshot()))?;
        if version == newest.version {
            return Ok(newest);
        }
        if version == 0 || version > newest.version {
            let oldest = self.shared.with(log::State::oldest)?;
            let hint = format!(" in table '{}'; versions {oldest} to {} exist", self.name, newest.version);
            return Err(Error::NotFound { what: "version", name: version.to_string(), hint });
        }
        self.shared.load(version).await
    }

    fn check_readable(&self, state: &log::State, version: Version) -> Result<()> {
        let Some(expiration) = state.expiration_of(version).filter(|_| version > 0) else { return Ok(()) };
        let (name, oldest, newest) = (&self.name, state.oldest(), state.snapshot().version);
        let hint = format!(
            " any more in table '{name}': it was expired by {} at {}; versions {oldest} to {newest} exist",
            expiration.author, expiration.at
        );
        Err(Error::NotFound { what: "version", name: version.to_string(), hint })
    }

    fn check_alive(&self, state: &log::State) -> Result<()> {
        match state.dropped() {
            None => Ok(()),
            Some(info) => {
                let hint = format!("; it was dropped by {} at {}", info.author, info.timestamp);
                Err(Error::NotFound { what: "table", name: self.name.to_string(), hint })
            }
        }
    }

    fn was_removed(&self) -> Error {
        let hint = "; garbage collection has removed it, because no name led to it for long".to_owned();
        Error::NotFound { what: "table", name: self.name.to_string(), hint }
    }

    fn not_yet(&self, time: DateTime<Utc>, history: &[Arc<SnapshotInfo>]) -> Error {
        let first = history.first().map(|info| info.timestamp.to_string()).unwrap_or_default();
        let hint = format!(" at {time}; its first version is of {first}");
        Error::NotFound { what: "table", name: self.name.to_string(), hint }
    }
}
