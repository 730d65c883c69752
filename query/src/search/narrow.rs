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
use skein_model::TableName;
use skein_vector::{IndexKind, SearchDefaults};

use super::{
    Loaded, SearchOptions, filter,
    indexes::{Wanted, may_do_without},
    nearest::{self, Allowed, Found},
    options::Consistency,
    ranking::{Ranking, rankings, with_candidates},
    standing::Standing,
    vectors,
};
use crate::{
    Error, Result,
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
    let rankings = rankings(plan)?;
    if rankings.is_empty() {
        return Ok(None);
    }
    let mut tables = Vec::with_capacity(rankings.len());
    for ranking in &rankings {
        let found = candidates(state, ranking, &context).await?;
        tables.push(found.map(|found| Arc::new(found) as Arc<dyn TableProvider>));
    }
    if tables.iter().all(Option::is_none) {
        return Ok(None);
    }
    Ok(Some(with_candidates(plan.clone(), &tables)?.data))
}

async fn candidates(
    state: &SessionState,
    ranking: &Ranking,
    context: &Arc<TaskContext>,
) -> Result<Option<SearchedTable>> {
    let options = state.config_options().extensions.get::<SearchOptions>().cloned().unwrap_or_default();
    let consistency = Consistency::parse(&options.consistency)?;
    let table = &ranking.table;
    let (Some(field), Some(dimension)) = (table.field_id(ranking.column), dimension(ranking)) else { return Ok(None) };
    if options.exact {
        return Ok(None);
    }
    let name = index_name(&options.index)?;
    let (dataset, metric) = (table.dataset().id(), Some(ranking.metric));
    let wanted = Wanted { dataset, field, metric, name: name.as_ref() };
    let Some(indexes) = table.indexes() else { return Ok(None) };
    let Some(index) = indexes.choose(wanted).await? else { return Ok(None) };
    let options = options.or(index.search_defaults(), ranking.k);
    let loaded = match indexes.load(&index).await {
        Ok(Some(loaded)) if loaded.index.dimension() == dimension => loaded,
        Ok(_) => return Ok(None),
        Err(error) if name.is_none() && may_do_without(&error) => {
            tracing::warn!(index = %index.name, %error, "searching without the index");
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let reading = (state as &dyn Session, Arc::clone(context));
    let standing = indexes.standing(table, ranking.column, &loaded, consistency, reading).await?;
    if !covers(ranking, &standing, consistency) {
        return Ok(None);
    }
    let allowed = match ranking.filters.as_slice() {
        [] => None,
        filters => Some(filter::allowed(table, filters, &loaded, &standing, state, Arc::clone(context)).await?),
    };
    // Rows without a vector may be needed to make up the number.
    if allowed.as_ref().is_some_and(|allowed| allowed.len() < ranking.k as u64) {
        return Ok(None);
    }
    let known = Known { loaded, standing, allowed, consistency, defaults: index.search_defaults() };
    // Among rows of the same distance the statement has an order of its own: some beyond the last one may be its.
    let wanted = if ranking.breaks_ties { ranking.k.saturating_mul(2) } else { ranking.k };
    let named = known.named(wanted, &options);
    let found = known.nearest(&ranking.query, named, options).await?;
    let found = found.into_iter().next().unwrap_or_default();
    if found.len() < ranking.k {
        return Ok(None);
    }
    let note = known.note(ranking, found.len());
    Ok(Some(SearchedTable { rows: table.rows_at(rows(&found)), note: note.into() }))
}

fn dimension(ranking: &Ranking) -> Option<usize> {
    vectors::dimension(ranking.table.columns().field(ranking.column).data_type())
}

/// The index that the option names.
pub(super) fn index_name(text: &str) -> Result<Option<TableName>> {
    match text.split_once('.') {
        _ if text.is_empty() => Ok(None),
        Some((schema, name)) => Ok(Some(TableName::new(schema, name)?)),
        None => Ok(Some(TableName::in_default_schema(text)?)),
    }
}

/// Whether the rows that have a vector are enough for the answer: those without one come last, or first where the statement says so.
fn covers(ranking: &Ranking, standing: &Standing, consistency: Consistency) -> bool {
    let all = ranking.table.rows().map(|rows| rows as u64);
    let without_vector = consistency == Consistency::Strong && all != Some(standing.rows());
    standing.rows() >= ranking.k as u64 && !(without_vector && (ranking.nulls_first || ranking.nans_first))
}

pub(super) fn rows(found: &[Found]) -> Rows {
    let mut rows = Rows::new();
    for (row, _) in found {
        rows.entry(row.file).or_default().insert(row.row);
    }
    rows
}

/// How many rows an index is to name for `k`: one of compressed vectors knows only about where they are.
pub(super) fn named(kind: IndexKind, k: usize, options: &SearchOptions) -> usize {
    use skein_vector::IndexKind::{Factory, Flat, Hnsw, HnswSq8, IvfFlat, IvfPq, IvfPqRefine, IvfSq8};
    let factor = match kind {
        Flat | Hnsw | IvfFlat | IvfPqRefine => return k,
        HnswSq8 | IvfSq8 => 2,
        Factory => 4,
        IvfPq => 8,
    };
    let factor = if options.refine > 0 { usize::try_from(options.refine).unwrap_or(factor) } else { factor };
    k.saturating_mul(factor)
}

/// What a search goes through.
pub(super) struct Known {
    pub(super) loaded: Arc<Loaded>,
    pub(super) standing: Arc<Standing>,
    pub(super) allowed: Option<Allowed>,
    pub(super) consistency: Consistency,
    /// How hard its searches look when they do not say it.
    pub(super) defaults: SearchDefaults,
}

impl Known {
    /// How many rows the index is to name for `k`.
    pub(super) fn named(&self, k: usize, options: &SearchOptions) -> usize {
        named(self.loaded.kind(), k, options)
    }

    /// The nearest rows, where computing holds nobody up.
    pub(super) async fn nearest(&self, queries: &[f32], k: usize, options: SearchOptions) -> Result<Vec<Vec<Found>>> {
        let (loaded, standing) = (Arc::clone(&self.loaded), Arc::clone(&self.standing));
        let (allowed, queries) = (self.allowed.clone(), queries.to_vec());
        let with_tail = self.consistency != Consistency::Generation;
        let work =
            move || nearest::nearest(&loaded, &standing, allowed.as_ref(), with_tail, &queries, k, &options.params());
        // A walk over a graph is shorter than the way to another thread and back.
        if self.is_quick(k) {
            return work();
        }
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Error::Invalid(format!("the search ended early: {error}")))?
    }

    fn is_quick(&self, k: usize) -> bool {
        use skein_vector::IndexKind::{Hnsw, HnswSq8};
        const SHORT_TAIL: usize = 1_000;
        const FEW: usize = 100;
        matches!(self.loaded.kind(), Hnsw | HnswSq8)
            && self.allowed.is_none()
            && self.standing.tail.rows.len() <= SHORT_TAIL
            && k <= FEW
    }

    /// Whether it goes through all rows that can be answered, so that looking at the rows themselves brings none beyond: those without a vector are never answered.
    pub(super) fn knows_all(&self, k: usize) -> bool {
        let all = self.allowed.as_ref().map_or(self.standing.rows(), Allowed::len);
        self.consistency == Consistency::Generation || all < k as u64
    }

    /// What part of the rows a filter leaves; 1 without one.
    pub(super) fn selectivity(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "a share, to be shown")]
        let share = |part: u64, of: u64| if of == 0 { 1.0 } else { part as f64 / of as f64 };
        self.allowed.as_ref().map_or(1.0, |allowed| share(allowed.len(), self.standing.rows()))
    }

    pub(super) fn strategy(&self) -> &'static str {
        if self.allowed.is_some() { "filtered" } else { "index" }
    }

    fn note(&self, ranking: &Ranking, found: usize) -> String {
        format!(
            "index={}, kind={}, generation={}, strategy={}, selectivity={:.6}, k={}, rows={found}, new_rows={}",
            self.loaded.name,
            self.loaded.kind(),
            self.loaded.generation(),
            self.strategy(),
            self.selectivity(),
            ranking.k,
            self.standing.tail.rows.len(),
        )
    }
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
