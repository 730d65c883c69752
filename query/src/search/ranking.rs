//! Finds where a plan asks for the rows of a table that are nearest to a vector.
//!
//! That is a sort by a distance, with a limit, over the scan of a dataset; filters, projections and aliases may lie between. The sort stays in the plan and
//! computes distances from the rows themselves. So an index has to say only which rows can be among the first; whatever it names too much does no harm.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    catalog::TableProvider,
    common::{
        Column,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    datasource::{provider_as_source, source_as_provider},
    error::Result as DfResult,
    logical_expr::{
        Cast, Expr, LogicalPlan, Projection, Sort, SubqueryAlias, TableScan,
        expr::{ScalarFunction, Sort as SortKey},
        expr_rewriter::unnormalize_col,
        utils::split_conjunction_owned,
    },
};
use skein_vector::Metric;

use super::constant;
use crate::{
    functions::{Distance, Measure},
    plan::looks_at_its_row,
    scan::SnapshotTable,
};

/// A question for the nearest rows of a table.
#[derive(Debug, Clone)]
pub(crate) struct Ranking {
    /// The table, at the version that the statement reads.
    pub(crate) table: SnapshotTable,
    /// The column of vectors, by its index in the table. Its type is a list of a fixed length, that of `query`.
    pub(crate) column: usize,
    /// How distances are measured: the smaller, the nearer.
    pub(crate) metric: Metric,
    /// The vector that is asked for: finite numbers, not all zero under [`Metric::Cosine`].
    pub(crate) query: Vec<f32>,
    /// How many rows come out of the sort, those that an OFFSET leaves out too.
    pub(crate) k: usize,
    /// What rows have to be, over the table's columns, without qualifiers. All of them hold for each row that comes out; each looks at its row alone.
    pub(crate) filters: Vec<Expr>,
    /// Whether rows without a distance come before all others: those where the column is NULL or has NULL in it.
    pub(crate) nulls_first: bool,
    /// Whether rows that have no number for a distance come before all others (but after NULL, if that is first): vectors with components that are not
    /// finite and, under [`Metric::Cosine`], zeros.
    pub(crate) nans_first: bool,
    /// Whether rows of the same distance are in an order of their own, so that all of those at the k-th distance have to be looked at.
    pub(crate) breaks_ties: bool,
}

