//! A scan of what is in memory.

use std::{fmt, ops::Range, sync::Arc};

use arrow::{
    array::{BooleanArray, RecordBatch},
    buffer::BooleanBuffer,
    compute::filter_record_batch,
    datatypes::SchemaRef,
    error::ArrowError,
};
use datafusion::{
    catalog::Session,
    common::{Statistics, stats::Precision},
    datasource::{
        memory::MemorySourceConfig,
        source::{DataSource, DataSourceExec},
    },
    error::Result as DfResult,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::Expr,
    physical_expr::{EquivalenceProperties, projection::ProjectionExprs},
    physical_plan::{
        DisplayFormatType, ExecutionPlan, Partitioning,
        coop::cooperative,
        execution_plan::SchedulingType,
        limit::LimitStream,
        metrics::{BaselineMetrics, ExecutionPlanMetricsSet},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::stream;

use super::HotFile;
use crate::scan::pruning;

/// Batches in memory, with the statistics of the files they are from.
#[derive(Debug, Clone)]
pub(crate) struct HotSource {
    batches: MemorySourceConfig,
    /// Of each batch of each partition, the rows that are not deleted; `None` for all.
    live: Arc<[Vec<Option<BooleanArray>>]>,
    statistics: Arc<Statistics>,
}

/// Some rows of a file.
#[derive(Debug, Clone)]
struct Piece {
    batch: RecordBatch,
    live: Option<BooleanArray>,
}

/// What is scanned.
pub(in crate::scan) struct Scan<'a> {
    /// The table's columns.
    pub(in crate::scan) table: &'a SchemaRef,
    /// Those of the scan, by their index in the table.
    pub(in crate::scan) columns: &'a [usize],
    pub(in crate::scan) projected: SchemaRef,
    /// Of the hot files together, with the scan's columns.
    pub(in crate::scan) statistics: Statistics,
    pub(in crate::scan) filters: &'a [Expr],
    pub(in crate::scan) limit: Option<usize>,
}

impl HotSource {
    /// A plan that scans `files`, leaving out pieces that `filters` rule out.
    pub(in crate::scan) fn plan(
        files: &[HotFile],
        scan: Scan<'_>,
        state: &dyn Session,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let mut pieces = Vec::new();
        for file in files {
            pieces.extend(file_pieces(file, &scan.projected)?);
        }
        let mut statistics = scan.statistics;
        if !scan.filters.is_empty() {
            let keep = may_match(files, scan.table, scan.columns, scan.filters, state)?;
            if keep.len() == pieces.len() && keep.contains(&false) {
                let mut keep = keep.into_iter();
                pieces.retain(|_| keep.next().unwrap_or(true));
                statistics = statistics.to_inexact();
            }
        }
        // Nothing is left of some.
        pieces.retain(|piece| piece.live.as_ref().is_none_or(BooleanArray::has_true));
        let partitions = share(&pieces, state.config().target_partitions());
        let batches: Vec<Vec<_>> =
            partitions.iter().map(|pieces| pieces.iter().map(|piece| piece.batch.clone()).collect()).collect();
        let live = partitions.iter().map(|pieces| pieces.iter().map(|piece| piece.live.clone()).collect()).collect();
        let batches = MemorySourceConfig::try_new(&batches, scan.projected, None)?.with_limit(scan.limit);
        Ok(DataSourceExec::from_data_source(Self { batches, live, statistics: Arc::new(statistics) }))
    }

    /// The rows of a partition that are not deleted, a batch at a time.
    fn living(&self, partition: usize, live: &[Option<BooleanArray>]) -> DfResult<SendableRecordBatchStream> {
        let batches = self.batches.partitions().get(partition).cloned().unwrap_or_default();
        let living = |(batch, live): (RecordBatch, Option<BooleanArray>)| match live {
            Some(live) => Ok(filter_record_batch(&batch, &live)?),
            None => Ok(batch),
        };
        let rows = stream::iter(batches.into_iter().zip(live.to_vec()).map(living));
        let rows = Box::pin(RecordBatchStreamAdapter::new(self.batches.original_schema(), rows));
        let metrics = BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), partition);
        Ok(Box::pin(cooperative(LimitStream::new(rows, 0, self.batches.fetch(), metrics))))
    }
}

