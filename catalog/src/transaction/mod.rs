//! Transactions: changes of any number of tables that become visible together, or not at all.
//!
//! A transaction sees every table as it was when the transaction first looked at any (snapshot isolation), with its own changes on top. Those
//! are in memory; the data files they name are in the bucket, where nobody refers to them. The commit checks that nobody else has
//! changed what the transaction changed: the first one wins. Rows that were only added go onto whatever is there.

mod names;
mod outcome;
mod work;

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use ulid::Ulid;

pub(crate) use self::outcome::{Outcome, Outcomes, is_outcome};
use self::work::{Fate, NameChange, Phase, Savepoint, Touched, Work};
use crate::{
    Actor, At, Catalog, Change, Committed, Dataset, Error, Result, Snapshot, SnapshotInfo,
    dataset::{Part, Staged, Step, commit_alone, commit_together},
    log::State,
};

/// What tells a transaction from all others, of other servers too.
pub type TransactionId = Ulid;
/// What tells a mark in a transaction from all others.
pub type SavepointId = Ulid;
/// What tells one state of a dataset from all others: those of transactions that are not committed may have the same version.
pub type CommitId = Ulid;

/// Changes that become visible together. Dropping it rolls it back.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// # use std::{collections::BTreeMap, sync::Arc};
/// # use arrow_schema::{DataType, Field, Schema};
/// # use skein_catalog::{Actor, Catalog, CatalogOptions, NewDataset};
/// # use skein_model::TableName;
/// # use skein_storage::{Bucket, Buckets};
/// # let buckets = Buckets::new(vec![Bucket::in_memory("main")]).unwrap();
/// # let catalog = Catalog::open(buckets, CatalogOptions::default()).await.unwrap();
/// # let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
/// let (ada, name) = (Actor::new("ada"), TableName::in_default_schema("t").unwrap());
/// let transaction = catalog.begin(&ada);
/// let new = NewDataset { name: name.clone(), schema, bucket: None, properties: BTreeMap::new() };
/// transaction.catalog().create_dataset(new, &ada).await.unwrap();
/// assert!(transaction.catalog().resolve_opt(&name).await.unwrap().is_some());
/// assert!(catalog.resolve_opt(&name).await.unwrap().is_none());
/// transaction.commit().await.unwrap();
/// assert!(catalog.resolve_opt(&name).await.unwrap().is_some());
/// # });
/// ```
pub struct Transaction {
    id: Ulid,
    catalog: Catalog,
    actor: Actor,
    /// When it first looked at anything: that is what it sees.
    begun: OnceLock<DateTime<Utc>>,
    work: Mutex<Work>,
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("id", &self.id).field("begun", &self.begun).finish_non_exhaustive()
    }
}

impl Catalog {
    /// Begins a transaction. It sees what is there when it first looks, and nothing is written for it until it writes something.
    pub fn begin(&self, actor: &Actor) -> Arc<Transaction> {
        let (catalog, actor) = (self.outside(), actor.clone());
        Arc::new(Transaction { id: Ulid::new(), catalog, actor, begun: OnceLock::new(), work: Mutex::default() })
    }
}

impl Transaction {
    /// Its id, unique across processes.
    pub fn id(&self) -> TransactionId {
        self.id
    }

    /// The tables as it sees them; changes made through this are its own.
    pub fn catalog(self: &Arc<Self>) -> Catalog {
        self.catalog.within(Arc::clone(self))
    }

    /// Whether it can still be used.
    pub fn is_open(&self) -> bool {
        self.work.lock().phase == Phase::Open
    }

    /// Whether it has neither read nor written anything, so that it costs nothing to keep.
    pub fn is_untouched(&self) -> bool {
        self.begun.get().is_none()
    }

    /// Whether it was rolled back, by whoever it was, or failed to be committed.
    pub fn is_rolled_back(&self) -> bool {
        self.work.lock().phase == Phase::RolledBack
    }

    /// Sets a mark to which it can be rolled back, and returns the mark's id.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the transaction has ended.
    pub fn savepoint(&self, name: &str) -> Result<SavepointId> {
        let mut work = self.open()?;
        work.check_room()?;
        let id = Ulid::new();
        let savepoint = Savepoint::new(id, name, &work);
        work.savepoints.push(savepoint);
        Ok(id)
    }

    /// The newest mark of that name.
    pub fn find_savepoint(&self, name: &str) -> Option<SavepointId> {
        self.work.lock().savepoints.iter().rev().find(|savepoint| savepoint.name == name).map(|savepoint| savepoint.id)
    }

