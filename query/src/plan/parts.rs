//! Queries whose rows can be had in parts: those that look at each row of one dataset by itself.
//!
//! A part is planned as a query of its own whose scan has only the part's files, so nothing is read twice and nothing has to be
//! shared between the parts, which may run on different servers.

use std::{ops::Range, sync::Arc};

use datafusion::{
    common::tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    datasource::{provider_as_source, source_as_provider},
    logical_expr::{Expr, LogicalPlan, TableScan},
};

use super::{Body, Plan, Query, execute};
use crate::{Error, QueryStream, Result, scan::SnapshotTable};

/// A part of a query's rows: those in a stretch of the files of the dataset that it reads, in bytes from the first file's beginning.
/// It means the same wherever the same snapshot is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part(Range<u64>);

impl Part {
    /// The stretch from one byte to before another.
    pub const fn new(from: u64, to: u64) -> Self {
        Self(from..to)
    }

    /// Its first byte.
    pub const fn from(&self) -> u64 {
        self.0.start
    }

    /// The byte after its last.
    pub const fn to(&self) -> u64 {
        self.0.end
    }
}

/// What a query that can be had in parts reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Divisible {
    /// Rows of the dataset, where they are known exactly.
    pub rows: Option<u64>,
    /// Bytes of its data files, of all columns.
    pub bytes: u64,
    /// Whether all of the rows come out.
    pub whole: bool,
}

impl Plan {
    /// What it reads, if [`Plan::parts`] can be more than one: a query that reads one dataset and filters and computes row by row.
    /// Not what sorts, aggregates, limits, joins, or calls a function that gives something else every time.
    pub fn divisible(&self) -> Option<Divisible> {
        let (table, whole) = table_of(self.divisible_plan()?)?;
        let rows = table.rows().and_then(|rows| u64::try_from(rows).ok());
        Some(Divisible { rows, bytes: table.bytes(), whole })
    }

    /// At most `count` parts of about the same size. Each row of the query is in one of them, and one part's rows come before the
    /// next's in the order of the dataset's files. One or none for a query that is not [divisible](Plan::divisible).
    pub fn parts(&self, count: usize) -> Vec<Part> {
        let table = self.divisible_plan().and_then(table_of);
        table.map(|(table, _)| table.cut(count).into_iter().map(Part).collect()).unwrap_or_default()
    }

    /// Runs one part. The parts that run at the same time under one `group` take one slot together, so that a client which reads
    /// them side by side cannot wait for itself.
    ///
    /// # Errors
    /// `InvalidInput` for a query that is not [divisible](Plan::divisible); as [`Plan::execute`].
    pub async fn execute_part(&self, part: &Part, group: &str) -> Result<QueryStream> {
        self.check_bound()?;
        let plan = self.divisible_plan().filter(|plan| table_of(plan).is_some()).ok_or_else(|| {
            Error::Invalid("the statement's rows cannot be had in parts; run it as a whole".to_owned())
        })?;
        execute::part(&self.0, &narrowed(plan, &part.0)?, group).await
    }

    fn divisible_plan(&self) -> Option<&LogicalPlan> {
        match &self.0.body {
            Body::Query(query) => divisible(query),
            Body::Update(_) => None,
        }
    }
}

fn divisible(query: &Query) -> Option<&LogicalPlan> {
    // Each part would have a `now()` of its own.
    (!query.has_clock).then_some(&query.optimised)
}

/// The dataset that a divisible plan reads, and whether it lets all rows through.
fn table_of(plan: &LogicalPlan) -> Option<(SnapshotTable, bool)> {
    match plan {
        LogicalPlan::Projection(node) if node.expr.iter().all(looks_at_its_row) => table_of(&node.input),
        LogicalPlan::Filter(node) if looks_at_its_row(&node.predicate) => {
            table_of(&node.input).map(|(table, _)| (table, false))
        }
        LogicalPlan::SubqueryAlias(node) => table_of(&node.input),
        LogicalPlan::TableScan(scan) if scan.fetch.is_none() && scan.filters.iter().all(looks_at_its_row) => {
            snapshot_table(scan).map(|table| (table, scan.filters.is_empty()))
        }
        _ => None,
    }
}

/// Whether an expression's value depends on nothing but its row.
pub(crate) fn looks_at_its_row(expr: &Expr) -> bool {
    let mut alone = true;
    let look = |expr: &Expr| {
        alone = !matches!(
            expr,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
                | Expr::AggregateFunction(_)
                | Expr::WindowFunction(_)
                | Expr::Unnest(_)
                | Expr::Placeholder(_)
        ) && !expr.is_volatile_node();
        Ok(if alone { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    };
    expr.apply(look).is_ok() && alone
}

/// The dataset behind a scan, if it is one.
fn snapshot_table(scan: &TableScan) -> Option<SnapshotTable> {
    source_as_provider(&scan.source).ok()?.downcast_ref::<SnapshotTable>().cloned()
}

/// The same plan over a stretch of the dataset's files.
fn narrowed(plan: &LogicalPlan, stretch: &Range<u64>) -> Result<LogicalPlan> {
    let narrowed = plan.clone().transform_down(|node| match node {
        LogicalPlan::TableScan(mut scan) => match snapshot_table(&scan) {
            Some(table) => {
                scan.source = provider_as_source(Arc::new(table.part(stretch.clone())));
                Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
            }
            None => Ok(Transformed::no(LogicalPlan::TableScan(scan))),
        },
        other => Ok(Transformed::no(other)),
    })?;
    Ok(narrowed.data)
}
