//! Record batches in.

use std::error::Error as StdError;

use arrow::{
    array::{Array, RecordBatch},
    datatypes::SchemaRef,
};
use futures::{StreamExt, stream::BoxStream};
use skein_catalog::{Actor, Catalog, writer::WriterOptions};
use tokio::sync::watch;
use tracing::instrument;

use crate::{Error, IngestReport, IngestTarget, Progress, Result, load::Load, target};

/// A stream of record batches. To choose the kind of error the ingest ends with, end it with a [`crate::SourceError`].
pub type BatchStream = BoxStream<'static, Result<RecordBatch, Box<dyn StdError + Send + Sync>>>;

/// What a caller can choose about an ingest of batches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BatchOptions {
    /// When the table has taken in data under this key already, nothing is added and the report says so.
    pub idempotency_key: Option<String>,
    /// How data files are laid out.
    pub writer: WriterOptions,
}

/// Puts a stream of batches, all of the columns `schema`, into a table: one commit, at the end.
///
/// Columns are matched by name with those of an existing table and converted where no value can be lost; columns that
/// the stream lacks become null. A stream without rows still makes a table. The writer's pace holds the stream back.
/// Progress is sent after every batch.
///
/// # Errors
/// When the mode and the table do not fit, the columns cannot be accepted or reconciled, a null is in a column without
/// nulls, the stream ends in an error, or a bucket fails. Nothing is visible then; neither is it when this future is
/// dropped.
#[instrument(skip_all, fields(table = %target.name, mode = ?target.mode))]
pub async fn ingest_batches(
    catalog: &Catalog,
    target: IngestTarget,
    schema: SchemaRef,
    mut batches: BatchStream,
    options: BatchOptions,
    actor: &Actor,
    progress: watch::Sender<Progress>,
) -> Result<IngestReport> {
    let existing = target::look_up(catalog, &target).await?;
    let mut load = Load::begin(catalog, target, existing, &schema, options.writer, actor).await?;
    if let Some(key) = &options.idempotency_key
        && let Some(report) = load.find_duplicate(key).await?
    {
        return Ok(report);
    }
    let mut bytes = 0;
    while let Some(batch) = batches.next().await {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => return Err(load.abort(Error::source(error)).await),
        };
        bytes += size(&batch);
        if let Err(error) = load.write(batch).await {
            return Err(load.abort(error).await);
        }
        progress.send_replace(Progress { rows: load.rows(), bytes });
    }
    load.finish(options.idempotency_key, bytes).await
}

/// The bytes of the batch itself: columns of a batch from the wire are slices of one message, which counts once.
fn size(batch: &RecordBatch) -> u64 {
    let size = |column: &dyn Array| {
        column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
    };
    batch.columns().iter().map(|column| size(column) as u64).sum()
}
