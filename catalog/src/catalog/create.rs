//! Creating datasets, views and external tables.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_schema::SchemaRef;
use skein_model::{DatasetId, TableName};
use skein_storage::{Bucket, PutNew};
use ulid::Ulid;

use super::{Catalog, schemas::SchemaId};
use crate::{
    Actor, Dataset, Entry, EntryKind, Error, ExternalSpec, NewDataset, Operation, Result, SnapshotInfo, StoredSchema,
    ViewSpec, fingerprint,
    log::{self, Delta},
    names::{NAME_KIND, NameRecord, Target, name_id},
    persisted,
    schema::{assign, validate},
};

/// How often a change of a name is tried when other servers change it too.
const ATTEMPTS: usize = 20;

/// A fraction of [`crate::maintenance::MIN_GRACE`]: what was begun no longer ago has not been collected.
const LONGEST_START: Duration = Duration::from_secs(10 * 60);

impl Catalog {
    /// Creates an empty dataset that is visible at once. To create one together with its first rows (`CREATE TABLE AS`,
    /// an ingest into a new table), use [`Catalog::stage_dataset`], commit, then [`Catalog::publish_dataset`].
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when the name is taken; [`Error::NotFound`] when its schema or the bucket does not
    /// exist; [`Error::InvalidInput`] and [`Error::Unimplemented`] for columns a dataset cannot have.
    pub async fn create_dataset(&self, new: NewDataset, actor: &Actor) -> Result<Dataset> {
        let dataset = self.stage_dataset(new, actor).await?;
        match self.publish_dataset(&dataset, false, actor).await {
            Ok(()) => Ok(dataset),
            Err(error) => {
                if matches!(error, Error::AlreadyExists { .. }) {
                    self.discard_quietly(&dataset).await;
                }
                Err(error)
            }
        }
    }

    /// Creates a dataset that nobody can see yet: version 1, without rows. It can be committed to like any other. Unless
    /// it is published, garbage collection removes it.
    ///
    /// # Errors
    /// As [`Catalog::create_dataset`], except that a name that is taken is no error before it is published;
    /// [`Error::Conflict`] when it took so long that garbage collection may have taken it for abandoned.
    pub async fn stage_dataset(&self, new: NewDataset, actor: &Actor) -> Result<Dataset> {
        new.name.check_creatable()?;
        validate(&new.schema)?;
        self.existing_schema_id(new.name.schema()).await?;
        let bucket = match &new.bucket {
            Some(name) => self.0.buckets.get(name)?,
            None => self.0.buckets.default_bucket(),
        };
        let id = DatasetId::generate();
        let delta = self.first_version(id, &new.schema, new.properties, actor);
        let (started, by_steady_clock) = (self.now(), Instant::now());
        write_first(&bucket, &delta).await?;
        // The write is repeated when it gets no answer. If that took very long, the first attempt may have been collected
        // as abandoned meanwhile, and the last one may have written to a log that has come to its end.
        let took = (self.now() - started).to_std().unwrap_or_default().max(by_steady_clock.elapsed());
        if took > LONGEST_START {
            let reason = format!("the first version took {} seconds to write", took.as_secs());
            return Err(Error::Conflict { what: format!("table '{}'", new.name), reason });
        }
        tracing::debug!(dataset = %id, table = %new.name, "dataset staged");
        Ok(self.dataset(new.name, bucket, id))
    }

