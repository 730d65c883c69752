//! The running parts of a writer: lanes that encode, an assembler that uploads, and the limits on what is in between.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use arrow::array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::{
    arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata},
    basic::Type,
    file::properties::WriterProperties,
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    WriteError, WriterOptions,
    assembler::{self, Command, Layout},
    coalesce::columns,
    encoder::Encoder,
    lane::{Lane, Shared},
    stats::MAX_BOUND_BYTES,
};
use crate::{DataFile, Dataset};

/// Most lanes of one writer. More than cores, so that columns of different cost even out; few enough that a table of
/// 10,000 columns is not 10,000 tasks.
const MAX_LANES: usize = 16;
/// What the dictionary of a fixed-width column takes before it holds anything. A wide table does without them: its row
/// groups would be full of empty dictionaries.
const EMPTY_DICTIONARY_BYTES: usize = 72 << 10;
/// Batches' memory is accounted in units of this many bytes, because a semaphore counts in 32 bits.
const UNIT: usize = 1024;

/// A writer at work.
pub(super) struct Pipeline {
    options: WriterOptions,
    lanes: Vec<Lane>,
    commands: mpsc::Sender<Command>,
    assembler: JoinHandle<()>,
    shared: Arc<Shared>,
    /// Memory of batches that wait to be encoded.
    raw: Arc<Semaphore>,
    /// Lets one finished row group be on its way while the next one fills.
    groups: Arc<Semaphore>,
    /// Batches not yet handed to the lanes.
    slab: Vec<RecordBatch>,
    slab_bytes: usize,
    /// Rows of the row group under way, the slab included.
    group_rows: usize,
}

impl Pipeline {
    /// Starts the tasks. Needs a Tokio runtime.
    pub(super) fn start(dataset: &Dataset, schema: &SchemaRef, options: WriterOptions) -> Result<Self, WriteError> {
        let parquet = ArrowSchemaConverter::new().convert(schema)?;
        let encoding = properties(&options);
        let mut file_properties = encoding.clone();
        add_encoded_arrow_schema_to_metadata(schema, &mut file_properties);
        let shared = Arc::new(Shared::default());
        let fixed_width = parquet.columns().iter().filter(|leaf| leaf.physical_type() != Type::BYTE_ARRAY).count();
        let dictionaries = fixed_width * EMPTY_DICTIONARY_BYTES <= options.row_group_bytes() / 4;
        let lanes = split(schema.fields().len(), MAX_LANES).map(|range| {
            let encoder = Encoder::new(&schema.fields()[range.clone()], encoding.clone(), dictionaries)?;
            Ok(Lane::start(range, encoder, Arc::clone(&shared)))
        });
        let lanes = lanes.collect::<Result<_, WriteError>>()?;
        let (commands, queue) = mpsc::channel(1);
        let layout = Layout {
            dataset: dataset.clone(),
            schema: Arc::clone(schema),
            schema_id: crate::schema_id(schema),
            parquet: parquet.root_schema_ptr(),
            properties: Arc::new(file_properties),
            options: options.clone(),
        };
        let assembler = tokio::spawn(assembler::run(layout, queue, Arc::clone(&shared)));
        Ok(Self {
            raw: Arc::new(Semaphore::new(options.raw_budget() / UNIT)),
            groups: Arc::new(Semaphore::new(1)),
            options,
            lanes,
            commands,
            assembler,
            shared,
            slab: Vec::new(),
            slab_bytes: 0,
            group_rows: 0,
        })
    }

    /// Takes in a batch of `bytes` bytes; waits while too much is under way.
    pub(super) async fn push(&mut self, batch: RecordBatch, bytes: usize) -> Result<(), WriteError> {
        let rows = batch.num_rows();
        let slab_limit = self.options.slab_bytes();
        let per_slab = if bytes > slab_limit { (rows * slab_limit / bytes).max(1) } else { rows };
        let mut start = 0;
        while start < rows {
            let length = per_slab.min(rows - start).min(self.options.group_rows() - self.group_rows);
            self.slab.push(batch.slice(start, length));
            self.slab_bytes += bytes * length / rows;
            self.group_rows += length;
            start += length;
            if self.slab_bytes >= slab_limit {
                self.dispatch().await?;
            }
            if self.group_rows >= self.options.group_rows() || self.encoded_bytes() >= self.options.row_group_bytes() {
                self.close_group().await?;
            }
        }
        Ok(())
    }

