//! `-0.0 = 0.0`, as SQL and every programming language have it. Arrow's kernels order floats totally, with -0.0 below 0.0.
//!
//! A comparison with a constant other than zero is right as it is. One with zero gets the zero that includes or excludes both, which
//! costs nothing and prunes files as before. Two columns are compared as `x + 0.0`, which turns -0.0 into 0.0 and changes
//! nothing else; so are the keys of groups (not those of GROUPING SETS and ROLLUP), DISTINCT and joins. NaN is left as Arrow has it: equal to itself and above all numbers.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::{
        DFSchema,
        config::ConfigOptions,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    error::Result,
    logical_expr::{
        Aggregate, Between, BinaryExpr, Case, Cast, Distinct, Expr, ExprSchemable, Join, LogicalPlan,
        LogicalPlanBuilder, Operator,
        expr::{AggregateFunction, InList, InSubquery, ScalarFunction, WindowFunction},
        expr_rewriter::NamePreserver,
        utils::merge_schema,
    },
    optimizer::AnalyzerRule,
    scalar::ScalarValue,
};

use super::rewrite;

#[derive(Debug)]
pub(super) struct NegativeZero;

impl AnalyzerRule for NegativeZero {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(of_node)?.data)
    }

    fn name(&self) -> &str {
        "negative_zero"
    }
}

fn of_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !has_floats(&plan) {
        return Ok(Transformed::no(plan));
    }
    let schema = merge_schema(&plan.inputs());
    let changed = rewrite(plan, |expr| of_expr(expr, &schema))?;
    let plan = changed.data;
    match plan {
        LogicalPlan::Join(join) => Ok(Transformed::yes(LogicalPlan::Join(join_keys(join)?))),
        LogicalPlan::Aggregate(aggregate) => {
            Ok(Transformed::yes(LogicalPlan::Aggregate(group_keys(aggregate, &schema)?)))
        }
        LogicalPlan::Distinct(Distinct::All(input)) => distinct(input),
        plan => {
            let changed = Transformed::new(plan, changed.transformed, TreeNodeRecursion::Continue);
            if changed.transformed { changed.map_data(LogicalPlan::recompute_schema) } else { Ok(changed) }
        }
    }
}

/// Whether there can be anything to do, found out without the types of expressions.
fn has_floats(plan: &LogicalPlan) -> bool {
    let inputs = plan.inputs();
    let mut fields = inputs.iter().flat_map(|input| input.schema().fields().iter());
    // Constants and casts can be floats whatever goes in.
    fields.any(|field| field.data_type().is_floating()) || {
        let mut found = false;
        let looked = plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                found |= match expr {
                    Expr::Literal(value, _) => value.data_type().is_floating(),
                    Expr::Cast(Cast { field, .. }) => field.data_type().is_floating(),
                    Expr::ScalarFunction(_) | Expr::AggregateFunction(_) | Expr::OuterReferenceColumn(..) => true,
                    _ => false,
                };
                Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
            })
        });
        found || looked.is_err()
    }
}