/// All of them in an optimised plan, in the order in which [`with_candidates`] gets to them. None with parameters that have no value yet.
pub(crate) fn rankings(plan: &LogicalPlan) -> DfResult<Vec<Ranking>> {
    let mut found = Vec::new();
    plan.apply_with_subqueries(|node| {
        found.extend(Ranking::of(node)?);
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

/// The same plan with other tables below its rankings: the n-th of `tables`, if it is one, in place of the table of the n-th of [`rankings`]. It must have the
/// same columns and give at least the rows that come out of the sort.
pub(crate) fn with_candidates(
    plan: LogicalPlan,
    tables: &[Option<Arc<dyn TableProvider>>],
) -> DfResult<Transformed<LogicalPlan>> {
    let mut next = tables.iter();
    plan.transform_down_with_subqueries(|node| {
        if Ranking::of(&node)?.is_none() {
            return Ok(Transformed::no(node));
        }
        match next.next().and_then(Option::as_ref) {
            Some(table) => over(node, table),
            None => Ok(Transformed::no(node)),
        }
    })
}

/// The one scan below a node reads another table.
fn over(node: LogicalPlan, table: &Arc<dyn TableProvider>) -> DfResult<Transformed<LogicalPlan>> {
    node.transform_down(|node| match node {
        LogicalPlan::TableScan(scan) => {
            let source = provider_as_source(Arc::clone(table));
            Ok(Transformed::yes(LogicalPlan::TableScan(TableScan { source, ..scan })))
        }
        other => Ok(Transformed::no(other)),
    })
}

impl Ranking {
    /// What a node asks for; `None` for anything else than a sort by distance.
    pub(crate) fn of(node: &LogicalPlan) -> DfResult<Option<Self>> {
        let LogicalPlan::Sort(Sort { expr: keys, input, fetch: Some(k) }) = node else { return Ok(None) };
        let Some(first) = keys.first() else { return Ok(None) };
        // Most sorts are by something else.
        if *k == 0 || !first.expr.exists(|expr| Ok(matches!(expr, Expr::Column(_)) || is_distance(expr)))? {
            return Ok(None);
        }
        let Some(below) = Below::of(input, &first.expr)? else { return Ok(None) };
        Ok(below.ranking(first, *k, keys.len() > 1))
    }
}

fn is_distance(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.func.inner().is::<Distance>())
}

/// A scan, and what the nodes above it make of its columns.
struct Below {
    table: SnapshotTable,
    /// The sort's key, over the table's columns.
    key: Expr,
    /// As [`Ranking::filters`].
    filters: Vec<Expr>,
}

impl Below {
    /// Walks down to the scan; `None` when there is something on the way that an index has no part in.
    fn of(top: &LogicalPlan, key: &Expr) -> DfResult<Option<Self>> {
        let (mut node, mut key, mut filters) = (top, key.clone(), Vec::new());
        loop {
            node = match node {
                LogicalPlan::Filter(filter) => {
                    filters.push(filter.predicate.clone());
                    &filter.input
                }
                LogicalPlan::Projection(Projection { input, .. })
                | LogicalPlan::SubqueryAlias(SubqueryAlias { input, .. }) => {
                    let Some(lower) = lowered(key, node)? else { return Ok(None) };
                    key = lower;
                    for filter in &mut filters {
                        let Some(lower) = lowered(filter.clone(), node)? else { return Ok(None) };
                        *filter = lower;
                    }
                    input
                }
                LogicalPlan::TableScan(scan) => return Ok(Self::at(scan, key, filters)),
                _ => return Ok(None),
            };
        }
    }

    fn at(scan: &TableScan, key: Expr, above: Vec<Expr>) -> Option<Self> {
        let table = source_as_provider(&scan.source).ok()?.downcast_ref::<SnapshotTable>()?.clone();
        if scan.fetch.is_some() || !table.is_whole() {
            return None;
        }
        let mut filters: Vec<Expr> = Vec::new();
        for filter in scan.filters.iter().cloned().chain(above).flat_map(split_conjunction_owned) {
            if !looks_at_its_row(&filter) {
                return None;
            }
            let filter = unnormalize_col(filter);
            if !filters.contains(&filter) {
                filters.push(filter);
            }
        }
        Some(Self { table, key, filters })
    }

    fn ranking(self, sort: &SortKey, k: usize, breaks_ties: bool) -> Option<Ranking> {
        let (measured, column, query) = distance(&self.key)?;
        let nearest_first = measured.measure.nearest_is_least() != measured.negated;
        if sort.asc != nearest_first {
            return None;
        }
        let column = self.table.columns().index_of(&column.name).ok()?;
        let DataType::FixedSizeList(_, size) = self.table.columns().field(column).data_type() else { return None };
        let metric = measured.measure.metric();
        let no_direction = metric == Metric::Cosine && query.iter().all(|number| *number == 0.0);
        if usize::try_from(*size) != Ok(query.len()) || no_direction {
            return None;
        }
        Some(Ranking {
            table: self.table,
            column,
            metric,
            query,
            k,
            filters: self.filters,
            nulls_first: sort.nulls_first,
            // Negated, it is the least value.
            nans_first: sort.asc == measured.negated,
            breaks_ties,
        })
    }
}

/// An expression over a node's columns, over those of its input; `None` when that cannot be told.
fn lowered(expr: Expr, node: &LogicalPlan) -> DfResult<Option<Expr>> {
    let mut lost = false;
    // From the leaves up: what takes a column's place is not looked at again.
    let lower = expr.transform_up(|expr| match &expr {
        Expr::Column(column) => match source(column, node) {
            Some(source) => Ok(Transformed::yes(source)),
            None => {
                lost = true;
                Ok(Transformed::no(expr))
            }
        },
        _ => Ok(Transformed::no(expr)),
    })?;
    Ok((!lost).then_some(lower.data))
}

fn source(column: &Column, node: &LogicalPlan) -> Option<Expr> {
    let index = node.schema().maybe_index_of_column(column)?;
    match node {
        LogicalPlan::Projection(projection) => Some(projection.expr.get(index)?.clone().unalias_nested().data),
        LogicalPlan::SubqueryAlias(alias) => {
            Some(Expr::Column(Column::from(alias.input.schema().qualified_field(index))))
        }
        _ => None,
    }
}

struct Measured {
    measure: Measure,
    negated: bool,
}

/// A distance between a column and a constant vector, or what has the same order.
fn distance(key: &Expr) -> Option<(Measured, &Column, Vec<f32>)> {
    match key {
        Expr::Alias(alias) => distance(&alias.expr),
        // Two distances that differ must not become the same.
        Expr::Cast(Cast { expr, field }) if *field.data_type() == DataType::Float64 => distance(expr),
        Expr::Negative(expr) => {
            let (measured, column, query) = distance(expr)?;
            Some((Measured { negated: !measured.negated, ..measured }, column, query))
        }
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            let measure = func.inner().downcast_ref::<Distance>()?.measure();
            let [a, b] = args.as_slice() else { return None };
            let (column, query) = match (column(a), column(b)) {
                (Some(column), None) => (column, constant::vector(b)?),
                (None, Some(column)) => (column, constant::vector(a)?),
                _ => return None,
            };
            Some((Measured { measure, negated: false }, column, query))
        }
        _ => None,
    }
}

/// A column, maybe with wider or narrower numbers.
fn column(expr: &Expr) -> Option<&Column> {
    match expr {
        Expr::Alias(alias) => column(&alias.expr),
        Expr::Cast(Cast { expr, .. }) => column(expr),
        Expr::Column(column) => Some(column),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::scalar::ScalarValue;

    use super::*;
    use crate::{Session, scan::Rows, testing};

    async fn docs() -> Arc<Session> {
        let session = testing::session().await;
        testing::update(&session, "create table docs (id bigint, lang text, e float[2], h double[2])").await;
        let rows = "(1, 'en', [1, 0], [1, 0]), (2, 'en', [0, 1], [0, 1]), (3, 'fr', [1, 1], [1, 1])";
        testing::update(&session, &format!("insert into docs values {rows}")).await;
        session
    }

    async fn found(session: &Arc<Session>, sql: &str) -> Vec<Ranking> {
        rankings(&testing::optimised(session, sql).await).unwrap()
    }

    async fn one(session: &Arc<Session>, sql: &str) -> Ranking {
        let mut all = found(session, sql).await;
        assert_eq!(all.len(), 1, "{sql}:\n{}", testing::optimised(session, sql).await);
        all.remove(0)
    }

    fn filters(ranking: &Ranking) -> Vec<String> {
        ranking.filters.iter().map(ToString::to_string).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_sort_by_distance_with_a_limit_is_a_ranking() {
        let session = docs().await;
        let plain = one(&session, "select id from docs order by l2_distance(e, [1, 2]) limit 10").await;
        assert_eq!((plain.column, plain.metric, plain.k), (2, Metric::L2, 10));
        assert_eq!(plain.query, [1.0, 2.0]);
        assert!(plain.filters.is_empty() && !plain.nulls_first && !plain.nans_first && !plain.breaks_ties);
        for (sql, column, metric) in [
            ("select *, cosine_distance('[1, 2]', e) as d from docs order by d limit 10", 2, Metric::Cosine),
            ("select * from docs order by negative_inner_product(h, [1, 2]) limit 10", 3, Metric::InnerProduct),
            ("select id from docs order by inner_product(h, [1, 2]) desc nulls last limit 10", 3, Metric::InnerProduct),
            ("select id from docs order by -inner_product(e, [1, 2]) limit 10", 2, Metric::InnerProduct),
            ("select id from docs order by l2_distance(e, [1, 2])::double limit 10", 2, Metric::L2),
            ("select d + 1 from (select l2_distance(x.e, [1, 2]) d from docs x) y order by d limit 10", 2, Metric::L2),
            (
                "with c as (select id i, e v from docs) select i from c order by l2_distance(v, [1, 2]) limit 10",
                2,
                Metric::L2,
            ),
        ] {
            let ranking = one(&session, sql).await;
            assert_eq!((ranking.column, ranking.metric, ranking.k), (column, metric, 10), "{sql}");
            assert_eq!(ranking.query, [1.0, 2.0], "{sql}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn filters_are_those_that_all_rows_pass() {
        let session = docs().await;
        let sql = "select i from (select id i, lang l, e from docs where id > 1) x where l = 'en' and i < 9
                   order by l2_distance(e, [1, 2]) limit 3";
        let mut filters = filters(&one(&session, sql).await);
        filters.sort();
        assert_eq!(filters, ["id < Int64(9)", "id > Int64(1)", "lang = Utf8View(\"en\")"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_comes_out_first_is_told() {
        let session = docs().await;
        let sql = "select id from docs order by inner_product(e, [1, 2]) desc, id limit 3 offset 4";
        let ranking = one(&session, sql).await;
        assert!(ranking.nulls_first && ranking.nans_first && ranking.breaks_ties);
        assert_eq!(ranking.k, 7);
        let ranking = one(&session, "select id from docs order by -inner_product(e, [1, 2]) limit 1").await;
        assert!(!ranking.nulls_first && ranking.nans_first && !ranking.breaks_ties);
        let ranking = one(&session, "select id from docs order by l2_distance(e, [1, 2]) nulls first limit 1").await;
        assert!(ranking.nulls_first && !ranking.nans_first);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn anything_else_is_none() {
        let session = docs().await;
        for sql in [
            "select id from docs order by l2_distance(e, [1, 2])",
            "select id from docs limit 3",
            "select id from docs order by id limit 3",
            "select id from docs order by id, l2_distance(e, [1, 2]) limit 3",
            "select id from docs order by l2_distance(e, [1, 2]) desc limit 3",
            "select id from docs order by inner_product(e, [1, 2]) limit 3",
            "select id from docs order by l2_distance(e, h) limit 3",
            "select id from docs order by l2_distance(e, [id, 2]) limit 3",
            "select id from docs order by l2_distance([id, id], [1, 2]) limit 3",
            "select id from docs order by l2_distance(e, [1, 2])::int limit 3",
            "select id from docs order by l2_distance(e, null) limit 3",
            "select id from docs order by l2_distance(e, [1, null]) limit 3",
            "select id from docs order by l2_distance(e, '[nan, 1]') limit 3",
            "select id from docs order by cosine_distance(e, [0, 0]) limit 3",
            "select id from docs order by l2_distance(e, $1) limit 3",
            "select id from docs where random() < 0.5 order by l2_distance(e, [1, 2]) limit 3",
            "select a.id from docs a join docs b on a.id = b.id order by l2_distance(a.e, [1, 2]) limit 3",
            "select lang, min(l2_distance(e, [1, 2])) m from docs group by lang order by m limit 3",
            "select id from (select id, e from docs order by id limit 2) x order by l2_distance(e, [1, 2]) limit 1",
        ] {
            assert!(found(&session, sql).await.is_empty(), "{sql}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_parameter_counts_once_it_is_bound() {
        let session = docs().await;
        let plan = testing::plan(&session, "select id from docs order by l2_distance(e, $1) limit $2").await;
        assert!(rankings(plan.optimised().unwrap()).unwrap().is_empty());
        let bound = plan.bind(&[ScalarValue::from("[1, 2]"), ScalarValue::from(3_i64)]).unwrap();
        let found = rankings(bound.optimised().unwrap()).unwrap();
        assert_eq!((found[0].k, found[0].query.as_slice()), (3, [1.0, 2.0].as_slice()));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn rankings_below_other_things_are_found_each() {
        let session = docs().await;
        let nearest = |to: &str, k: u32| format!("(select id from docs order by l2_distance(e, {to}) limit {k})");
        let (one, two) = (nearest("[1, 2]", 3), nearest("[3, 4]", 4));
        for sql in [
            format!("select * from {one} union all select * from {two}"),
            format!("select count(distinct id) from {one} where id in {two}"),
            format!("select * from {one} a join {two} b on a.id = b.id"),
        ] {
            let mut k: Vec<_> = found(&session, &sql).await.iter().map(|ranking| ranking.k).collect();
            k.sort_unstable();
            assert_eq!(k, [3, 4], "{sql}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_version_that_is_asked_for_is_the_one_that_is_ranked() {
        let session = docs().await;
        let now = one(&session, "select id from docs order by l2_distance(e, [1, 2]) limit 1").await.table;
        testing::update(&session, "delete from docs where id = 1").await;
        let sql =
            format!("select id from docs version as of {} order by l2_distance(e, [1, 2]) limit 1", now.version());
        let then = one(&session, &sql).await.table;
        assert_eq!((then.version(), then.is_fixed()), (now.version(), true));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn candidates_take_the_place_of_the_table() {
        let session = docs().await;
        let table = testing::table(&session, "docs").await;
        let all = table.live_rows(&table.files.records[0]).await.unwrap();
        let rows = |kept: &[u32]| -> Rows {
            let kept = kept.iter().copied().filter(|row| all.contains(*row)).collect();
            [(table.files.records[0].id, kept)].into()
        };
        let sql = "select id from (select id from docs order by l2_distance(e, [1, 0]) limit 2)
                   union all select -id from (select id from docs where lang = 'en' order by l2_distance(e, [0, 1]) limit 1)";
        let plan = testing::optimised(&session, sql).await;
        let candidates: Vec<Option<Arc<dyn TableProvider>>> =
            vec![Some(Arc::new(table.rows_at(rows(&[1, 2])))), Some(Arc::new(table.rows_at(rows(&[0, 2]))))];
        let changed = with_candidates(plan.clone(), &candidates).unwrap();
        assert!(changed.transformed);
        assert_eq!(changed.data.schema(), plan.schema());
        let state = &session.core().state.clone();
        let physical = crate::plan::physical(state, &changed.data).await.unwrap();
        let batches = datafusion::physical_plan::collect(physical, state.task_ctx()).await.unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&batches).unwrap().to_string();
        let mut ids: Vec<i64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        ids.sort_unstable();
        assert_eq!(ids, [-1, 2, 3]);
    }
}
