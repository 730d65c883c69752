//! Decoding columns for the cache, beside the statements.

use std::sync::Arc;

use arrow::{array::ArrayRef, datatypes::SchemaRef};
use datafusion::{
    common::Statistics,
    datasource::{listing::PartitionedFile, physical_plan::FileGroup},
    error::Result as DfResult,
    execution::{TaskContext, runtime_env::RuntimeEnv},
    physical_plan::ExecutionPlan,
    prelude::SessionConfig,
};
use futures::TryStreamExt;
use skein_model::{DatasetId, FileId};

use super::{Column, ColumnKey, HotCache, column::Chunk, file_id};

/// Rows in a piece of a column. Operators get them in their own batch size.
const CHUNK_ROWS: usize = 1 << 16;
/// Bytes that a value of variable length is expected to take.
const VARIABLE: u64 = 32;

/// Makes the plan that reads some columns (by their index in the table) of one group of files.
pub(in crate::scan) type Reader =
    Arc<dyn Fn(FileGroup, Statistics, Vec<usize>) -> DfResult<Arc<dyn ExecutionPlan>> + Send + Sync>;

/// Columns of some files.
#[derive(Debug, Clone)]
pub(in crate::scan) struct Wanted {
    pub(in crate::scan) dataset: DatasetId,
    pub(in crate::scan) files: Vec<PartitionedFile>,
    /// With their index in the table.
    pub(in crate::scan) columns: Vec<(usize, ColumnKey)>,
}

/// What decoding needs.
#[derive(Clone)]
pub(in crate::scan) struct Loader {
    pub(in crate::scan) cache: HotCache,
    pub(in crate::scan) schema: SchemaRef,
    pub(in crate::scan) reader: Reader,
    pub(in crate::scan) runtime: Arc<RuntimeEnv>,
}

impl Wanted {
    fn keys(&self) -> Vec<ColumnKey> {
        self.columns.iter().map(|(_, key)| key.clone()).collect()
    }

    /// About how many bytes it will take.
    fn estimate(&self) -> u64 {
        let rows = |file: &PartitionedFile| {
            file.statistics.as_ref().and_then(|s| s.num_rows.get_value().copied()).unwrap_or(0)
        };
        let rows: u64 = self.files.iter().map(|file| rows(file) as u64).sum();
        let width = |(_, (_, kind)): &(usize, ColumnKey)| kind.primitive_width().map_or(VARIABLE, |width| width as u64);
        rows.saturating_mul(self.columns.iter().map(width).sum())
    }
}

impl Loader {
    /// Decodes in the background, unless that is being done or there is no room.
    pub(in crate::scan) fn spawn(self, wanted: Wanted) {
        let keys = wanted.keys();
        if !self.cache.store.lock().begin_load(wanted.dataset, &keys) {
            return;
        }
        tokio::spawn(async move {
            let done = if wanted.estimate() > self.cache.capacity { Ok(false) } else { self.load(&wanted).await };
            if let Err(error) = &done {
                tracing::warn!(dataset = %wanted.dataset, %error, "columns could not be decoded for the hot cache");
            }
            self.cache.store.lock().end_load(wanted.dataset, &keys, done.unwrap_or(false));
        });
    }

    /// Decodes what is not there yet, file by file. False when there is no room for all of it.
    pub(in crate::scan) async fn load(&self, wanted: &Wanted) -> DfResult<bool> {
        for file in &wanted.files {
            let Some(id) = file_id(file) else { continue };
            let _turn = self.cache.turn.lock().await;
            let missing: Vec<_> = {
                let store = self.cache.store.lock();
                wanted.columns.iter().filter(|(_, key)| !store.has(id, key)).cloned().collect()
            };
            if !missing.is_empty() && !self.file(wanted.dataset, id, file, &missing).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn file(
        &self,
        dataset: DatasetId,
        id: FileId,
        file: &PartitionedFile,
        columns: &[(usize, ColumnKey)],
    ) -> DfResult<bool> {
        let statistics = Statistics::new_unknown(&self.schema);
        let indices = columns.iter().map(|(index, _)| *index).collect();
        let plan = (self.reader)(FileGroup::new(vec![file.clone()]), statistics, indices)?;
        let config = SessionConfig::new().with_batch_size(CHUNK_ROWS);
        let task = Arc::new(TaskContext::default().with_session_config(config).with_runtime(Arc::clone(&self.runtime)));
        let mut batches = plan.execute(0, task)?;
        let mut decoded: Vec<Column> = columns
            .iter()
            .map(|_| Column { chunks: Vec::new(), bytes: 0, _memory: self.cache.reservation() })
            .collect();
        while let Some(batch) = batches.try_next().await? {
            for (column, values) in decoded.iter_mut().zip(batch.columns()) {
                if !self.add(dataset, column, values)? {
                    return Ok(false);
                }
            }
            // Statements come first.
            tokio::task::yield_now().await;
        }
        let bytes = decoded.iter().map(|column| column.bytes).sum();
        let mut store = self.cache.store.lock();
        if !store.make_room(dataset, bytes, self.cache.capacity) {
            return Ok(false);
        }
        for ((_, key), column) in columns.iter().zip(decoded) {
            store.insert(dataset, id, key.clone(), column);
        }
        store.loaded(dataset);
        Ok(true)
    }

    /// False when the memory for it is not to be had.
    fn add(&self, dataset: DatasetId, column: &mut Column, values: &ArrayRef) -> DfResult<bool> {
        let chunk = Chunk::new(Arc::clone(values));
        let bytes = chunk.bytes();
        column.bytes += bytes as u64;
        let fits = self.cache.store.lock().make_room(dataset, column.bytes, self.cache.capacity);
        if !fits || column._memory.try_grow(bytes).is_err() {
            return Ok(false);
        }
        column.chunks.push(chunk);
        Ok(true)
    }
}