    /// Takes back what was done since a mark, and forgets the marks set since. `keep`: the mark itself stays.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such mark, or the transaction has ended.
    pub fn rollback_to(&self, savepoint: SavepointId, keep: bool) -> Result<()> {
        let mut work = self.open()?;
        let at = work.find(savepoint)?;
        work.restore(at);
        work.savepoints.truncate(if keep { at + 1 } else { at });
        Ok(())
    }

    /// Forgets a mark and those set since; what was done stays.
    ///
    /// # Errors
    /// As [`Transaction::rollback_to`].
    pub fn release(&self, savepoint: SavepointId) -> Result<()> {
        let mut work = self.open()?;
        let at = work.find(savepoint)?;
        work.savepoints.truncate(at);
        Ok(())
    }

    /// Makes all changes visible, in one step. It goes on even when the future is dropped. The transaction has ended
    /// afterwards, whatever the outcome.
    ///
    /// # Errors
    /// [`Error::Conflict`] when somebody else has changed what it changes; [`Error::CommitUnknown`] when it may or may not
    /// be visible; after any other nothing is.
    pub async fn commit(self: &Arc<Self>) -> Result<()> {
        let work = self.end(Phase::Ending)?;
        let this = Arc::clone(self);
        let task = tokio::spawn(async move {
            let outcome = this.commit_all(&work).await;
            this.work.lock().phase = if outcome.is_ok() { Phase::Committed } else { Phase::RolledBack };
            match &outcome {
                Ok(()) => work.remove_rest(&this.catalog).await,
                // What may be committed needs its files.
                Err(Error::CommitUnknown { .. }) => {}
                Err(_) => work.remove(&this.catalog).await,
            }
            outcome
        });
        task.await.map_err(|error| Error::Internal(format!("a commit ended early: {error}")))?
    }

    /// Takes everything back.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it has ended already.
    pub async fn rollback(&self) -> Result<()> {
        let work = self.end(Phase::RolledBack)?;
        work.remove(&self.catalog).await;
        Ok(())
    }

    async fn commit_all(&self, work: &Work) -> Result<()> {
        let mut parts = Vec::new();
        for (id, touched) in &work.datasets {
            let Some(staged) = &touched.staged else { continue };
            let Some(part) = Part::new(&touched.dataset, staged, &self.actor)? else { continue };
            match work.fate(*id) {
                // Nobody sees it before it gets its name.
                Fate::Created => commit_alone(part).await.map_err(lost)?,
                Fate::Kept => parts.push(part),
                Fate::Dropped => {}
            }
        }
        let names: Vec<_> = work.names.iter().filter(|(_, change)| change.changes()).collect();
        // One thing alone needs nobody to decide about it.
        match (parts.len(), names.as_slice()) {
            (0, []) => return Ok(()),
            (1, []) => return commit_alone(parts.remove(0)).await.map_err(lost),
            (0, [(_, NameChange { before: None, after: Some(dataset) })]) => {
                return self.catalog.publish_dataset(dataset, false, &self.actor).await.map_err(lost);
            }
            _ => {}
        }
        commit_together(&self.catalog, self.id, parts, || self.announce(&names)).await.map_err(lost)?;
        self.seal(&names).await;
        Ok(())
    }

    fn begun(&self) -> DateTime<Utc> {
        *self.begun.get_or_init(|| self.catalog.now())
    }