fn of_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let is_float = |expr: &Expr| float_type(expr, schema).is_some();
    Ok(match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if is_comparison(op) && is_float(&left) => {
            match compare(*left, op, *right, schema) {
                Ok(changed) => Transformed::yes(changed),
                Err(same) => Transformed::no(same),
            }
        }
        Expr::Between(Between { expr, negated, low, high }) if is_float(&expr) => {
            let between = match (constant(&low), constant(&high)) {
                (Some(from), Some(to)) if constant(&expr).is_none() => Between::new(
                    expr,
                    negated,
                    Box::new(towards(from, *low, true)),
                    Box::new(towards(to, *high, false)),
                ),
                _ => Between::new(
                    Box::new(plus_zero(*expr, schema)),
                    negated,
                    Box::new(plus_zero(*low, schema)),
                    Box::new(plus_zero(*high, schema)),
                ),
            };
            Transformed::yes(Expr::Between(between))
        }
        Expr::InList(InList { expr, list, negated }) if is_float(&expr) => {
            Transformed::yes(in_list(*expr, list, negated, schema))
        }
        Expr::Case(Case { expr: Some(expr), when_then_expr, else_expr }) if is_float(&expr) => {
            let whens =
                when_then_expr.into_iter().map(|(when, then)| (Box::new(plus_zero(*when, schema)), then)).collect();
            Transformed::yes(Expr::Case(Case::new(Some(Box::new(plus_zero(*expr, schema))), whens, else_expr)))
        }
        Expr::InSubquery(InSubquery { expr, subquery, negated }) if is_float(&expr) => {
            let rows = without_negative_zeros(subquery.subquery.clone())?.unwrap_or_else(|| subquery.subquery.clone());
            let within = InSubquery::new(Box::new(plus_zero(*expr, schema)), subquery.with_plan(rows), negated);
            Transformed::yes(Expr::InSubquery(within))
        }
        Expr::ScalarFunction(ScalarFunction { func, args })
            if func.name() == "nullif" && args.first().is_some_and(is_float) =>
        {
            let args = args.into_iter().map(|arg| plus_zero(arg, schema)).collect();
            Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args }))
        }
        Expr::AggregateFunction(AggregateFunction { func, mut params })
            if params.distinct && params.args.iter().any(is_float) =>
        {
            params.args = params.args.into_iter().map(|arg| plus_zero(arg, schema)).collect();
            Transformed::yes(Expr::AggregateFunction(AggregateFunction { func, params }))
        }
        Expr::WindowFunction(mut window) if window.params.partition_by.iter().any(is_float) => {
            let WindowFunction { params, .. } = window.as_mut();
            params.partition_by =
                std::mem::take(&mut params.partition_by).into_iter().map(|key| plus_zero(key, schema)).collect();
            Transformed::yes(Expr::WindowFunction(window))
        }
        other => Transformed::no(other),
    })
}

/// A comparison of two floats. `Err`: it is right as it is.
fn compare(left: Expr, op: Operator, right: Expr, schema: &DFSchema) -> Result<Expr, Expr> {
    match (constant(&left), constant(&right)) {
        (None, Some(value)) => with_constant(left, op, right, value, schema),
        (Some(value), None) => match op.swap() {
            Some(swapped) => with_constant(right, swapped, left, value, schema),
            None => Ok(binary(plus_zero(left, schema), op, plus_zero(right, schema))),
        },
        _ => Ok(binary(plus_zero(left, schema), op, plus_zero(right, schema))),
    }
}

fn with_constant(expr: Expr, op: Operator, constant: Expr, value: f64, schema: &DFSchema) -> Result<Expr, Expr> {
    if value != 0.0 {
        return Err(binary(expr, op, constant));
    }
    let (below, above) = (towards(value, constant.clone(), true), towards(value, constant, false));
    Ok(match op {
        Operator::Lt | Operator::GtEq => binary(expr, op, below),
        Operator::LtEq | Operator::Gt => binary(expr, op, above),
        // A column may be named twice; what computes may not, it may even be random.
        Operator::Eq if matches!(expr, Expr::Column(_)) => {
            binary(expr.clone(), Operator::GtEq, below).and(binary(expr, Operator::LtEq, above))
        }
        Operator::NotEq if matches!(expr, Expr::Column(_)) => {
            binary(expr.clone(), Operator::Lt, below).or(binary(expr, Operator::Gt, above))
        }
        _ => binary(plus_zero(expr, schema), op, above),
    })
}

fn in_list(expr: Expr, list: Vec<Expr>, negated: bool, schema: &DFSchema) -> Expr {
    let constants: Option<Vec<f64>> = list.iter().map(constant).collect();
    match constants {
        Some(constants) if constant(&expr).is_none() => {
            let mut wanted = Vec::with_capacity(list.len() + 1);
            for (item, value) in list.into_iter().zip(constants) {
                if value == 0.0 {
                    wanted.push(towards(value, item.clone(), true));
                }
                wanted.push(towards(value, item, false));
            }
            Expr::InList(InList::new(Box::new(expr), wanted, negated))
        }
        _ => {
            let list = list.into_iter().map(|item| plus_zero(item, schema)).collect();
            Expr::InList(InList::new(Box::new(plus_zero(expr, schema)), list, negated))
        }
    }
}

