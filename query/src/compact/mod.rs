//! Compaction: small files become large ones, and rows that were deleted are gone from them for good.

mod policy;
mod progress;

pub use policy::CompactionPolicy;
pub(crate) use progress::Compactions;
pub use progress::{CompactionInfo, CompactionProgress, CompactionSoFar, CompactionState, CompactionTotals};

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::array::RecordBatch;
use datafusion::{
    common::hash_utils::{RandomState, create_hashes},
    execution::{SendableRecordBatchStream, TaskContext},
};
use futures::StreamExt;
use skein_catalog::{
    Actor, At, Change, DataFile, Dataset, Entry, Operation, Removed, Snapshot, crash,
    writer::{DatasetWriter, remove_files},
};
use skein_model::{ErrorKind, Kind, TableName, Version};
use tokio_util::sync::CancellationToken;

use crate::{Engine, Error, Result, scan::SnapshotTable, statement::conform};

/// How often a compaction is begun anew when rows of its files are deleted meanwhile.
const ATTEMPTS: u32 = 3;

/// Longest pause between two batches of a compaction that gives way.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How a compaction is run.
#[derive(Debug, Clone, Default)]
pub struct CompactionOptions {
    /// Nobody asked for it, so it gives way: while statements run or wait, it rests for as long as it works.
    pub background: bool,
    /// Ends it: what it has written is removed.
    pub stop: CancellationToken,
    /// Shows how far it is.
    pub progress: CompactionProgress,
}

/// What a compaction did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compacted {
    /// The version with the new files; `None` when there was nothing to do.
    pub version: Option<Version>,
    /// Files that left.
    pub files_before: u64,
    /// Files that joined.
    pub files_after: u64,
    /// Bytes of the files that left.
    pub bytes_before: u64,
    /// Bytes of the files that joined.
    pub bytes_after: u64,
    /// Rows in the new files.
    pub rows: u64,
    /// Rows that were deleted before and are not in the new files.
    pub deleted_rows: u64,
}

impl Engine {
    /// As [`Engine::compact_with`], for whoever just waits for it.
    ///
    /// # Errors
    /// As there.
    pub async fn compact(&self, name: &TableName, actor: &Actor) -> Result<Compacted> {
        self.compact_with(name, actor, &CompactionOptions::default()).await
    }

    /// Writes files of a dataset anew that are small or have deleted rows: their rows in their order, in files and row
    /// groups of the configured size. The new files are read back and compared row by row before they are committed.
    /// Readers and appends go on meanwhile.
    ///
    /// # Errors
    /// `Conflict` when rows of the same files were deleted meanwhile, several times over: then nothing has changed.
    /// `Corrupt` when what was written is not what is read back. `Cancelled` when it was stopped.
    pub async fn compact_with(
        &self,
        name: &TableName,
        actor: &Actor,
        options: &CompactionOptions,
    ) -> Result<Compacted> {
        let dataset = match self.catalog().resolve(name).await? {
            Entry::Dataset(dataset) => dataset,
            other => {
                let kind = other.kind().as_str();
                return Err(Error::Invalid(format!("'{name}' is a {kind}, which has no files of its own to compact")));
            }
        };
        let running = self.runs_of_compactions().begin(name, &actor.principal, options.background, &options.progress);
        let outcome = self.compact_until_settled(&dataset, actor, options).await;
        running.ended(&outcome);
        outcome
    }

    /// Compactions that run, and the last 200 that ended, newest first.
    pub fn compactions(&self) -> Vec<CompactionInfo> {
        self.runs_of_compactions().list()
    }

    /// What all compactions since the start amount to.
    pub fn compaction_totals(&self) -> CompactionTotals {
        self.runs_of_compactions().totals()
    }