    fn open(&self) -> Result<parking_lot::MutexGuard<'_, Work>> {
        let work = self.work.lock();
        match work.phase {
            Phase::Open => Ok(work),
            phase => Err(ended(phase)),
        }
    }

    /// Takes the work out, for whoever ends the transaction.
    fn end(&self, phase: Phase) -> Result<Work> {
        let mut work = self.open()?;
        Ok(std::mem::replace(&mut *work, Work { phase, ..Work::default() }))
    }

    /// A dataset at its newest version in this transaction, or at another.
    pub(crate) async fn snapshot(&self, dataset: &Dataset, at: At) -> Result<Arc<Snapshot>> {
        let base = self.pinned(dataset).await?;
        match at {
            At::Latest => Ok(self.open()?.newest(dataset.id()).unwrap_or(base)),
            At::Version(version) | At::Pinned(version) if version <= base.version => {
                dataset.committed_snapshot(at).await
            }
            At::Version(version) | At::Pinned(version) => {
                self.open()?.version(dataset.id(), version).ok_or_else(|| {
                    let hint = format!(" in table '{}', as far as this transaction can see", dataset.name());
                    Error::NotFound { what: "version", name: version.to_string(), hint }
                })
            }
            At::Timestamp(_) => {
                let found = dataset.committed_snapshot(at).await?;
                Ok(if found.version > base.version { base } else { found })
            }
        }
    }

    pub(crate) async fn history(&self, dataset: &Dataset) -> Result<Vec<SnapshotInfo>> {
        let base = self.pinned(dataset).await?;
        let mut history = self.open()?.infos(dataset.id());
        history.extend(dataset.committed_history().await?.into_iter().filter(|info| info.version <= base.version));
        Ok(history)
    }

    /// Adds a change.
    pub(crate) async fn stage(&self, dataset: &Dataset, change: Change, actor: &Actor) -> Result<Committed> {
        let (files, deletes) = (change.added.clone(), change.deletes.clone());
        self.with_staged(dataset).await?;
        let step = {
            let mut work = self.open()?;
            let now = self.catalog.now();
            let step = work.staged_mut(dataset.id())?.add(dataset, change, actor, now)?;
            if let Step::New(_) = &step {
                work.written.push((dataset.outside(), files, deletes));
            }
            step
        };
        match step {
            Step::New(snapshot) => Ok(Committed { version: snapshot.version, snapshot, duplicate: false }),
            Step::Duplicate(version) => {
                let snapshot = self.snapshot(dataset, At::Pinned(version)).await?;
                Ok(Committed { version, snapshot, duplicate: true })
            }
        }
    }

    /// Looks at a dataset's state.
    pub(crate) async fn look<T>(&self, dataset: &Dataset, look: impl FnOnce(&State) -> T) -> Result<T> {
        self.with_staged(dataset).await?;
        Ok(look(self.open()?.staged_mut(dataset.id())?.state()))
    }

    /// The version a dataset had when the transaction began. Found out when the transaction first touches the dataset, from
    /// the times in its log.
    async fn pinned(&self, dataset: &Dataset) -> Result<Arc<Snapshot>> {
        let (begun, without) = {
            let work = self.open()?;
            if let Some(touched) = work.datasets.get(&dataset.id()) {
                return Ok(Arc::clone(&touched.base));
            }
            // What the transaction itself has made is seen as it was made.
            ((work.fate(dataset.id()) != Fate::Created).then_some(self.begun()), work.unseen.clone())
        };
        let (version, undecided) = dataset.pin(begun, &without).await?;
        // It may have been expired since the transaction began.
        let base = dataset.committed_snapshot(At::Pinned(version)).await?;
        let mut work = self.open()?;
        // If it is committed now, another dataset must not show it either.
        work.unseen.extend(undecided);
        let touched = || Touched { dataset: dataset.outside(), base, staged: None };
        Ok(Arc::clone(&work.datasets.entry(dataset.id()).or_insert_with(touched).base))
    }

    /// Makes sure that changes of a dataset can be staged.
    async fn with_staged(&self, dataset: &Dataset) -> Result<()> {
        let base = self.pinned(dataset).await?;
        if self.open()?.datasets.get(&dataset.id()).is_some_and(|touched| touched.staged.is_some()) {
            return Ok(());
        }
        let staged = Staged::on(dataset, base.version).await?;
        if let Some(touched) = self.open()?.datasets.get_mut(&dataset.id()) {
            touched.staged.get_or_insert(staged);
        }
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let work = std::mem::take(self.work.get_mut());
        if work.phase != Phase::Open || work.is_empty() {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let catalog = self.catalog.clone();
            runtime.spawn(async move { work.remove(&catalog).await });
        }
    }
}

fn ended(phase: Phase) -> Error {
    let how = match phase {
        Phase::Open => "is open",
        Phase::Ending => "is being committed",
        Phase::Committed => "was committed",
        Phase::RolledBack => "was rolled back",
    };
    Error::NotFound { what: "transaction", name: "this one".to_owned(), hint: format!(": it {how}; begin another") }
}

/// Whatever somebody else did to a table that the transaction changes, the transaction came second.
fn lost(error: Error) -> Error {
    let conflict = |what: String, reason: &str| Error::Conflict { what, reason: reason.to_owned() };
    match error {
        Error::NotFound { what: what @ ("table" | "schema"), name, .. } => {
            conflict(format!("{what} '{name}'"), "it was dropped since the transaction began")
        }
        Error::AlreadyExists { what, name } => {
            conflict(format!("{what} '{name}'"), "it was created since the transaction began")
        }
        other => other,
    }
}
