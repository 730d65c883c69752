//! `ORDER BY distance LIMIT k`: has the scan below read only the rows that an index names.
//!
//! The sort stays and computes distances from the rows themselves, so their order, and which rows of those come out, is exact; deleted rows are not read, and filters
//! are applied again.

use std::{fmt, sync::Arc};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    error::Result as DfResult,
    execution::{SendableRecordBatchStream, TaskContext, session_state::SessionState},
    logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableType},
    physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties},
};
use futures::{FutureExt, future::BoxFuture};

use super::{
    Reading, SearchOptions, call, constant,
    known::Known,
    nearest::{Found, Reach},
    options::Consistency,
    ranking::{Ranking, rankings, with_candidates},
};
use crate::{
    Result,
    scan::{Rows, RowsTable},
};

/// The same plan with only the rows read that an index names; `None` when no index has a part in it.
///
/// # Errors
/// For an index that was asked for and cannot be used; whatever reading new rows and those that match a filter runs into.
pub(crate) fn narrow<'a>(
    state: &'a SessionState,
    plan: &'a LogicalPlan,
    context: Arc<TaskContext>,
) -> BoxFuture<'a, Result<Option<LogicalPlan>>> {
    narrowed(state, plan, context).boxed()
}

async fn narrowed(state: &SessionState, plan: &LogicalPlan, context: Arc<TaskContext>) -> Result<Option<LogicalPlan>> {
    let reading = Reading { state, context };
    let with_constants = constant::evaluated(plan, &reading).await?;
    let plan = with_constants.as_ref().unwrap_or(plan);
    let with_answers = call::answered(plan, &reading).await?;
    let plan = with_answers.as_ref().unwrap_or(plan);
    Ok(ranked(plan, &reading).await?.or(with_answers).or(with_constants))
}

async fn ranked(plan: &LogicalPlan, reading: &Reading<'_>) -> Result<Option<LogicalPlan>> {
    let rankings = rankings(plan)?;
    if rankings.is_empty() {
        return Ok(None);
    }
    let mut tables = Vec::with_capacity(rankings.len());
    for ranking in &rankings {
        let found = candidates(ranking, reading).await?;
        tables.push(found.map(|found| Arc::new(found) as Arc<dyn TableProvider>));
    }
    if tables.iter().all(Option::is_none) {
        return Ok(None);
    }
    Ok(Some(with_candidates(plan.clone(), &tables)?.data))
}

async fn candidates(ranking: &Ranking, reading: &Reading<'_>) -> Result<Option<SearchedTable>> {
    let options = reading.state.config_options().extensions.get::<SearchOptions>().cloned().unwrap_or_default();
    let table = &ranking.table;
    let Some(mut known) = Known::open(table, ranking.column, Some(ranking.metric), &options, reading).await? else {
        return Ok(None);
    };
    let options = options.or(known.defaults, ranking.k);
    if !covers(ranking, &known) {
        return Ok(None);
    }
    known.filter(table, &ranking.filters, reading).await?;
    // Rows without a vector may be needed to make up the number.
    if known.allowed.as_ref().is_some_and(|allowed| allowed.len() < ranking.k as u64) {
        return Ok(None);
    }
    // Among rows of the same distance the statement has an order of its own: some beyond the last one may be its.
    let wanted = if ranking.breaks_ties { ranking.k.saturating_mul(2) } else { ranking.k };
    let named = known.named(wanted, &options);
    let found = known.nearest(&ranking.query, Reach::Nearest(named), &options).await?;
    let found = found.into_iter().next().unwrap_or_default();
    if found.len() < ranking.k {
        return Ok(None);
    }
    let note = known.note(ranking.k, found.len());
    Ok(Some(SearchedTable { rows: table.rows_at(rows(&found)), note: note.into() }))
}

/// Whether the rows that have a vector are enough for the answer: those without one come last, or first where the statement says so.
fn covers(ranking: &Ranking, known: &Known) -> bool {
    let all = ranking.table.rows().map(|rows| rows as u64);
    let standing = &known.standing;
    let without_vector = known.consistency == Consistency::Strong && all != Some(standing.rows());
    standing.rows() >= ranking.k as u64 && !(without_vector && (ranking.nulls_first || ranking.nans_first))
}

pub(super) fn rows(found: &[Found]) -> Rows {
    let mut rows = Rows::new();
    for (row, _) in found {
        rows.entry(row.file).or_default().insert(row.row);
    }
    rows
}

/// The rows of a dataset that an index has named.
#[derive(Debug)]
struct SearchedTable {
    rows: RowsTable,
    note: Arc<str>,
}

#[async_trait]
impl TableProvider for SearchedTable {
    fn schema(&self) -> SchemaRef {
        self.rows.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let input = self.rows.scan(state, projection, filters, limit).await?;
        Ok(Arc::new(IndexSearchExec { input, note: Arc::clone(&self.note) }))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DfResult<Vec<TableProviderFilterPushDown>> {
        self.rows.supports_filters_pushdown(filters)
    }
}

/// Says in EXPLAIN which index was searched, and how. The rows pass through.
#[derive(Debug)]
struct IndexSearchExec {
    input: Arc<dyn ExecutionPlan>,
    note: Arc<str>,
}

impl DisplayAs for IndexSearchExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IndexSearchExec: {}", self.note)
    }
}

impl ExecutionPlan for IndexSearchExec {
    fn name(&self) -> &str {
        "IndexSearchExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> DfResult<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self { input, note: Arc::clone(&self.note) }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DfResult<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}