    async fn compact_until_settled(
        &self,
        dataset: &Dataset,
        actor: &Actor,
        options: &CompactionOptions,
    ) -> Result<Compacted> {
        for _ in 1..ATTEMPTS {
            match self.compact_once(dataset, actor, options).await {
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    tracing::info!(dataset = %dataset.id(), %error, "compaction begins anew");
                }
                outcome => return outcome,
            }
        }
        self.compact_once(dataset, actor, options).await
    }

    async fn compact_once(&self, dataset: &Dataset, actor: &Actor, options: &CompactionOptions) -> Result<Compacted> {
        options.progress.begin();
        let snapshot = dataset.snapshot(At::Latest).await?;
        let chosen = choose(&snapshot, self.config().writer.target_file_bytes);
        if chosen.is_empty() {
            return Ok(Compacted::default());
        }
        options.progress.writing(chosen.iter().map(|file| file.live_rows()));
        let mut pace = Pace::new(self, options);
        let table = SnapshotTable::new(dataset.clone(), &snapshot, self.snapshots())?;
        let (added, digest) = self.rewrite(&table, &snapshot, &chosen, &mut pace).await?;
        crash::point("compact", "written");
        options.progress.enter(CompactionState::Checking);
        if let Err(error) = self.check(&table, &added, digest, &mut pace).await {
            remove_files(dataset, &added).await;
            return Err(error);
        }
        crash::point("compact", "checked");
        let sum = |files: &mut dyn Iterator<Item = u64>| files.sum::<u64>();
        let mut compacted = Compacted {
            version: None,
            files_before: chosen.len() as u64,
            files_after: added.len() as u64,
            bytes_before: sum(&mut chosen.iter().map(|file| file.bytes)),
            bytes_after: sum(&mut added.iter().map(|file| file.bytes)),
            rows: digest.rows,
            deleted_rows: sum(&mut chosen.iter().map(|file| file.rows - file.live_rows())),
        };
        let change = Change {
            operation: Operation::Compact,
            removed: chosen.iter().map(|file| Removed::from(file.as_ref())).collect(),
            added: added.clone(),
            read_version: Some(snapshot.version),
            ..Change::append(Vec::new())
        };
        options.progress.enter(CompactionState::Committing);
        match dataset.commit(change, actor).await {
            Ok(committed) => {
                compacted.version = Some(committed.version);
                Ok(compacted)
            }
            Err(error) => {
                if !matches!(error, skein_catalog::Error::CommitUnknown { .. }) {
                    remove_files(dataset, &added).await;
                }
                Err(error.into())
            }
        }
    }

    /// New files with the live rows of `files`, and what these rows amount to.
    async fn rewrite(
        &self,
        table: &SnapshotTable,
        snapshot: &Snapshot,
        files: &[Arc<DataFile>],
        pace: &mut Pace<'_>,
    ) -> Result<(Vec<DataFile>, Digest)> {
        let schema = snapshot.schema.clone();
        let mut writer = DatasetWriter::new(table.dataset(), schema.clone(), self.config().writer.clone());
        let mut digest = Digest::default();
        let outcome = async {
            let mut rows = self.read(table, files).await?;
            while let Some(batch) = rows.next().await {
                let batch = batch?;
                digest.add(&batch)?;
                pace.step(batch.num_rows()).await?;
                writer.write(conform::to_stored(&batch, &schema)?).await?;
            }
            Ok::<(), Error>(())
        };
        match outcome.await {
            Ok(()) => Ok((writer.finish().await?, digest)),
            Err(error) => {
                writer.abort().await;
                Err(error)
            }
        }
    }

    /// Reads the new files back.
    async fn check(
        &self,
        table: &SnapshotTable,
        files: &[DataFile],
        written: Digest,
        pace: &mut Pace<'_>,
    ) -> Result<()> {
        let files: Vec<_> = files.iter().cloned().map(Arc::new).collect();
        let mut found = Digest::default();
        if !files.is_empty() {
            let mut rows = self.read(table, &files).await?;
            while let Some(batch) = rows.next().await {
                let batch = batch?;
                found.add(&batch)?;
                pace.step(batch.num_rows()).await?;
            }
        }
        if found == written {
            return Ok(());
        }
        let key = files.first().map(|file| table.dataset().data_key(file.id)).unwrap_or_default();
        let reason = format!(
            "the {} rows that compaction has just written here are read back as {} others; nothing was changed, look at the \
             bucket's disk",
            written.rows, found.rows
        );
        let bucket = table.dataset().bucket().name().to_owned();
        Err(skein_catalog::Error::Corrupt { bucket, key, reason }.into())
    }

    async fn read(&self, table: &SnapshotTable, files: &[Arc<DataFile>]) -> Result<SendableRecordBatchStream> {
        let state = self.template();
        Ok(table.read_in_order(state, files, Arc::new(TaskContext::from(state))).await?)
    }
}

