//! A server that is told what to do, and remembers what it was told in return.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use object_store::{ObjectStoreExt, path::Path};
use skein_catalog::{
    Actor, At, Catalog, Change, DataFile, Dataset, Entry, Error, FileDeletes, NewDataset, Operation, Removed, Result,
    Retention, RowSet, Snapshot, maintenance,
};
use skein_model::{DatasetId, ErrorKind, Kind, ManualClock};

use crate::{
    DATA, Script, Step, TABLES,
    support::{ada, file, name, new_dataset},
};

/// A row, unlike any other.
pub type Row = u64;
/// Bytes of a row in a file.
const ROW_BYTES: usize = 10;

/// Gives out rows that never were before.
#[derive(Clone, Default)]
pub struct Rows(Arc<AtomicU64>);

impl Rows {
    fn take(&self, count: u64) -> Vec<Row> {
        let first = self.0.fetch_add(count, Ordering::SeqCst);
        (first..first + count).collect()
    }
}

/// A change, and what its writer was told.
#[derive(Debug)]
pub struct Told {
    /// What the log says of it, if it is there.
    pub id: String,
    pub dataset: DatasetId,
    pub operation: Operation,
    pub adds: Vec<Row>,
    pub takes: Vec<Row>,
    pub base: Option<u64>,
    pub key: Option<String>,
    /// For an expiry: the oldest version that stays.
    pub oldest: Option<u64>,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Committed(u64),
    Duplicate(u64),
    Refused,
    /// The version it may be.
    Unknown(u64),
}

/// What a writer was told about names.
#[derive(Debug, Default)]
pub struct Names {
    /// Per table: how often it was made and dropped for sure, and how many such changes got no definite answer.
    pub made: [i64; 2],
    pub dropped: [i64; 2],
    pub unknown: [i64; 2],
    /// Tables that were put in the place of others.
    pub replacing: bool,
    /// Tables that were given their name for sure.
    pub published: BTreeSet<DatasetId>,
}

/// A change that is ready to be committed, and the rows it is about.
pub struct Planned {
    dataset: Dataset,
    change: Change,
    adds: Vec<Row>,
    takes: Vec<Row>,
}

pub struct Writer {
    pub catalog: Catalog,
    clock: ManualClock,
    rows: Rows,
    pub told: Vec<Told>,
    pub names: Names,
    /// Handles from before, some of them on tables that are gone.
    handles: [Option<Dataset>; 2],
}

impl Writer {
    pub fn new(catalog: Catalog, clock: ManualClock, rows: Rows) -> Self {
        let (told, names) = (Vec::new(), Names::default());
        Self { catalog, clock, rows, told, names, handles: [None, None] }
    }

    pub async fn work(mut self, script: Script) -> Self {
        for (table, step) in script {
            match step {
                Step::Pause(yields) => {
                    for _ in 0..yields {
                        tokio::task::yield_now().await;
                    }
                }
                Step::Collect { later } => {
                    if later {
                        self.clock.advance(TimeDelta::days(2));
                    }
                    // It may meet faults, and does what it can.
                    let _ = maintenance::gc(&self.catalog, Duration::ZERO, false).await;
                }
                Step::Create => {
                    let made = self.catalog.create_dataset(new(table), &ada()).await;
                    self.names.published.extend(made.as_ref().ok().map(Dataset::id));
                    self.note_name(table, made.map(drop), 1);
                }
                Step::CreateAs { or_replace } => self.create_as(table, or_replace).await,
                Step::Drop => {
                    let dropped = self.catalog.drop(&name(TABLES[table]), None, &ada()).await;
                    self.note_name(table, dropped, -1);
                }
                Step::Expire(keep) => self.expire(table, keep.into()).await,
                Step::Append { .. } | Step::Replace { .. } | Step::Delete(_) | Step::Update(_) | Step::Compact => {
                    if let Some(planned) = self.plan(table, &step).await {
                        self.commit(planned).await;
                    }
                }
            }
        }
        self
    }

    fn note_name(&mut self, table: usize, outcome: Result<()>, by: i64) {
        match outcome {
            Ok(()) if by > 0 => self.names.made[table] += 1,
            Ok(()) => self.names.dropped[table] += 1,
            // A table that was taken for abandoned has lost its name again, or somebody else dropped it and it is `Ok`.
            Err(Error::AlreadyExists { .. } | Error::NotFound { .. }) => {}
            // Where names are written, a fault may hide that they were.
            Err(_) => self.names.unknown[table] += 1,
        }
    }

