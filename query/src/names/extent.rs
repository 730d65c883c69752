//! How large a plan is once every view and every WITH query stands wherever it is named. Twenty of them, each reading the one before
//! twice, are a short statement and a million operators.

use std::{collections::HashMap, ptr};

use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    error::Result as DfResult,
    logical_expr::{Expr, LogicalPlan},
};

use crate::{Error, Result};

/// Most operators of one statement.
const MAX_OPERATORS: u64 = 50_000;

/// Refuses a plan that would take minutes to optimise. Until then its parts are shared, so that it can be measured.
pub(crate) fn check(plan: &LogicalPlan) -> Result<()> {
    let operators = measure(plan, &mut HashMap::new())?;
    if operators > MAX_OPERATORS {
        return Err(Error::Invalid(format!(
            "the statement has more than {MAX_OPERATORS} operators once its views and WITH queries are put in wherever they are named; \
             store one of them with CREATE TABLE ... AS SELECT and read that"
        )));
    }
    Ok(())
}

/// The operators of a plan. What is shared is measured once.
fn measure(plan: &LogicalPlan, known: &mut HashMap<*const LogicalPlan, u64>) -> DfResult<u64> {
    if let Some(operators) = known.get(&ptr::from_ref(plan)) {
        return Ok(*operators);
    }
    let mut operators = 1_u64;
    for input in plan.inputs() {
        operators = operators.saturating_add(measure(input, known)?);
    }
    plan.apply_expressions(|expr| {
        expr.apply(|expr| {
            if let Expr::ScalarSubquery(subquery) = expr {
                operators = operators.saturating_add(measure(&subquery.subquery, known)?);
            } else if let Expr::Exists(exists) = expr {
                operators = operators.saturating_add(measure(&exists.subquery.subquery, known)?);
            } else if let Expr::InSubquery(within) = expr {
                operators = operators.saturating_add(measure(&within.subquery.subquery, known)?);
            }
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    known.insert(ptr::from_ref(plan), operators);
    Ok(operators)
}