    /// Makes a staged dataset visible under its name, with all that was committed to it, in one step. With
    /// `or_replace` it takes the name over from the dataset that has it, which is dropped.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when the name is taken, with `or_replace` by something that is not a dataset;
    /// [`Error::NotFound`] when garbage collection has taken the dataset for abandoned. After these two the name means
    /// what it meant before. After any other the name may stand for the dataset, and garbage collection may have
    /// dropped that meanwhile, so that it cannot be read: then the name is to be dropped.
    pub async fn publish_dataset(&self, dataset: &Dataset, or_replace: bool, actor: &Actor) -> Result<()> {
        if let Some(transaction) = self.transaction() {
            return transaction.publish(dataset, or_replace).await;
        }
        if or_replace {
            // Found out early, nothing has to be taken back, and what is replaced never loses its name.
            dataset.object_to_drop(actor).await?;
        }
        let target = Target::Dataset { id: dataset.id(), bucket: dataset.bucket().name().to_owned() };
        let replaceable = or_replace.then_some(EntryKind::Dataset);
        let replaced = self.claim(dataset.name(), target, replaceable, actor).await?;
        if let Err(error) = dataset.object_to_drop(actor).await {
            if !matches!(error, Error::NotFound { .. }) {
                return Err(error);
            }
            match self.take_back(dataset, replaced.clone(), actor).await {
                Ok(true) => return Err(error),
                Ok(false) => {}
                Err(error) => {
                    let name = dataset.name();
                    tracing::warn!(%name, %error, "the name may still stand for a table that was dropped; drop it");
                    return Err(error);
                }
            }
            // Somebody has seen the name and dropped or replaced it since: the dataset came, and went again.
        }
        // An old one whose bucket is not configured any more loses its name all the same.
        if let Some(Ok(Some((_, Entry::Dataset(old))))) = replaced.map(|record| self.entry(record))
            && old.id() != dataset.id()
        {
            self.seal_quietly(&old, actor).await;
        }
        Ok(())
    }

    /// Gives a name the meaning back that it had before it was given to a dataset that turned out to be dropped. False
    /// when it stands for something else, or nothing, by now.
    async fn take_back(&self, dataset: &Dataset, before: Option<NameRecord>, actor: &Actor) -> Result<bool> {
        let name = dataset.name();
        let target = before.as_ref().map_or(Target::Dropped, |record| record.target.clone());
        if !self.pass_on(name, dataset.id(), target, actor).await? {
            return Ok(false);
        }
        // Without its name the one from before may have been taken for abandoned too.
        if let Some(Ok(Some((_, Entry::Dataset(old))))) = before.map(|record| self.entry(record)) {
            match old.object_to_drop(actor).await {
                Err(Error::NotFound { .. }) => {
                    tracing::warn!(%name, dataset = %old.id(), "the table was dropped while another took its name");
                    self.pass_on(name, old.id(), Target::Dropped, actor).await?;
                }
                outcome => outcome?,
            }
        }
        Ok(true)
    }

    /// Gives a name another meaning if it stands for this dataset; false when it does not.
    async fn pass_on(&self, name: &TableName, from: DatasetId, to: Target, actor: &Actor) -> Result<bool> {
        for _ in 0..ATTEMPTS {
            let (version, Some(record)) = self.record_to_change(name).await? else { return Ok(false) };
            if !matches!(&record.target, Target::Dataset { id, .. } if *id == from) {
                return Ok(false);
            }
            if self.set_target(name, version, record.schema_id, to.clone(), actor).await? {
                return Ok(true);
            }
        }
        Err(contended(name))
    }

    /// Removes a staged dataset that will not be published. Files a writer has not committed are the writer's.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] when the dataset is visible: use [`Catalog::drop`].
    pub async fn discard_dataset(&self, dataset: &Dataset) -> Result<()> {
        if let Some(Entry::Dataset(visible)) = self.resolve_opt(dataset.name()).await?
            && visible.id() == dataset.id()
        {
            return Err(Error::InvalidInput(format!("table '{}' is published; drop it instead", dataset.name())));
        }
        self.0.datasets.invalidate(&dataset.id());
        for object in dataset.bucket().list(&log::dataset_folder(dataset.id())).await? {
            dataset.bucket().delete(object.location.as_ref()).await?;
        }
        Ok(())
    }

    /// Creates a view; with `or_replace`, puts it in the place of another view.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when the name is taken, with `or_replace` by something that is not a view;
    /// [`Error::NotFound`] when its schema does not exist.
    pub async fn create_view(&self, name: &TableName, view: ViewSpec, or_replace: bool, actor: &Actor) -> Result<()> {
        self.check_outside("CREATE VIEW")?;
        let replaceable = or_replace.then_some(EntryKind::View);
        self.claim(name, Target::View(view), replaceable, actor).await.map(drop)
    }

    /// Creates an external table.
    ///
    /// # Errors
    /// [`Error::AlreadyExists`] when the name is taken; [`Error::NotFound`] when its schema does not exist.
    pub async fn create_external(&self, name: &TableName, spec: ExternalSpec, actor: &Actor) -> Result<()> {
        self.check_outside("CREATE EXTERNAL TABLE")?;
        self.claim(name, Target::External(spec), None, actor).await.map(drop)
    }

