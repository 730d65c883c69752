//! One ingest in progress: a destination, a writer, and at the end one commit.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use skein_catalog::{
    Actor, At, Catalog, Change, DataFile, Dataset, NewDataset, Operation, Snapshot,
    writer::{DatasetWriter, WriterOptions, remove_files},
};
use skein_storage::Bucket;
use tokio::sync::watch;

use crate::{
    BatchOptions, Error, IngestMode, IngestReport, IngestTarget, Progress, Result, ingest_batches, reconcile,
    reconcile::Conformer, stored,
};

/// What the commit at the end will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// Commit to a dataset that nobody sees, then give it its name.
    Create,
    Append,
    Replace,
}

/// One ingest in progress. Dropping it leaves nothing visible: the writer removes what it wrote, and a table that was
/// only staged goes away.
pub(crate) struct Load<'a> {
    destination: Destination<'a>,
    conformer: Arc<Conformer>,
    writer: DatasetWriter,
    batches: u64,
    rows: u64,
}

impl<'a> Load<'a> {
    /// Checks the incoming columns and prepares the destination.
    ///
    /// # Errors
    /// When the columns cannot be accepted, or do not fit those of the table they are appended to.
    pub(crate) async fn begin(
        catalog: &'a Catalog,
        target: IngestTarget,
        existing: Option<Dataset>,
        incoming: &SchemaRef,
        options: WriterOptions,
        actor: &'a Actor,
    ) -> Result<Load<'a>> {
        reconcile::check_columns(incoming)?;
        let (plan, dataset, schema) = match existing {
            Some(dataset) if target.mode == IngestMode::Replace => {
                let schema = dataset.plan_schema(&reconcile::storable(incoming)?).await?;
                (Plan::Replace, dataset, schema)
            }
            Some(dataset) => {
                let schema = dataset.snapshot(At::Latest).await?.schema.clone();
                (Plan::Append, dataset, schema)
            }
            None => {
                let dataset = stage(catalog, &target, reconcile::storable(incoming)?, actor).await?;
                let schema = dataset.snapshot(At::Latest).await?.schema.clone();
                (Plan::Create, dataset, schema)
            }
        };
        let staged = Staged((plan == Plan::Create).then(|| (catalog.clone(), dataset.clone())));
        let conformer = Arc::new(Conformer::new(incoming, &schema, &target.name)?);
        let writer = DatasetWriter::new(&dataset, schema.clone(), options.clone());
        let destination = Destination { catalog, actor, target, plan, dataset, schema, options, staged };
        Ok(Self { destination, conformer, writer, batches: 0, rows: 0 })
    }

    /// Where the table's files are.
    pub(crate) fn bucket(&self) -> &Bucket {
        self.destination.dataset.bucket()
    }

    /// Rows handed to the writer.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes one batch; returns when the writer has room for the next.
    ///
    /// # Errors
    /// When the batch does not have the columns the stream began with, or holds what the table cannot.
    pub(crate) async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let (number, row) = (self.batches, self.rows);
        let conformed = if self.conformer.is_cheap() {
            self.conformer.conform(batch, number, row)?
        } else {
            let conformer = Arc::clone(&self.conformer);
            let cast = tokio::task::spawn_blocking(move || conformer.conform(batch, number, row));
            cast.await.map_err(|error| Error::from_join("the stream", error))??
        };
        for batch in conformed {
            let rows = batch.num_rows() as u64;
            self.writer.write(batch).await?;
            self.rows += rows;
        }
        self.batches += 1;
        Ok(())
    }

    /// Gives up: removes what was written, and hands the reason back.
    pub(crate) async fn abort(self, reason: Error) -> Error {
        self.discard().await;
        reason
    }

    /// Removes what was written.
    pub(crate) async fn discard(self) {
        self.writer.abort().await;
        self.destination.staged.discard().await;
    }

    /// A report if the table holds the data of this key already.
    pub(crate) async fn find_duplicate(&self, key: &str) -> Result<Option<IngestReport>> {
        Ok(match self.destination.standing(key).await? {
            Standing::Duplicate(snapshot) => Some(self.destination.duplicate(&snapshot, 0)),
            Standing::New(_) => None,
        })
    }

    /// Commits all that was written.
    ///
    /// # Errors
    /// When a bucket fails, or another writer made or changed the table in a way that excludes this change.
    pub(crate) async fn finish(self, key: Option<String>, bytes: u64) -> Result<IngestReport> {
        let Self { destination, writer, rows, .. } = self;
        let key = match key {
            None => None,
            Some(key) => match destination.standing(&key).await? {
                Standing::New(key) => Some(key),
                Standing::Duplicate(snapshot) => {
                    writer.abort().await;
                    return Ok(destination.duplicate(&snapshot, bytes));
                }
            },
        };
        let added = writer.finish().await?;
        destination.commit(added, key, rows, bytes).await
    }
}

enum Standing {
    /// Not there; to be committed under this key.
    New(String),
    /// Came in with this snapshot.
    Duplicate(Arc<Snapshot>),
}

/// The table, and what the commit does to it.
struct Destination<'a> {
    catalog: &'a Catalog,
    actor: &'a Actor,
    target: IngestTarget,
    plan: Plan,
    dataset: Dataset,
    /// The columns the table will have, with field ids.
    schema: SchemaRef,
    options: WriterOptions,
    staged: Staged,
}

