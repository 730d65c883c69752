//! The writer that callers see.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use arrow::array::RecordBatch;
use arrow_schema::SchemaRef;

use super::{
    WriteError, WriterOptions,
    check::{check_batch, conform},
    check_schema,
    coalesce::Coalescer,
    lane::Shared,
    pipeline::Pipeline,
    size::batch_bytes,
};
use crate::{DataFile, Dataset, Result};

/// Writes batches to new data files of one dataset. Nothing is visible before the files are committed; when the writer
/// is aborted, dropped or fails, what it wrote is removed.
///
/// ```no_run
/// # use skein_catalog::{Actor, Change, Dataset, At, writer::{DatasetWriter, WriterOptions}};
/// # async fn example(dataset: Dataset, batch: arrow::array::RecordBatch) -> skein_catalog::Result<()> {
/// let schema = dataset.snapshot(At::Latest).await?.schema.clone();
/// let mut writer = DatasetWriter::new(&dataset, schema, WriterOptions::default());
/// writer.write(batch).await?;
/// let files = writer.finish().await?;
/// dataset.commit(Change::append(files), &Actor::new("ada")).await?;
/// # Ok(())
/// # }
/// ```
pub struct DatasetWriter {
    dataset: Dataset,
    schema: SchemaRef,
    options: WriterOptions,
    coalescer: Coalescer,
    /// Started by the first rows, so that an empty write costs nothing.
    pipeline: Option<Pipeline>,
    /// A write failed, or was given up half-way: not all rows that were handed over are there.
    failed: bool,
    rows: u64,
    bytes: u64,
}

impl fmt::Debug for DatasetWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatasetWriter")
            .field("dataset", &self.dataset.id())
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl DatasetWriter {
    /// A writer of rows with the columns of `schema`: that of a snapshot, or of [`Dataset::plan_schema`] for a replace,
    /// with a field id on every field. Whether the schema can be written is checked by the first
    /// [`write`](Self::write) or [`finish`](Self::finish); ask [`check_schema`] to know earlier.
    pub fn new(dataset: &Dataset, schema: SchemaRef, options: WriterOptions) -> Self {
        let coalescer = Coalescer::new(options.slab_bytes());
        let dataset = dataset.clone();
        Self { dataset, schema, options, coalescer, pipeline: None, failed: false, rows: 0, bytes: 0 }
    }

    /// Takes a batch in. Returns once there is room for more, which may be long before its rows are in the bucket.
    /// Needs a Tokio runtime.
    ///
    /// # Errors
    /// [`crate::Error::InvalidInput`] when the batch has other columns than the schema, a null where none is allowed, or
    /// a decimal beyond its precision: such a batch is refused as a whole, and the writer can go on.
    /// [`crate::Error::Unimplemented`] for a type that Parquet cannot hold. Anything else, such as a bucket that fails,
    /// ends the writer and removes what it wrote.
    pub async fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.check_alive()?;
        check_batch(&self.schema, &batch, self.rows)?;
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.start()?;
        let batch = conform(&self.schema, batch)?;
        let (rows, bytes) = (batch.num_rows() as u64, batch_bytes(&batch));
        // A caller that gives up while this waits leaves a part of the batch behind, so until it is done it has failed.
        self.failed = true;
        self.push(batch, bytes).await?;
        self.failed = false;
        self.rows += rows;
        self.bytes += bytes as u64;
        Ok(())
    }

    /// Rows taken in so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes taken in so far, as Arrow holds them in memory: before encoding and compression.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes what is left and returns the files, ready to be committed: none when there were no rows.
    ///
    /// # Errors
    /// As [`write`](Self::write). Nothing that was written is left then.
    pub async fn finish(mut self) -> Result<Vec<DataFile>> {
        self.check_alive()?;
        check_schema(&self.schema)?;
        for (batch, bytes) in self.coalescer.finish()? {
            self.running()?.push(batch, bytes).await?;
        }
        let Some(pipeline) = self.pipeline.take() else { return Ok(Vec::new()) };
        // A caller that gives up while this waits drops the pipeline, and its commands with it.
        let guard = CancelOnDrop(Some(pipeline.shared()));
        let files = pipeline.finish().await?;
        guard.disarm();
        Ok(files)
    }

    /// Stops, and returns once what was written is removed. Dropping the writer does the same in the background.
    pub async fn abort(mut self) {
        if let Some(pipeline) = self.pipeline.take() {
            pipeline.abort().await;
        }
    }

    async fn push(&mut self, batch: RecordBatch, bytes: usize) -> Result<(), WriteError> {
        for (batch, bytes) in self.coalescer.push(batch, bytes)? {
            self.running()?.push(batch, bytes).await?;
        }
        Ok(())
    }

    /// Checks the schema and starts the pipeline, once.
    fn start(&mut self) -> Result<()> {
        if self.pipeline.is_none() {
            check_schema(&self.schema)?;
            if let Some(field) = self.schema.fields().iter().find(|field| crate::field_id(field).is_none()) {
                return Err(WriteError::NoFieldId { column: field.name().clone() }.into());
            }
            self.dataset.bucket().writable()?;
            self.pipeline = Some(Pipeline::start(&self.dataset, &self.schema, self.options.clone())?);
        }
        Ok(())
    }

    fn running(&mut self) -> Result<&mut Pipeline, WriteError> {
        self.pipeline.as_mut().ok_or_else(|| WriteError::Stopped("it was not started".to_owned()))
    }

    fn check_alive(&self) -> Result<()> {
        if self.failed {
            Err(WriteError::Stopped("an earlier write failed or was given up".to_owned()).into())
        } else {
            Ok(())
        }
    }
}

impl Drop for DatasetWriter {
    /// With its channels the pipeline loses what keeps its tasks going: they clean up by themselves.
    fn drop(&mut self) {
        if let Some(pipeline) = &self.pipeline {
            pipeline.shared().cancelled.store(true, Ordering::Relaxed);
        }
    }
}

/// Tells the tasks of a pipeline to stop unless it came to its end.
struct CancelOnDrop(Option<Arc<Shared>>);

impl CancelOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.cancelled.store(true, Ordering::Relaxed);
        }
    }
}

/// Removes data files that were written and then could not be committed. Best effort: garbage collection finds what is
/// left. Never call it after [`crate::Error::CommitUnknown`]: the files may be part of a version.
pub async fn remove_files(dataset: &Dataset, files: &[DataFile]) {
    for file in files {
        let key = dataset.data_key(file.id);
        if let Err(error) = dataset.bucket().delete(&key).await {
            tracing::warn!(bucket = dataset.bucket().name(), %key, %error, "could not remove an uncommitted file");
        }
    }
}
