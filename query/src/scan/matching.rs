//! Which rows of a snapshot a filter lets through.

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    datatypes::UInt32Type,
};
use datafusion::{
    catalog::{Session, TableProvider},
    common::{ToDFSchema, project_schema},
    error::{DataFusionError, Result as DfResult},
    execution::{
        TaskContext,
        memory_pool::{MemoryConsumer, MemoryReservation},
    },
    logical_expr::{Expr, utils::conjunction},
    physical_plan::{ExecutionPlan, execute_stream, filter::FilterExecBuilder},
};
use futures::TryStreamExt;
use skein_catalog::{DataFile, RowSet};

use super::{PositionedTable, Rows, SnapshotTable};

/// Rows that were found, by file.
#[derive(Debug)]
pub(crate) struct Matching {
    /// Files without one are not there.
    pub(crate) rows: Rows,
    /// For as long as the rows are held.
    _memory: MemoryReservation,
}

impl Matching {
    /// How many rows there are.
    #[cfg(test)]
    pub(crate) fn count(&self) -> u64 {
        self.rows.values().map(RowSet::len).sum()
    }
}

/// The rows of `table` that all of `filters` let through (over its columns, as an optimised plan has them), without deleted ones.
///
/// Only the columns that the filters name are read, file by file, and only of files and row groups that may match. What is found is counted to the memory of
/// `context`. Dropping the future ends the work.
pub(crate) async fn matching_rows(
    state: &dyn Session,
    table: &SnapshotTable,
    filters: &[Expr],
    context: Arc<TaskContext>,
) -> DfResult<Matching> {
    let mut found = Found::new(PositionedTable::new(table.clone()).records(), &context);
    let Some(condition) = conjunction(filters.iter().cloned()) else {
        found.all(table).await?;
        return Ok(found.done());
    };
    let plan = plan(state, table, filters, condition).await?;
    let mut batches = execute_stream(plan, context)?;
    while let Some(batch) = batches.try_next().await? {
        found.take(&batch)?;
    }
    Ok(found.done())
}

/// A plan that gives the two columns that say where a row is.
async fn plan(
    state: &dyn Session,
    table: &SnapshotTable,
    filters: &[Expr],
    condition: Expr,
) -> DfResult<Arc<dyn ExecutionPlan>> {
    let positioned = PositionedTable::new(table.clone());
    let schema = positioned.schema();
    let width = table.columns().fields().len();
    let named = condition.column_refs();
    let named: BTreeSet<usize> = named.iter().map(|column| schema.index_of(&column.name)).collect::<Result<_, _>>()?;
    let columns: Vec<usize> = named.into_iter().chain([width, width + 1]).collect();
    let places = vec![columns.len() - 2, columns.len() - 1];
    let scan = positioned.scan(state, Some(&columns), filters, None).await?;
    let projected = project_schema(&schema, Some(&columns))?;
    let predicate = state.create_physical_expr(condition, &projected.to_dfschema()?)?;
    let filter = FilterExecBuilder::new(predicate, scan).apply_projection(Some(places))?.build()?;
    Ok(Arc::new(filter))
}

struct Found {
    records: Arc<[Arc<DataFile>]>,
    rows: Vec<RowSet>,
    memory: MemoryReservation,
}

impl Found {
    fn new(records: &Arc<[Arc<DataFile>]>, context: &TaskContext) -> Self {
        let memory = MemoryConsumer::new("rows that match").register(context.memory_pool());
        Self { records: Arc::clone(records), rows: vec![RowSet::new(); records.len()], memory }
    }

    async fn all(&mut self, table: &SnapshotTable) -> DfResult<()> {
        for (record, rows) in self.records.iter().zip(&mut self.rows) {
            *rows = table.live_rows(record).await?;
            self.memory.try_grow(rows.memory())?;
        }
        Ok(())
    }

    fn take(&mut self, batch: &RecordBatch) -> DfResult<()> {
        let lost = || DataFusionError::Internal("the places of rows were lost on the way".to_owned());
        let column = |index: usize| batch.columns().get(index)?.as_primitive_opt::<UInt32Type>();
        let (Some(files), Some(rows)) = (column(0), column(1)) else { return Err(lost()) };
        if files.null_count() + rows.null_count() > 0 {
            return Err(lost());
        }
        // The rows of a batch are of one file, or of few.
        let mut next = 0;
        for same in files.values().chunk_by(|a, b| a == b) {
            let rows = rows.values().get(next..next + same.len()).ok_or_else(lost)?;
            next += same.len();
            let file = same.first().and_then(|file| usize::try_from(*file).ok());
            let set = file.and_then(|file| self.rows.get_mut(file)).ok_or_else(lost)?;
            let before = set.memory();
            for row in rows {
                set.insert(*row);
            }
            self.memory.try_grow(set.memory().saturating_sub(before))?;
        }
        Ok(())
    }