    async fn create_as(&mut self, table: usize, or_replace: bool) {
        let Ok(staged) = self.catalog.stage_dataset(new(table), &ada()).await else { return };
        let Some(planned) = self.added(&staged, Change::append(Vec::new())).await else { return };
        let done = self.commit(planned).await;
        if !matches!(done, Outcome::Committed(_)) {
            return;
        }
        self.names.replacing |= or_replace;
        let published = self.catalog.publish_dataset(&staged, or_replace, &ada()).await;
        self.names.published.extend(published.is_ok().then_some(staged.id()));
        self.note_name(table, published, 1);
    }

    /// The table as its name says, or as it said before.
    async fn table(&mut self, table: usize) -> Option<Dataset> {
        let Ok(found) = self.catalog.resolve_opt(&name(TABLES[table])).await else {
            return self.handles[table].clone();
        };
        if let Some(Entry::Dataset(dataset)) = found {
            self.handles[table] = Some(dataset);
        }
        self.handles[table].clone()
    }

    /// Looks at the table and writes the files of a change; `None` when something came in between, or there is nothing to
    /// change.
    pub async fn plan(&mut self, table: usize, step: &Step) -> Option<Planned> {
        let dataset = self.table(table).await?;
        let seen = dataset.snapshot(At::Latest).await.ok()?;
        let change = |operation| Change { operation, ..Change::append(Vec::new()) };
        match step {
            Step::Append { key } => {
                let idempotency_key = key.map(|key| key.to_string());
                self.added(&dataset, Change { idempotency_key, ..Change::append(Vec::new()) }).await
            }
            Step::Replace { based } => {
                let read_version = based.then_some(seen.version);
                self.added(&dataset, Change { read_version, ..change(Operation::Replace) }).await
            }
            Step::Delete(which) => self.taken(dataset, &seen, *which, change(Operation::Delete)).await,
            Step::Update(which) => {
                let planned = self.taken(dataset.clone(), &seen, *which, change(Operation::Update)).await?;
                let added = self.added(&dataset, planned.change.clone()).await;
                if added.is_none() {
                    remove(&dataset, &planned.change).await;
                }
                Some(Planned { takes: planned.takes, ..added? })
            }
            Step::Compact => compacted(dataset, &seen).await,
            _ => None,
        }
    }

    /// With a file of rows that are new.
    async fn added(&self, dataset: &Dataset, mut change: Change) -> Option<Planned> {
        let adds = self.rows.take(3);
        change.added = vec![put(dataset, &adds).await?];
        Some(Planned { dataset: dataset.clone(), change, adds, takes: Vec::new() })
    }

    /// Without one of the rows that are there.
    async fn taken(&self, dataset: Dataset, seen: &Snapshot, which: u8, mut change: Change) -> Option<Planned> {
        let file = seen.files.get(usize::from(which) % seen.files.len().max(1))?;
        let former = dataset.read_deletes(file).await.ok()?;
        let all = rows_of(&dataset, file).await?;
        let live: Vec<_> = (0_u32..).zip(all).filter(|(position, _)| !former.contains(*position)).collect();
        let (position, row) = *live.get(usize::from(which) % live.len().max(1))?;
        if live.len() == 1 {
            change.removed = vec![Removed::from(file.as_ref())];
        } else {
            let more: RowSet = [position].into_iter().collect();
            change.deletes = vec![dataset.write_deletes(file, &former, &more).await.ok()?];
        }
        change.read_version = Some(seen.version);
        Some(Planned { dataset, change, adds: Vec::new(), takes: vec![row] })
    }

    async fn expire(&mut self, table: usize, keep: u64) {
        let Some(dataset) = self.table(table).await else { return };
        let (id, actor) = self.signed();
        let retention = Retention { keep_versions: Some(keep), keep_age: None };
        let (outcome, oldest) = match dataset.expire(retention, false, &actor).await {
            Ok(expired) => (expired.version.map(Outcome::Committed), Some(expired.oldest)),
            Err(error) => (Some(outcome_of(&error)), None),
        };
        let Some(outcome) = outcome else { return };
        let (operation, dataset) = (Operation::Expire, dataset.id());
        let (adds, takes, base, key) = (Vec::new(), Vec::new(), None, None);
        self.told.push(Told { id, dataset, operation, adds, takes, base, key, oldest, outcome });
    }

