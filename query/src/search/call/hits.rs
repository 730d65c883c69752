//! The rows that a search found, as a table: their columns, and how well they match.

use std::{collections::HashMap, fmt, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, Float32Array, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::{concat_batches, take},
    datatypes::SchemaRef,
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Statistics, project_schema, stats::Precision},
    error::{DataFusionError, Result as DfResult},
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, TableType},
    physical_expr::EquivalenceProperties,
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, execute_stream,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{TryStreamExt, stream};

use super::super::standing::Row;
use crate::{
    Error,
    scan::{PositionedTable, Rows, SnapshotTable},
};

/// Scores that a row has at most.
pub(super) const SCORES: usize = 3;

/// A row that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hit {
    pub(super) row: Row,
    /// What the function's columns after `_rank` are, in their order; the others are not looked at.
    pub(super) scores: [Option<f32>; SCORES],
}

/// Rows that were found, the best first.
#[derive(Debug)]
pub(super) struct HitsTable {
    pub(super) table: SnapshotTable,
    pub(super) hits: Arc<[Hit]>,
    /// The table's columns, `_rank` and the scores.
    pub(super) schema: SchemaRef,
    /// For EXPLAIN.
    pub(super) note: Arc<str>,
}

#[async_trait]
impl TableProvider for HitsTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let wanted = projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let width = self.table.columns().fields().len();
        let of_table: Vec<usize> = wanted.iter().copied().filter(|column| *column < width).collect();
        let hits = match limit {
            Some(limit) if limit < self.hits.len() => Arc::from(&self.hits[..limit]),
            _ => Arc::clone(&self.hits),
        };
        let places: Vec<_> = hits.iter().map(|hit| (hit.row.file, hit.row.row)).collect();
        let taken = if of_table.is_empty() { Some(Vec::new()) } else { self.table.hot_rows(&places, &of_table)? };
        let rows = if taken.is_some() {
            None
        } else {
            let mut named = Rows::new();
            for hit in hits.iter() {
                named.entry(hit.row.file).or_default().insert(hit.row.row);
            }
            let places = PositionedTable::new(self.table.clone()).at(named);
            let plan = places.scan(state, Some(&places.with_places(&of_table)), &[], None).await?;
            Some((plan, Arc::new(places)))
        };
        let schema = project_schema(&self.schema, Some(&wanted))?;
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        let note = Arc::clone(&self.note);
        let properties = Arc::new(properties);
        let taken = taken.unwrap_or_default().into();
        Ok(Arc::new(HitsExec { rows, taken, hits, wanted, width, schema, note, properties }))
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Exact(self.hits.len());
        Some(statistics)
    }
}

/// Reads the rows that were found, and puts them in order.
#[derive(Debug)]
struct HitsExec {
    /// The columns of the table, with the places of the rows; `None` when none is wanted, or they are in `taken`.
    rows: Option<(Arc<dyn ExecutionPlan>, Arc<PositionedTable>)>,
    /// The columns of the table that are wanted, in the order of the hits.
    taken: Arc<[ArrayRef]>,
    hits: Arc<[Hit]>,
    /// Columns by their place in the whole schema, whose first `width` are the table's.
    wanted: Vec<usize>,
    width: usize,
    schema: SchemaRef,
    note: Arc<str>,
    properties: Arc<PlanProperties>,
}

impl DisplayAs for HitsExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SearchExec: {}", self.note)
    }
}

impl ExecutionPlan for HitsExec {
    fn name(&self) -> &str {
        "SearchExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        self.rows.iter().map(|(plan, _)| plan).collect()
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> DfResult<Arc<dyn ExecutionPlan>> {
        let rows = match (&self.rows, children.into_iter().next()) {
            (Some((_, table)), Some(plan)) => Some((plan, Arc::clone(table))),
            _ => self.rows.clone(),
        };
        let (hits, wanted, schema) = (Arc::clone(&self.hits), self.wanted.clone(), Arc::clone(&self.schema));
        let (note, properties) = (Arc::clone(&self.note), Arc::clone(&self.properties));
        let taken = Arc::clone(&self.taken);
        Ok(Arc::new(Self { rows, taken, hits, wanted, width: self.width, schema, note, properties }))
    }

    fn execute(&self, _: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        let rows = match &self.rows {
            Some((plan, table)) => Some((execute_stream(Arc::clone(plan), context)?, Arc::clone(table), plan.schema())),
            None => None,
        };
        let answer = Answer {
            taken: Arc::clone(&self.taken),
            hits: Arc::clone(&self.hits),
            wanted: self.wanted.clone(),
            width: self.width,
            schema: Arc::clone(&self.schema),
        };
        let batch = async move {
            let read = match rows {
                Some((batches, table, schema)) => {
                    let batches: Vec<RecordBatch> = batches.try_collect().await?;
                    Some((concat_batches(&schema, &batches)?, table))
                }
                None => None,
            };
            answer.batch(read)
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), stream::once(batch))))
    }
}

struct Answer {
    taken: Arc<[ArrayRef]>,
    hits: Arc<[Hit]>,
    wanted: Vec<usize>,
    width: usize,
    schema: SchemaRef,
}

impl Answer {
    fn batch(&self, read: Option<(RecordBatch, Arc<PositionedTable>)>) -> DfResult<RecordBatch> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.wanted.len());
        let of_table: Arc<[ArrayRef]> = match &read {
            Some((rows, table)) => {
                let order = self.order(rows, table)?;
                let columns = rows.columns().iter().take(rows.num_columns().saturating_sub(2));
                columns.map(|column| take(column, &order, None)).collect::<Result<Vec<_>, _>>()?.into()
            }
            None => Arc::clone(&self.taken),
        };
        let mut of_table = of_table.iter();
        let missing = || DataFusionError::Internal("a column of the rows that were found was not read".to_owned());
        for column in &self.wanted {
            columns.push(match column.checked_sub(self.width) {
                None => Arc::clone(of_table.next().ok_or_else(missing)?),
                Some(0) => {
                    let count = u32::try_from(self.hits.len()).map_err(|_| missing())?;
                    Arc::new(UInt32Array::from_iter_values(1..=count))
                }
                Some(score) => {
                    let of = |hit: &Hit| hit.scores.get(score - 1).copied().flatten();
                    Arc::new(self.hits.iter().map(of).collect::<Float32Array>())
                }
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.hits.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }

    /// Where each row that was found is among those that were read.
    fn order(&self, rows: &RecordBatch, table: &PositionedTable) -> DfResult<UInt32Array> {
        let at: HashMap<Row, u32> = super::super::finder::places(table, rows)?;
        let order: UInt32Array = self.hits.iter().map(|hit| at.get(&hit.row).copied()).collect();
        if order.null_count() > 0 {
            return Err(Error::Interrupted("rows that were found could not be read".to_owned()).into());
        }
        Ok(order)
    }
}
