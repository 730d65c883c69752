//! Vectors that are constants of a plan, and those that become so when a model is asked.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, Float32Type},
};
use datafusion::{
    common::{
        DFSchema,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    error::Result as DfResult,
    logical_expr::{
        Cast, ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, TryCast, async_udf::AsyncScalarUDF,
        expr::ScalarFunction, expr_rewriter::NamePreserver,
    },
    scalar::ScalarValue,
};

use super::Reading;
use crate::{Error, Result, functions::EMBED};

/// The numbers of a constant vector; `None` for what is none, and for NULL, numbers that are NULL, infinite or not a number.
pub(super) fn vector(expr: &Expr) -> Option<Vec<f32>> {
    match expr {
        Expr::Alias(alias) => vector(&alias.expr),
        Expr::Cast(Cast { expr, .. }) | Expr::TryCast(TryCast { expr, .. }) => vector(expr),
        Expr::Literal(value, _) => items(value),
        _ => None,
    }
}

/// The numbers of a list; `None` for what is none, and where one of them is NULL, infinite or not a number.
pub(super) fn items(value: &ScalarValue) -> Option<Vec<f32>> {
    if value.is_null() {
        return None;
    }
    let items: ArrayRef = match value {
        ScalarValue::FixedSizeList(list) => list.value(0),
        ScalarValue::List(list) => list.value(0),
        ScalarValue::LargeList(list) => list.value(0),
        _ => return None,
    };
    let items = cast(&items, &DataType::Float32).ok()?;
    let numbers = items.as_primitive_opt::<Float32Type>()?;
    let usable = numbers.null_count() == 0 && numbers.values().iter().all(|number| number.is_finite());
    usable.then(|| numbers.values().to_vec())
}

/// Whether a plan asks a model about texts, which is done here and not on workers.
///
/// # Errors
/// `InvalidInput` where texts that are no constants would have to be waited for in a place where DataFusion cannot.
pub(super) fn embeds(plan: &LogicalPlan) -> DfResult<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        let can_wait = matches!(node, LogicalPlan::Projection(_) | LogicalPlan::Filter(_));
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                let Expr::ScalarFunction(call) = expr else { return Ok(TreeNodeRecursion::Continue) };
                if call.name() != EMBED {
                    return Ok(TreeNodeRecursion::Continue);
                }
                found = true;
                if can_wait || call.args.iter().all(|arg| literal(arg).is_some() || is_parameter(arg)) {
                    return Ok(TreeNodeRecursion::Continue);
                }
                Err(Error::Invalid(
                    "embed() of a column can stand in SELECT and WHERE; for ORDER BY, GROUP BY and joins compute it in a subquery first".to_owned(),
                )
                .into())
            })
        })
    })?;
    Ok(found)
}

fn is_parameter(expr: &Expr) -> bool {
    matches!(expr, Expr::Placeholder(_))
}

/// The same plan with the vectors of constant texts in the place of `embed('model', 'text')`, so that an index can be asked for them; `None` when there is none.
///
/// # Errors
/// When a model fails.
pub(super) async fn evaluated(plan: &LogicalPlan, reading: &Reading<'_>) -> Result<Option<LogicalPlan>> {
    let calls = embeddings(plan)?;
    if calls.is_empty() {
        return Ok(None);
    }
    let mut vectors = Vec::with_capacity(calls.len());
    for call in calls {
        let vector = evaluate(&call, reading).await?;
        vectors.push((Expr::ScalarFunction(call), Expr::Literal(vector, None)));
    }
    let plan = plan.clone().transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let replaced = expr.transform_up(|expr| match vectors.iter().find(|(call, _)| *call == expr) {
                Some((_, vector)) => Ok(Transformed::yes(vector.clone())),
                None => Ok(Transformed::no(expr)),
            })?;
            Ok(if replaced.transformed { replaced.update_data(|expr| name.restore(expr)) } else { replaced })
        })
    })?;
    Ok(Some(plan.data))
}

/// Calls of `embed` whose arguments are all constants, each once.
fn embeddings(plan: &LogicalPlan) -> DfResult<Vec<ScalarFunction>> {
    let mut calls: Vec<ScalarFunction> = Vec::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::ScalarFunction(call) = expr
                    && call.name() == EMBED
                    && call.args.iter().all(|arg| literal(arg).is_some())
                    && !calls.contains(call)
                {
                    calls.push(call.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(calls)
}

fn literal(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        // Texts may be views, and parameters of another type of text.
        Expr::Cast(Cast { expr, .. }) | Expr::TryCast(TryCast { expr, .. }) => literal(expr),
        _ => None,
    }
}

async fn evaluate(call: &ScalarFunction, reading: &Reading<'_>) -> Result<ScalarValue> {
    let schema = DFSchema::empty();
    let (_, return_field) = Expr::ScalarFunction(call.clone()).to_field(&schema)?;
    let mut args = Vec::with_capacity(call.args.len());
    let mut arg_fields = Vec::with_capacity(call.args.len());
    for arg in &call.args {
        let value = literal(arg).cloned().unwrap_or(ScalarValue::Null);
        args.push(ColumnarValue::Scalar(value.cast_to(&DataType::Utf8)?));
        arg_fields.push(arg.to_field(&schema)?.1);
    }
    let config_options = Arc::clone(reading.state.config_options());
    let args = ScalarFunctionArgs { args, arg_fields, number_rows: 1, return_field, config_options };
    let function = call
        .func
        .inner()
        .downcast_ref::<AsyncScalarUDF>()
        .ok_or_else(|| Error::Invalid(format!("{EMBED} is another function here, which cannot be waited for")))?;
    match function.invoke_async_with_args(args).await? {
        ColumnarValue::Scalar(vector) => Ok(vector),
        ColumnarValue::Array(vectors) => Ok(ScalarValue::try_from_array(&vectors, 0)?),
    }
}