    fn done(self) -> Matching {
        let rows = self.records.iter().zip(self.rows).filter(|(_, rows)| !rows.is_empty());
        Matching { rows: rows.map(|(record, rows)| (record.id, rows)).collect(), _memory: self.memory }
    }
}

#[cfg(test)]
mod tests {
    use datafusion::{
        common::tree_node::{TreeNode, TreeNodeRecursion},
        logical_expr::{LogicalPlan, Operator, binary_expr, col, expr_rewriter::unnormalize_col, lit},
    };

    use super::*;
    use crate::{Session as SkeinSession, testing};

    async fn session() -> Arc<SkeinSession> {
        let session = testing::session().await;
        testing::update(&session, "create table t (id bigint, v bigint, s text)").await;
        for file in 0..3 {
            let (from, to) = (file * 1_000, file * 1_000 + 999);
            let sql = format!(
                "insert into t select i, case when i % 10 = 0 then null else i end, 's' || (i % 3) from generate_series({from}, {to}) as g(i)"
            );
            testing::update(&session, &sql).await;
        }
        testing::update(&session, "delete from t where id in (3, 1003)").await;
        session
    }

    async fn found(session: &SkeinSession, filters: &[Expr]) -> (SnapshotTable, Matching) {
        let table = testing::table(session, "t").await;
        let core = session.core();
        let matching = matching_rows(&core.state, &table, filters, core.state.task_ctx()).await.unwrap();
        (table, matching)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn rows_that_match_are_found_in_all_files_without_deleted_ones() {
        let session = session().await;
        let filters = [binary_expr(col("id"), Operator::Modulo, lit(1_000_i64)).lt(lit(5_i64)), col("v").is_not_null()];
        let (table, matching) = found(&session, &filters).await;
        let of = |file: usize| matching.rows[&table.files.records[file].id].iter().collect::<Vec<_>>();
        assert_eq!((of(0), of(1), of(2)), (vec![1, 2, 4], vec![1, 2, 4], vec![1, 2, 3, 4]));
        assert_eq!(matching.count(), 10);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn files_without_a_match_are_not_named() {
        let session = session().await;
        let (table, matching) = found(&session, &[col("id").gt(lit(2_997_i64))]).await;
        assert_eq!(matching.rows.keys().copied().collect::<Vec<_>>(), [table.files.records[2].id]);
        assert_eq!(found(&session, &[col("id").lt(lit(0_i64))]).await.1.count(), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn no_filter_lets_all_live_rows_through() {
        let session = session().await;
        assert_eq!(found(&session, &[]).await.1.count(), 2_998);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn filters_of_a_plan_find_what_the_plan_finds() {
        let session = session().await;
        let sql = "select id from t x where s like 's1%' and v between 100 and 1500";
        let plan = testing::optimised(&session, sql).await;
        let mut filters = Vec::new();
        plan.apply(|node| {
            if let LogicalPlan::Filter(filter) = node {
                filters.push(unnormalize_col(filter.predicate.clone()));
            }
            Ok(TreeNodeRecursion::Continue)
        })
        .unwrap();
        assert!(!filters.is_empty());
        let rows: usize = testing::batches(&session, sql).await.iter().map(RecordBatch::num_rows).sum();
        assert_eq!(found(&session, &filters).await.1.count(), rows as u64);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_found_is_counted_to_the_statement_and_given_back() {
        let session = session().await;
        let context = session.core().state.task_ctx();
        let table = testing::table(&session, "t").await;
        let before = context.memory_pool().reserved();
        let filters = [col("id").gt_eq(lit(0_i64))];
        let matching = matching_rows(&session.core().state, &table, &filters, Arc::clone(&context)).await.unwrap();
        assert!(context.memory_pool().reserved() > before);
        drop(matching);
        assert_eq!(context.memory_pool().reserved(), before);
    }
}
