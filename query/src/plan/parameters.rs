//! The parameters of a statement, and what is known of their types.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    logical_expr::{Expr, LogicalPlan, expr::Placeholder},
};

use super::Parameter;
use crate::Result;

/// The parameters of a plan, in numeric order; named ones come last.
pub(super) fn of(plan: Option<&LogicalPlan>) -> Result<Vec<Parameter>> {
    let mut found: BTreeMap<(u64, String), Option<DataType>> = BTreeMap::new();
    let Some(plan) = plan else { return Ok(Vec::new()) };
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Placeholder(Placeholder { id, field }) = expr {
                    let data_type = found.entry((number(id), id.clone())).or_default();
                    // A parameter may stand in several places, and one place may tell more than another.
                    if data_type.is_none() {
                        *data_type = field.as_ref().map(|field| field.data_type().clone());
                    }
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found.into_iter().map(|((_, name), data_type)| Parameter { name, data_type }).collect())
}

fn number(id: &str) -> u64 {
    id.get(1..).and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX)
}
