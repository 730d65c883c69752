//! The parameters of a statement, and what is known of their types.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, TryCast, expr::Placeholder, utils::merge_schema},
};

use super::Parameter;
use crate::{Result, functions::Distance};

/// The parameters of a plan, in numeric order; named ones come last.
pub(super) fn of(plan: Option<&LogicalPlan>) -> Result<Vec<Parameter>> {
    let mut found = Found::new();
    let Some(plan) = plan else { return Ok(Vec::new()) };
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                match expr {
                    // A vector is compared with vectors of its own length.
                    Expr::ScalarFunction(call) if call.func.inner().is::<Distance>() => {
                        vectors(&mut found, &call.args, node);
                    }
                    Expr::Placeholder(parameter) => note(&mut found, parameter, None),
                    Expr::Cast(Cast { expr, field }) | Expr::TryCast(TryCast { expr, field }) => {
                        if let Expr::Placeholder(parameter) = expr.as_ref() {
                            note(&mut found, parameter, Some(field.data_type()));
                        }
                    }
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found.into_iter().map(|((_, name), data_type)| Parameter { name, data_type }).collect())
}

/// The parameters among the arguments of a distance have the type of the other one, if that is one of lists.
fn vectors(found: &mut Found, args: &[Expr], node: &LogicalPlan) {
    let [a, b] = args else { return };
    for (parameter, other) in [(a, b), (b, a)] {
        if let Expr::Placeholder(parameter) = parameter
            && !matches!(other, Expr::Placeholder(_))
            && let Ok(of) = other.get_type(&merge_schema(&node.inputs()))
            && of.is_list()
        {
            note(found, parameter, Some(&of));
        }
    }
}

type Found = BTreeMap<(u64, String), Option<DataType>>;

/// A parameter may stand in several places, and one place may tell more than another. DataFusion calls the type Null where it
/// knows none, as in `$1 + $1`; `cast` is the type of the cast around the parameter.
fn note(found: &mut Found, parameter: &Placeholder, cast: Option<&DataType>) {
    let known = found.entry((number(&parameter.id), parameter.id.clone())).or_default();
    let own = parameter.field.as_ref().map(|field| field.data_type());
    if known.is_none() {
        *known = own.into_iter().chain(cast).find(|data_type| **data_type != DataType::Null).cloned();
    }
}

fn number(id: &str) -> u64 {
    id.get(1..).and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX)
}
