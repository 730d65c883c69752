//! A scan of what is in memory.

use std::{fmt, sync::Arc};

use arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError};
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
    physical_plan::{DisplayFormatType, ExecutionPlan, Partitioning, execution_plan::SchedulingType},
};

use super::HotFile;
use crate::scan::pruning;

/// Batches in memory, with the statistics of the files they are from.
#[derive(Debug, Clone)]
pub(crate) struct HotSource {
    batches: MemorySourceConfig,
    statistics: Arc<Statistics>,
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
        let mut batches = Vec::new();
        for file in files {
            batches.extend(file_batches(file, &scan.projected)?);
        }
        let mut statistics = scan.statistics;
        if !scan.filters.is_empty() {
            let keep = may_match(files, scan.table, scan.columns, scan.filters, state)?;
            if keep.len() == batches.len() && keep.contains(&false) {
                let mut keep = keep.into_iter();
                batches.retain(|_| keep.next().unwrap_or(true));
                statistics = statistics.to_inexact();
            }
        }
        let partitions = share(batches, state.config().target_partitions());
        let batches = MemorySourceConfig::try_new(&partitions, scan.projected, None)?.with_limit(scan.limit);
        Ok(DataSourceExec::from_data_source(Self { batches, statistics: Arc::new(statistics) }))
    }
}

fn file_batches(file: &HotFile, schema: &SchemaRef) -> DfResult<Vec<RecordBatch>> {
    let pieces = file.columns.first().map_or(0, |column| column.chunks.len());
    let batch = |piece: usize| -> DfResult<RecordBatch> {
        let of = |column: &Arc<super::Column>| column.chunks.get(piece).map(|chunk| Arc::clone(&chunk.values));
        let values = file.columns.iter().map(of).collect::<Option<Vec<_>>>().ok_or_else(|| {
            ArrowError::ComputeError("columns of a file are in the hot cache in different pieces".to_owned())
        })?;
        Ok(RecordBatch::try_new(Arc::clone(schema), values)?)
    };
    (0..pieces).map(batch).collect()
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
fn share(batches: Vec<RecordBatch>, partitions: usize) -> Vec<Vec<RecordBatch>> {
    let each = batches.len().div_ceil(partitions.max(1)).max(1);
    if batches.is_empty() {
        return vec![vec![]];
    }
    batches.chunks(each).map(<[RecordBatch]>::to_vec).collect()
}

impl DataSource for HotSource {
    fn open(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        self.batches.open(partition, context)
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
            Some(_) => self.batches.partition_statistics(partition),
        }
    }

    fn with_fetch(&self, limit: Option<usize>) -> Option<Arc<dyn DataSource>> {
        Some(Arc::new(Self {
            batches: self.batches.clone().with_limit(limit),
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