    /// Commits as a server does: what was refused, or was there already, is removed.
    pub async fn commit(&mut self, planned: Planned) -> Outcome {
        let Planned { dataset, change, adds, takes } = planned;
        let (id, actor) = self.signed();
        let outcome = match dataset.commit(change.clone(), &actor).await {
            Ok(committed) if committed.duplicate => Outcome::Duplicate(committed.version),
            Ok(committed) => {
                assert!(change.added.iter().all(|file| committed.snapshot.files.iter().any(|f| f.id == file.id)));
                Outcome::Committed(committed.version)
            }
            Err(error) => outcome_of(&error),
        };
        if matches!(outcome, Outcome::Refused | Outcome::Duplicate(_)) {
            remove(&dataset, &change).await;
        }
        let (operation, base, key) = (change.operation, change.read_version, change.idempotency_key);
        let (dataset, told) = (dataset.id(), outcome.clone());
        self.told.push(Told { id, dataset, operation, adds, takes, base, key, oldest: None, outcome: told });
        outcome
    }

    /// An id for the next change, and who commits it so that the log shows it.
    fn signed(&self) -> (String, Actor) {
        let id = self.rows.take(1)[0].to_string();
        (id.clone(), Actor { reason: Some(id), ..ada() })
    }
}

fn outcome_of(error: &Error) -> Outcome {
    if let Error::CommitUnknown { version, .. } = error {
        return Outcome::Unknown(*version);
    }
    assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
    assert_ne!(error.kind(), ErrorKind::InvalidInput, "{error}");
    Outcome::Refused
}

pub fn new(table: usize) -> NewDataset {
    NewDataset { bucket: Some(DATA.to_owned()), ..new_dataset(TABLES[table]) }
}

/// All files as one, without the rows that were deleted.
async fn compacted(dataset: Dataset, seen: &Snapshot) -> Option<Planned> {
    let is_done = seen.files.iter().all(|file| file.deletes.is_none());
    if seen.files.is_empty() || (seen.files.len() == 1 && is_done) {
        return None;
    }
    let rows = live_rows(&dataset, &seen.files).await?;
    let added = vec![put(&dataset, &rows).await?];
    let removed = seen.files.iter().map(|file| Removed::from(file.as_ref())).collect();
    let read_version = Some(seen.version);
    let change = Change { operation: Operation::Compact, removed, read_version, ..Change::append(added) };
    Some(Planned { dataset, change, adds: Vec::new(), takes: Vec::new() })
}

/// Removes what a change has written.
async fn remove(dataset: &Dataset, change: &Change) {
    skein_catalog::writer::remove_files(dataset, &change.added).await;
    let deletes: &[FileDeletes] = &change.deletes;
    dataset.remove_deletes(deletes).await;
}

/// Writes a file that nobody refers to yet.
async fn put(dataset: &Dataset, rows: &[Row]) -> Option<DataFile> {
    let file = file(rows.len() as u64);
    let key = Path::from(dataset.data_key(file.id));
    let mut body = Vec::with_capacity(rows.len() * ROW_BYTES);
    for row in rows {
        body.extend(row.to_le_bytes());
        body.extend([0; ROW_BYTES - size_of::<Row>()]);
    }
    dataset.bucket().store().put(&key, body.into()).await.is_ok().then_some(file)
}

/// The rows that were written to a file; `None` when it cannot be read, or is gone.
async fn rows_of(dataset: &Dataset, file: &DataFile) -> Option<Vec<Row>> {
    let body = dataset.bucket().get_opt(&dataset.data_key(file.id)).await.ok()??;
    if body.len() as u64 != file.bytes {
        return None;
    }
    let row = |bytes: &[u8]| bytes.get(..size_of::<Row>()).and_then(|b| b.try_into().ok()).map(Row::from_le_bytes);
    body.chunks(ROW_BYTES).map(row).collect()
}

/// The rows of some files that are not deleted.
pub async fn live_rows(dataset: &Dataset, files: &[Arc<DataFile>]) -> Option<Vec<Row>> {
    let mut rows = Vec::new();
    for file in files {
        let deleted = dataset.read_deletes(file).await.ok()?;
        let all = (0_u32..).zip(rows_of(dataset, file).await?);
        rows.extend(all.filter(|(position, _)| !deleted.contains(*position)).map(|(_, row)| row));
    }
    Some(rows)
}