fn join_keys(join: Join) -> Result<Join> {
    let schema = merge_schema(&[&join.left, &join.right]);
    let key = |key: Expr| plus_zero(key, &schema);
    let on = join.on.into_iter().map(|(left, right)| (key(left), key(right))).collect();
    Ok(Join { on, ..join })
}

fn group_keys(aggregate: Aggregate, schema: &DFSchema) -> Result<Aggregate> {
    let names = NamePreserver::new_for_projection();
    let keys = aggregate.group_expr.into_iter().map(|key| {
        // A set of keys is left alone: its parts are found again by how they are written.
        if matches!(key, Expr::GroupingSet(_)) {
            return key;
        }
        let name = names.save(&key);
        name.restore(plus_zero(key, schema))
    });
    Aggregate::try_new(aggregate.input, keys.collect(), aggregate.aggr_expr)
}

fn distinct(input: Arc<LogicalPlan>) -> Result<Transformed<LogicalPlan>> {
    Ok(match without_negative_zeros(input.clone())? {
        Some(projection) => Transformed::yes(LogicalPlan::Distinct(Distinct::All(projection))),
        None => Transformed::no(LogicalPlan::Distinct(Distinct::All(input))),
    })
}

/// The same rows with one sort of zero; `None` where no column is a float.
fn without_negative_zeros(input: Arc<LogicalPlan>) -> Result<Option<Arc<LogicalPlan>>> {
    let schema = input.schema().clone();
    if !schema.fields().iter().any(|field| field.data_type().is_floating()) {
        return Ok(None);
    }
    let columns = schema.columns().into_iter().map(|column| {
        let key = Expr::Column(column.clone());
        match float_type(&key, &schema) {
            Some(_) => plus_zero(key, &schema).alias_qualified(column.relation, column.name),
            None => key,
        }
    });
    let projection = LogicalPlanBuilder::from(input).project(columns.collect::<Vec<_>>())?.build()?;
    Ok(Some(Arc::new(projection)))
}

/// The value of a float constant; NULL counts as any number but zero.
fn constant(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Cast(Cast { expr, .. }) => constant(expr),
        Expr::Literal(value, _) if value.is_null() => Some(f64::NAN),
        Expr::Literal(value, _) => match value.cast_to(&DataType::Float64) {
            Ok(ScalarValue::Float64(Some(value))) => Some(value),
            _ => None,
        },
        _ => None,
    }
}

/// A constant; for zero, the lower or the upper one of the two.
fn towards(value: f64, constant: Expr, lower: bool) -> Expr {
    if value != 0.0 {
        return constant;
    }
    let zero = if lower { -0.0 } else { 0.0 };
    let of_type = |data_type: &DataType| ScalarValue::Float64(Some(zero)).cast_to(data_type).ok();
    let typed = match &constant {
        Expr::Cast(Cast { field, .. }) => of_type(field.data_type()),
        Expr::Literal(value, _) => of_type(&value.data_type()),
        _ => None,
    };
    typed.map_or(constant, |value| Expr::Literal(value, None))
}

/// A float without the sign of its zero; anything else as it is.
fn plus_zero(expr: Expr, schema: &DFSchema) -> Expr {
    let Some(data_type) = float_type(&expr, schema) else { return expr };
    match constant(&expr) {
        Some(0.0) => towards(0.0, expr, false),
        Some(_) => expr,
        None => match ScalarValue::new_zero(&data_type) {
            Ok(zero) => binary(expr, Operator::Plus, Expr::Literal(zero, None)),
            Err(_) => expr,
        },
    }
}

fn float_type(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    expr.get_type(schema).ok().filter(DataType::is_floating)
}

fn binary(left: Expr, op: Operator, right: Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))
}

const fn is_comparison(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}