fn file_pieces(file: &HotFile, schema: &SchemaRef) -> DfResult<Vec<Piece>> {
    let pieces = file.columns.first().map_or(0, |column| column.chunks.len());
    let mut start = 0;
    let piece = |piece: usize| -> DfResult<Piece> {
        let of = |column: &Arc<super::Column>| column.chunks.get(piece).map(|chunk| Arc::clone(&chunk.values));
        let values = file.columns.iter().map(of).collect::<Option<Vec<_>>>().ok_or_else(|| {
            ArrowError::ComputeError("columns of a file are in the hot cache in different pieces".to_owned())
        })?;
        let batch = RecordBatch::try_new(Arc::clone(schema), values)?;
        let rows = start..start + batch.num_rows();
        start = rows.end;
        Ok(Piece { live: file.live.as_ref().and_then(|live| some_deleted(live, rows)), batch })
    };
    (0..pieces).map(piece).collect()
}

/// Which rows of a stretch of a file live, unless all do.
fn some_deleted(live: &BooleanBuffer, rows: Range<usize>) -> Option<BooleanArray> {
    let live = live.slice(rows.start, rows.len());
    (live.count_set_bits() < rows.len()).then(|| BooleanArray::new(live, None))
}

/// Which pieces can hold rows that all filters let through.
fn may_match(
    files: &[HotFile],
    table: &SchemaRef,
    columns: &[usize],
    filters: &[Expr],
    state: &dyn Session,
) -> DfResult<Vec<bool>> {
    let mut pieces = Vec::new();
    for file in files {
        for piece in 0..file.columns.first().map_or(0, |column| column.chunks.len()) {
            let mut statistics = Statistics::new_unknown(table);
            for (index, column) in columns.iter().zip(&file.columns) {
                let (Some(chunk), Some(place)) =
                    (column.chunks.get(piece), statistics.column_statistics.get_mut(*index))
                else {
                    continue;
                };
                *place = chunk.statistics.clone();
                statistics.num_rows = Precision::Exact(chunk.values.len());
            }
            pieces.push(Some(Arc::new(statistics)));
        }
    }
    pruning::may_match(&pieces, table, filters, state)
}

/// Neighbours stay together.
fn share(pieces: &[Piece], partitions: usize) -> Vec<&[Piece]> {
    let each = pieces.len().div_ceil(partitions.max(1)).max(1);
    if pieces.is_empty() { vec![pieces] } else { pieces.chunks(each).collect() }
}

impl DataSource for HotSource {
    fn open(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        match self.live.get(partition) {
            Some(live) if live.iter().any(Option::is_some) => self.living(partition, live),
            _ => self.batches.open(partition, context),
        }
    }

    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let batches: usize = self.batches.partitions().iter().map(Vec::len).sum();
        write!(f, "hot cache, partitions={}, batches={batches}", self.batches.partitions().len())
    }

    fn output_partitioning(&self) -> Partitioning {
        self.batches.output_partitioning()
    }

    fn eq_properties(&self) -> EquivalenceProperties {
        self.batches.eq_properties()
    }

    fn scheduling_type(&self) -> SchedulingType {
        self.batches.scheduling_type()
    }

    fn partition_statistics(&self, partition: Option<usize>) -> DfResult<Arc<Statistics>> {
        match partition {
            None if self.batches.fetch().is_some() => Ok(Arc::new(Statistics::clone(&self.statistics).to_inexact())),
            None => Ok(Arc::clone(&self.statistics)),
            Some(one) if self.live.get(one).is_some_and(|live| live.iter().any(Option::is_some)) => {
                let all = self.batches.partition_statistics(partition)?;
                Ok(Arc::new(Statistics::clone(&all).to_inexact()))
            }
            Some(_) => self.batches.partition_statistics(partition),
        }
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn DataSource>> {
        Some(Arc::new(Self {
            batches: self.batches.clone().with_limit(limit),
            live: Arc::clone(&self.live),
            statistics: Arc::clone(&self.statistics),
        }))
    }

    fn fetch(&self) -> Option<usize> {
        self.batches.fetch()
    }

    fn try_swapping_with_projection(&self, _projection: &ProjectionExprs) -> DfResult<Option<Arc<dyn DataSource>>> {
        Ok(None)
    }
}