impl Destination<'_> {
    /// Whether data of this key is in the table as it is now. A key only counts since the table's rows were last
    /// replaced: what was in before is gone, and the same file may well be sent again.
    async fn standing(&self, key: &str) -> Result<Standing> {
        if self.plan == Plan::Create {
            return Ok(Standing::New(key.to_owned()));
        }
        let Some(version) = self.dataset.find_key(key).await? else { return Ok(Standing::New(key.to_owned())) };
        let history = self.dataset.history().await?;
        let done = history.iter().find(|info| !info.operation.keeps_rows());
        let head = done.map_or(version, |info| info.version);
        let since = match self.plan {
            // A replacement repeats an earlier one only if that one is the newest change.
            Plan::Replace => head,
            _ => history.iter().find(|i| i.operation == Operation::Replace).map_or(0, |info| info.version),
        };
        if version >= since {
            return Ok(Standing::Duplicate(self.dataset.snapshot(At::Pinned(version)).await?));
        }
        let qualified = format!("{key}@{since}");
        match self.dataset.find_key(&qualified).await? {
            Some(version) => Ok(Standing::Duplicate(self.dataset.snapshot(At::Pinned(version)).await?)),
            None => Ok(Standing::New(qualified)),
        }
    }

    fn duplicate(&self, snapshot: &Snapshot, bytes: u64) -> IngestReport {
        IngestReport { duplicate: true, ..self.report(snapshot, 0, bytes, 0) }
    }

    fn report(&self, snapshot: &Snapshot, rows: u64, bytes: u64, files: usize) -> IngestReport {
        IngestReport {
            dataset: self.target.name.clone(),
            version: snapshot.version,
            rows,
            bytes,
            files,
            duplicate: false,
            skipped_rows: 0,
            rejects: Vec::new(),
            rejects_key: None,
        }
    }

    async fn commit(self, added: Vec<DataFile>, key: Option<String>, rows: u64, bytes: u64) -> Result<IngestReport> {
        let files = added.len();
        if files == 0 && self.plan == Plan::Append {
            // Nothing to add: no version, so that polling loads do not fill the history.
            let snapshot = self.dataset.snapshot(At::Latest).await?;
            return Ok(self.report(&snapshot, 0, bytes, 0));
        }
        let change = Change {
            operation: if self.plan == Plan::Replace { Operation::Replace } else { Operation::Append },
            schema: (self.plan == Plan::Replace).then(|| self.schema.clone()),
            idempotency_key: key.clone(),
            ..Change::append(added.clone())
        };
        let committed = match self.dataset.commit(change, self.actor).await {
            Ok(committed) => committed,
            Err(error) => {
                self.discard(&error, &added).await;
                return Err(error.into());
            }
        };
        if committed.duplicate {
            remove_files(&self.dataset, &added).await;
            return Ok(self.duplicate(&committed.snapshot, bytes));
        }
        let report = self.report(&committed.snapshot, rows, bytes, files);
        if self.plan == Plan::Create { self.publish(report, added, key).await } else { Ok(report) }
    }

    /// Removes files that no snapshot will ever hold. When it is not known whether one does, they stay.
    async fn discard(mut self, error: &skein_catalog::Error, added: &[DataFile]) {
        if matches!(error, skein_catalog::Error::CommitUnknown { .. }) {
            return self.staged.keep();
        }
        remove_files(&self.dataset, added).await;
        self.staged.discard().await;
    }

    async fn publish(
        mut self,
        report: IngestReport,
        added: Vec<DataFile>,
        key: Option<String>,
    ) -> Result<IngestReport> {
        let replace = self.target.mode == IngestMode::Replace;
        // From here on it may be visible, even if this future is dropped half-way, so only a definite answer removes it.
        // If it is not visible after all, garbage collection finds it.
        self.staged.keep();
        match self.catalog.publish_dataset(&self.dataset, replace, self.actor).await {
            Ok(()) => Ok(report),
            Err(skein_catalog::Error::AlreadyExists { .. }) => {
                let outcome = match self.target.mode {
                    IngestMode::CreateAppend => self.append_instead(report, &added, key).await,
                    _ => Err(Error::TableExists(self.target.name.clone())),
                };
                discard(self.catalog, &self.dataset).await;
                outcome
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Another writer made the table while these rows came in: they are appended to that one. They have to be written
    /// again, because its columns may be others and its files are elsewhere.
    async fn append_instead(
        &self,
        report: IngestReport,
        added: &[DataFile],
        key: Option<String>,
    ) -> Result<IngestReport> {
        let columns = skein_catalog::strip_field_ids(&self.schema);
        let (schema, batches) = stored::read(&self.dataset, added, &columns).await?;
        let options = BatchOptions { idempotency_key: key, writer: self.options.clone() };
        let (progress, _) = watch::channel(Progress::default());
        let (target, bytes) = (self.target.clone(), report.bytes);
        let again = ingest_batches(self.catalog, target, schema, batches, options, self.actor, progress);
        Ok(IngestReport { bytes, ..Box::pin(again).await? })
    }
}

/// A dataset that nobody can see yet. Dropping this removes it in the background.
struct Staged(Option<(Catalog, Dataset)>);

impl Staged {
    /// It is visible now, or may be.
    fn keep(&mut self) {
        self.0 = None;
    }

    /// Removes it now. Best effort: garbage collection finds what is left.
    async fn discard(mut self) {
        if let Some((catalog, dataset)) = self.0.take() {
            discard(&catalog, &dataset).await;
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let (Some((catalog, dataset)), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { discard(&catalog, &dataset).await });
        }
    }
}

async fn discard(catalog: &Catalog, dataset: &Dataset) {
    if let Err(error) = catalog.discard_dataset(dataset).await {
        tracing::debug!(dataset = %dataset.id(), %error, "a staged dataset is left for garbage collection");
    }
}

async fn stage(catalog: &Catalog, target: &IngestTarget, schema: SchemaRef, actor: &Actor) -> Result<Dataset> {
    let new =
        NewDataset { name: target.name.clone(), schema, bucket: target.bucket.clone(), properties: BTreeMap::new() };
    Ok(catalog.stage_dataset(new, actor).await?)
}
