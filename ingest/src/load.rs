//! One ingest in progress: a destination, a writer, and at the end one commit.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use skein_catalog::{
    Actor, At, Catalog, Change, DataFile, Dataset, NewDataset, Operation, Snapshot,
    writer::{DatasetWriter, WriterOptions, remove_files},
};
use skein_storage::Bucket;

use crate::{Error, IngestMode, IngestReport, IngestTarget, Result, reconcile::Conformer, reconcile};

/// What the commit at the end will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// Commit to a dataset that nobody sees, then give it its name.
    Create,
    Append,
    Replace,
}

/// One ingest in progress. Dropping it leaves nothing visible: the writer removes what it wrote.
pub(crate) struct Load<'a> {
    catalog: &'a Catalog,
    actor: &'a Actor,
    target: IngestTarget,
    plan: Plan,
    dataset: Dataset,
    /// The columns the table will have, with field ids.
    schema: SchemaRef,
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
        let conformer = Arc::new(Conformer::new(incoming, &schema, &target.name)?);
        let writer = DatasetWriter::new(&dataset, schema.clone(), options);
        Ok(Self { catalog, actor, target, plan, dataset, schema, conformer, writer, batches: 0, rows: 0 })
    }

    /// Where the table's files are.
    pub(crate) fn bucket(&self) -> &Bucket {
        self.dataset.bucket()
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
        self.writer.abort().await;
        reason
    }

    /// A report if the table holds the data of this key already.
    pub(crate) async fn find_duplicate(&self, key: &str) -> Result<Option<IngestReport>> {
        match self.standing(key).await? {
            Standing::Duplicate(snapshot) => Ok(Some(self.report(&snapshot, 0, 0, true))),
            Standing::New(_) => Ok(None),
        }
    }

    /// Commits all that was written.
    ///
    /// # Errors
    /// When a bucket fails, or another writer made or changed the table in a way that excludes this change.
    pub(crate) async fn finish(self, key: Option<String>, bytes: u64) -> Result<IngestReport> {
        let key = match key {
            None => None,
            Some(key) => match self.standing(&key).await? {
                Standing::New(key) => Some(key),
                Standing::Duplicate(snapshot) => {
                    let report = self.report(&snapshot, 0, bytes, true);
                    self.writer.abort().await;
                    return Ok(report);
                }
            },
        };
        let rows = self.rows;
        let Self { catalog, actor, target, plan, dataset, schema, writer, .. } = self;
        let added = writer.finish().await?;
        let done = Done { catalog, actor, target, plan, dataset, schema };
        done.commit(added, key, rows, bytes).await
    }

    /// Whether data of this key is in the table as it is now. A key only counts since the table's rows were last
    /// replaced: what was in before is gone, and the same file may well be sent again.
    async fn standing(&self, key: &str) -> Result<Standing> {
        if self.plan == Plan::Create {
            return Ok(Standing::New(key.to_owned()));
        }
        let Some(version) = self.dataset.find_key(key).await? else { return Ok(Standing::New(key.to_owned())) };
        let history = self.dataset.history().await?;
        let head = history.first().map_or(version, |info| info.version);
        let since = match self.plan {
            // A replacement repeats an earlier one only if that one is the newest change.
            Plan::Replace => head,
            _ => history.iter().find(|i| i.operation == Operation::Replace).map_or(0, |info| info.version),
        };
        if version >= since {
            return Ok(Standing::Duplicate(self.dataset.snapshot(At::Version(version)).await?));
        }
        let qualified = format!("{key}@{since}");
        match self.dataset.find_key(&qualified).await? {
            Some(version) => Ok(Standing::Duplicate(self.dataset.snapshot(At::Version(version)).await?)),
            None => Ok(Standing::New(qualified)),
        }
    }

    fn report(&self, snapshot: &Snapshot, files: usize, bytes: u64, duplicate: bool) -> IngestReport {
        report(&self.target, snapshot, if duplicate { 0 } else { self.rows }, bytes, files, duplicate)
    }
}

enum Standing {
    /// Not there; to be committed under this key.
    New(String),
    /// Came in with this snapshot.
    Duplicate(Arc<Snapshot>),
}

/// What is left of a [`Load`] once its writer is finished.
struct Done<'a> {
    catalog: &'a Catalog,
    actor: &'a Actor,
    target: IngestTarget,
    plan: Plan,
    dataset: Dataset,
    schema: SchemaRef,
}

impl Done<'_> {
    async fn commit(self, added: Vec<DataFile>, key: Option<String>, rows: u64, bytes: u64) -> Result<IngestReport> {
        let files = added.len();
        if files == 0 && self.plan == Plan::Append {
            // Nothing to add: no version, so that polling loads do not fill the history.
            let snapshot = self.dataset.snapshot(At::Latest).await?;
            return Ok(report(&self.target, &snapshot, 0, bytes, 0, false));
        }
        let change = Change {
            operation: if self.plan == Plan::Replace { Operation::Replace } else { Operation::Append },
            schema: (self.plan == Plan::Replace).then(|| self.schema.clone()),
            idempotency_key: key,
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
            return Ok(report(&self.target, &committed.snapshot, 0, bytes, 0, true));
        }
        if self.plan == Plan::Create {
            self.publish(&added).await?;
        }
        Ok(report(&self.target, &committed.snapshot, rows, bytes, files, false))
    }

    /// Removes files that no snapshot will ever hold. When it is not known whether one does, they stay.
    async fn discard(&self, error: &skein_catalog::Error, added: &[DataFile]) {
        if !matches!(error, skein_catalog::Error::CommitUnknown { .. }) {
            remove_files(&self.dataset, added).await;
        }
    }

    async fn publish(&self, added: &[DataFile]) -> Result<()> {
        let or_replace = self.target.mode == IngestMode::Replace;
        let Err(error) = self.catalog.publish_dataset(&self.dataset, or_replace, self.actor).await else {
            return Ok(());
        };
        self.discard(&error, added).await;
        Err(match error {
            skein_catalog::Error::AlreadyExists { .. } if self.target.mode == IngestMode::CreateAppend => {
                Error::CreatedMeanwhile(self.target.name.clone())
            }
            skein_catalog::Error::AlreadyExists { .. } => Error::TableExists(self.target.name.clone()),
            error => error.into(),
        })
    }
}

async fn stage(catalog: &Catalog, target: &IngestTarget, schema: SchemaRef, actor: &Actor) -> Result<Dataset> {
    let new = NewDataset {
        name: target.name.clone(),
        schema,
        bucket: target.bucket.clone(),
        properties: BTreeMap::new(),
    };
    Ok(catalog.stage_dataset(new, actor).await?)
}

fn report(
    target: &IngestTarget,
    snapshot: &Snapshot,
    rows: u64,
    bytes: u64,
    files: usize,
    duplicate: bool,
) -> IngestReport {
    IngestReport {
        dataset: target.name.clone(),
        version: snapshot.version,
        rows,
        bytes,
        files,
        duplicate,
        skipped_rows: 0,
        rejects: Vec::new(),
        rejects_key: None,
    }
}