    /// Gives a name a meaning and returns the one it had. A name that means something already is taken, unless that is
    /// of the `replaceable` kind.
    async fn claim(
        &self,
        name: &TableName,
        target: Target,
        replaceable: Option<EntryKind>,
        actor: &Actor,
    ) -> Result<Option<NameRecord>> {
        name.check_creatable()?;
        for _ in 0..ATTEMPTS {
            let schema_id = self.existing_schema_id(name.schema()).await?;
            let (version, current) = self.record_to_change(name).await?;
            let taken_by = current.as_ref().and_then(|r| r.target.kind());
            if let Some(kind) = taken_by.filter(|kind| Some(*kind) != replaceable) {
                return Err(Error::AlreadyExists { what: kind.as_str(), name: name.to_string() });
            }
            if self.set_target(name, version, schema_id, target.clone(), actor).await? {
                self.keep_schema(name.schema(), schema_id).await?;
                return Ok(current);
            }
        }
        Err(contended(name))
    }

    /// Writes the next version of a name's document; false when another server was first.
    pub(crate) async fn set_target(
        &self,
        name: &TableName,
        version: u64,
        schema_id: SchemaId,
        target: Target,
        actor: &Actor,
    ) -> Result<bool> {
        let record = NameRecord {
            name: name.clone(),
            schema_id,
            target,
            changed_by: actor.principal.clone(),
            changed_at: self.now(),
            reason: actor.reason.clone(),
        };
        match self.0.documents.put(NAME_KIND, &name_id(name), version, &record).await {
            Ok(_) => Ok(true),
            Err(Error::Conflict { .. }) => Ok(false),
            Err(Error::CommitUnknown { version, source, .. }) => {
                Err(Error::CommitUnknown { what: format!("name '{name}'"), version, source })
            }
            Err(error) => Err(error),
        }
    }

    /// Ends the log of a dataset that has lost its name. The name is what counts; without this, somebody who still holds
    /// a handle could go on committing to a dataset that nobody can see.
    pub(crate) async fn seal_quietly(&self, dataset: &Dataset, actor: &Actor) {
        if let Err(error) = dataset.seal(actor).await {
            tracing::warn!(dataset = %dataset.id(), %error, "the log of a dropped dataset was not ended");
        }
        // Nobody finds it by name again, so what is known of it would only take memory.
        self.0.datasets.invalidate(&dataset.id());
    }

    pub(crate) async fn discard_quietly(&self, dataset: &Dataset) {
        if let Err(error) = self.discard_dataset(dataset).await {
            tracing::debug!(dataset = %dataset.id(), %error, "staged dataset is left to garbage collection");
        }
    }

    fn first_version(
        &self,
        id: DatasetId,
        schema: &SchemaRef,
        properties: BTreeMap<String, String>,
        actor: &Actor,
    ) -> Delta {
        let assigned = assign(schema, None, 0);
        Delta {
            format: persisted::FORMAT,
            dataset: id,
            info: SnapshotInfo {
                version: 1,
                timestamp: self.now(),
                author: actor.principal.clone(),
                reason: actor.reason.clone(),
                operation: Operation::Create,
                rows_added: 0,
                rows_removed: 0,
                files_added: 0,
                files_removed: 0,
                rows: 0,
                bytes: 0,
                files: 0,
                schema_fingerprint: fingerprint(&assigned.schema),
                idempotency_key: None,
                parent: None,
                commit_id: Ulid::new(),
                transaction: None,
            },
            schema_id: 1,
            last_field_id: assigned.last_field_id,
            schema: Some(StoredSchema(Arc::clone(&assigned.schema))),
            properties,
            collected_before: None,
            expired: None,
            removed_all: false,
            removed: Vec::new(),
            added: Vec::new(),
            deletes: Vec::new(),
        }
    }
}

async fn write_first(bucket: &Bucket, delta: &Delta) -> Result<()> {
    let key = log::delta_key(delta.dataset, 1);
    match bucket.put_new(&key, persisted::encode(delta)?).await? {
        PutNew::Created => Ok(()),
        PutNew::Exists => Err(Error::Internal(format!("dataset id {} was given twice", delta.dataset))),
    }
}

pub(crate) fn contended(name: &TableName) -> Error {
    let reason = format!("{ATTEMPTS} attempts to change the name all came second");
    Error::Conflict { what: format!("name '{name}'"), reason }
}