/// The files to write anew: those with deleted rows, and those of less than half the size they could have, if there are
/// several.
fn choose(snapshot: &Snapshot, target: u64) -> Vec<Arc<DataFile>> {
    let chosen = snapshot.files.iter().filter(|file| file.deletes.is_some() || policy::is_small(file, target));
    let chosen: Vec<_> = chosen.map(Arc::clone).collect();
    match chosen.as_slice() {
        [only] if only.deletes.is_none() => Vec::new(),
        _ => chosen,
    }
}

/// Stops and slows a compaction down between two batches.
struct Pace<'a> {
    engine: &'a Engine,
    options: &'a CompactionOptions,
    /// Since when it has worked.
    since: Instant,
}

impl<'a> Pace<'a> {
    fn new(engine: &'a Engine, options: &'a CompactionOptions) -> Self {
        Self { engine, options, since: Instant::now() }
    }

    async fn step(&mut self, rows: usize) -> Result<()> {
        self.options.progress.add(rows as u64);
        if self.options.background && self.engine.registry().live() > 0 {
            let pause = tokio::time::sleep(self.since.elapsed().min(LONGEST_PAUSE));
            // Whoever ends it does not wait for the pause.
            tokio::select! {
                () = pause => {}
                () = self.options.stop.cancelled() => {}
            }
        }
        self.since = Instant::now();
        match self.options.stop.is_cancelled() {
            true => Err(Error::Stopped),
            false => Ok(()),
        }
    }
}

/// What rows in a certain order amount to, however they are cut into batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Digest {
    rows: u64,
    hash: u64,
}

impl Digest {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut hashes = vec![0; batch.num_rows()];
        create_hashes(batch.columns(), &RandomState::default(), &mut hashes)?;
        for hash in hashes {
            self.hash = self.hash.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(hash);
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{ArrayRef, Int64Array, StringArray},
        record_batch::RecordBatch,
    };

    use super::*;

    fn digest(numbers: &[Option<i64>], cut: usize) -> Digest {
        let texts: StringArray = numbers.iter().map(|n| n.map(|n| format!("text {n}"))).collect();
        let columns: [(&str, ArrayRef); 2] =
            [("n", Arc::new(Int64Array::from(numbers.to_vec()))), ("s", Arc::new(texts))];
        let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap();
        let mut digest = Digest::default();
        digest.add(&batch.slice(0, cut)).unwrap();
        digest.add(&batch.slice(cut, numbers.len() - cut)).unwrap();
        digest
    }

    #[test]
    fn a_digest_knows_rows_and_their_order_but_not_batches() {
        let rows = [Some(1), None, Some(3), Some(4)];
        assert_eq!(digest(&rows, 0), digest(&rows, 3));
        assert_ne!(digest(&rows, 0), digest(&[Some(1), Some(3), None, Some(4)], 0));
        assert_ne!(digest(&rows, 0), digest(&[Some(1), None, Some(3), Some(5)], 0));
        assert_ne!(digest(&rows, 0), digest(&rows[..3], 0));
    }
}