    /// Writes what is left and says what was written.
    pub(super) async fn finish(mut self) -> Result<Vec<DataFile>, WriteError> {
        if self.group_rows > 0 {
            self.close_group().await?;
        }
        let (answer, files) = oneshot::channel();
        if self.commands.send(Command::Finish(answer)).await.is_err() {
            return Err(self.shared.take_failure());
        }
        Ok(files.await.map_err(|_| self.shared.take_failure())?.take())
    }

    /// Stops, and waits until all that was written is removed.
    pub(super) async fn abort(self) {
        self.shared.cancelled.store(true, Ordering::Relaxed);
        let Self { lanes, commands, assembler, .. } = self;
        drop((lanes, commands));
        if let Err(error) = assembler.await {
            tracing::warn!(%error, "the clean-up of an aborted write ended early");
        }
    }

    /// A handle that tells the tasks to stop early.
    pub(super) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    fn encoded_bytes(&self) -> usize {
        self.lanes.iter().map(Lane::memory).sum()
    }

    /// Hands the slab to the lanes.
    async fn dispatch(&mut self) -> Result<(), WriteError> {
        let slab = std::mem::take(&mut self.slab);
        let units = (std::mem::take(&mut self.slab_bytes) / UNIT).clamp(1, self.options.raw_budget() / UNIT);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let stopped = |_| WriteError::Stopped("its memory budget was closed".to_owned());
        let permit = Arc::new(Arc::clone(&self.raw).acquire_many_owned(units).await.map_err(stopped)?);
        for lane in &self.lanes {
            if !lane.write(columns(&slab, lane.columns()), Arc::clone(&permit)) {
                return Err(self.shared.take_failure());
            }
        }
        Ok(())
    }

    /// Ends the row group; returns once the one before it is on its way.
    async fn close_group(&mut self) -> Result<(), WriteError> {
        self.dispatch().await?;
        let stopped = |_| WriteError::Stopped("its row groups were closed".to_owned());
        let permit = Arc::clone(&self.groups).acquire_owned().await.map_err(stopped)?;
        let chunks = self.lanes.iter_mut().map(Lane::close).collect::<Option<Vec<_>>>();
        let chunks = chunks.ok_or_else(|| self.shared.take_failure())?;
        let rows = std::mem::take(&mut self.group_rows) as u64;
        let command = Command::RowGroup { chunks, rows, permit };
        self.commands.send(command).await.map_err(|_| self.shared.take_failure())
    }
}

/// Bytes of a data page before compression; it also ends after 20,000 rows. A look-up decompresses whole pages.
const PAGE_BYTES: usize = 64 << 10;

/// The reasons are in docs/decisions/0010-parquet-layout.md.
fn properties(options: &WriterOptions) -> WriterProperties {
    WriterProperties::builder()
        .set_data_page_size_limit(PAGE_BYTES)
        .set_compression(options.compression.to_parquet())
        .set_statistics_truncate_length(Some(MAX_BOUND_BYTES))
        .set_column_index_truncate_length(Some(MAX_BOUND_BYTES))
        .build()
}

/// Splits `0..count` into at most `parts` ranges of about equal length, none empty.
fn split(count: usize, parts: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = parts.min(count);
    (0..parts).map(move |part| part * count / parts..(part + 1) * count / parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_spread_without_gaps() {
        for (count, lanes) in [(1, 1), (6, 6), (16, 16), (17, 16), (10_000, 16)] {
            let ranges: Vec<_> = split(count, MAX_LANES).collect();
            assert_eq!(ranges.len(), lanes);
            assert!(ranges.iter().all(|range| !range.is_empty()));
            assert_eq!(ranges.iter().flat_map(Clone::clone).collect::<Vec<_>>(), (0..count).collect::<Vec<_>>());
        }
    }
}
