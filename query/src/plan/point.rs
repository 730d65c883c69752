//! Plans that look a few rows up in a small table. Spread over all cores they would take longer, for the work of starting and joining
//! the parts is more than that of the parts.

use datafusion::{common::tree_node::TreeNodeRecursion, datasource::source_as_provider, logical_expr::LogicalPlan};

use crate::scan::SnapshotTable;

/// Compressed bytes of a table that one core reads in a few milliseconds.
const SMALL_BYTES: u64 = 1 << 20;

/// Whether a plan reads one small table, row by row: nothing in it takes longer than in proportion to the rows.
pub(super) fn is_small(plan: &LogicalPlan) -> bool {
    let mut small = true;
    let mut look = |node: &LogicalPlan| {
        small = match node {
            LogicalPlan::Projection(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::EmptyRelation(_) => true,
            LogicalPlan::TableScan(scan) => {
                let provider = source_as_provider(&scan.source).ok();
                provider.is_some_and(|provider| provider.downcast_ref::<SnapshotTable>().is_some_and(is_small_table))
            }
            _ => false,
        };
        Ok(if small { TreeNodeRecursion::Continue } else { TreeNodeRecursion::Stop })
    };
    plan.apply_with_subqueries(&mut look).is_ok() && small
}

fn is_small_table(table: &SnapshotTable) -> bool {
    table.bytes() <= SMALL_BYTES
}
