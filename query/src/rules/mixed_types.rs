//! Operators between types that DataFusion brings together at the cost of the answer, or not at all. Runs before its own coercion.
//!
//! - A DECIMAL beside a DOUBLE: DataFusion makes both DECIMAL(30, 15), so that 1e300 fails and 1e-20 is nothing. As in PostgreSQL, the
//!   DECIMAL becomes a DOUBLE. Constant doubles (`price < 0.07`) stay with DataFusion: they are read from decimal text.
//! - Times of different units are compared in nanoseconds. The planner asks for their common type at once, hence the [`Times`].

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::{
    common::{
        DFSchema,
        config::ConfigOptions,
        plan_err,
        tree_node::{Transformed, TreeNode, TreeNodeRecursion},
    },
    error::Result,
    logical_expr::{
        Between, BinaryExpr, Cast, Expr, ExprSchemable, LogicalPlan, Operator,
        binary::comparison_coercion,
        cast,
        expr::InList,
        lit,
        planner::{ExprPlanner, PlannerResult, RawBinaryExpr},
        utils::merge_schema,
    },
    optimizer::AnalyzerRule,
    scalar::ScalarValue,
};

use super::rewrite;

/// Largest constant that DataFusion's DECIMAL(30, 15) holds, and smallest of which it keeps a digit.
const DECIMAL_RANGE: std::ops::Range<f64> = 1e-15..1e15;
const NANOSECONDS: DataType = DataType::Time64(TimeUnit::Nanosecond);

/// Brings the two sides of an operator to nanoseconds.
#[derive(Debug)]
pub(super) struct Times;

impl ExprPlanner for Times {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = expr;
        // What is computed is no time, and its type takes longer to find.
        let time = |side: &Expr| match side {
            Expr::Column(_) | Expr::Cast(_) | Expr::Literal(..) | Expr::ScalarFunction(_) => {
                type_of(side, schema).filter(is_time)
            }
            _ => None,
        };
        let (left, right) = match (time(&left), time(&right)) {
            (Some(a), Some(b)) if a != b => (as_type(left, &a, &NANOSECONDS), as_type(right, &b, &NANOSECONDS)),
            _ => (left, right),
        };
        Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }))
    }
}

const fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Time32(_) | DataType::Time64(_))
}

#[derive(Debug)]
pub(super) struct MixedTypes;

impl AnalyzerRule for MixedTypes {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(of_node)?.data)
    }

    fn name(&self) -> &str {
        "mixed_types"
    }
}

fn of_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !compares(&plan)? {
        return Ok(Transformed::no(plan));
    }
    let schema = merge_schema(&plan.inputs());
    let changed = rewrite(plan, |expr| of_expr(expr, &schema))?;
    if changed.transformed { changed.map_data(LogicalPlan::recompute_schema) } else { Ok(changed) }
}

/// Without looking at types, which takes longer.
fn compares(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions(|expr| {
        expr.apply(|expr| {
            found |= match expr {
                Expr::BinaryExpr(_) | Expr::Between(_) | Expr::InList(_) => true,
                Expr::Cast(Cast { field, .. }) => field.data_type().is_floating(),
                _ => false,
            };
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    Ok(found)
}

fn of_expr(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if op.is_numerical_operators() || is_comparison(op) => {
            let (Some(left_type), Some(right_type)) = (type_of(&left, schema), type_of(&right, schema)) else {
                return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })));
            };
            let (left, right) = match common(&left, &left_type, &right, &right_type) {
                Some(common) => (as_type(*left, &left_type, &common), as_type(*right, &right_type, &common)),
                None => return Ok(Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right }))),
            };
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(Box::new(left), op, Box::new(right)))))
        }
        Expr::Between(Between { expr, negated, low, high }) => {
            let items = several(*expr, vec![*low, *high], schema, "BETWEEN")?;
            let transformed = items.transformed;
            let (expr, mut bounds) = items.data;
            let (Some(high), Some(low)) = (bounds.pop(), bounds.pop()) else {
                return plan_err!("BETWEEN has no bounds");
            };
            let between = Between::new(Box::new(expr), negated, Box::new(low), Box::new(high));
            Ok(Transformed::new(Expr::Between(between), transformed, TreeNodeRecursion::Continue))
        }
        Expr::InList(InList { expr, list, negated }) => {
            let items = several(*expr, list, schema, "IN")?;
            let transformed = items.transformed;
            let (expr, list) = items.data;
            let within = InList::new(Box::new(expr), list, negated);
            Ok(Transformed::new(Expr::InList(within), transformed, TreeNodeRecursion::Continue))
        }
        Expr::Cast(Cast { expr, field }) if field.data_type().is_floating() => match long_literal(&expr) {
            Some(value) => Ok(Transformed::yes(Expr::Cast(Cast { expr: Box::new(lit(value)), field }))),
            None => Ok(Transformed::no(Expr::Cast(Cast { expr, field }))),
        },
        other => Ok(Transformed::no(other)),
    }
}

/// A literal of many digits as a double. Its text says what is nearest; the decimal, divided, may be one off.
fn long_literal(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Cast(Cast { expr, field }) if field.data_type().is_decimal() => match expr.as_ref() {
            Expr::Literal(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)), _) => text.parse().ok(),
            _ => None,
        },
        Expr::Negative(expr) => long_literal(expr).map(|value| -value),
        _ => None,
    }
}

/// An expression compared with several others.
fn several(expr: Expr, others: Vec<Expr>, schema: &DFSchema, what: &str) -> Result<Transformed<(Expr, Vec<Expr>)>> {
    let types: Option<Vec<_>> = others.iter().map(|other| type_of(other, schema)).collect();
    let (Some(own), Some(types)) = (type_of(&expr, schema), types) else {
        return Ok(Transformed::no((expr, others)));
    };
    let wanted = others.iter().zip(&types).find_map(|(other, other_type)| common(&expr, &own, other, other_type));
    let Some(wanted) = wanted else {
        // DataFusion takes this for a defect of its own.
        if let Some(unfit) = types.iter().find(|other| comparison_coercion(&own, other).is_none()) {
            return plan_err!("{what} cannot compare {own} with {unfit}; cast one of them");
        }
        return Ok(Transformed::no((expr, others)));
    };
    let others =
        others.into_iter().zip(&types).map(|(other, other_type)| as_type(other, other_type, &wanted)).collect();
    Ok(Transformed::yes((as_type(expr, &own, &wanted), others)))
}

/// The type to bring two expressions to, where DataFusion's own choice will not do.
fn common(left: &Expr, left_type: &DataType, right: &Expr, right_type: &DataType) -> Option<DataType> {
    match (left_type, right_type) {
        (left, right) if is_time(left) && is_time(right) => (left != right).then_some(NANOSECONDS),
        (float, decimal) if float.is_floating() && decimal.is_decimal() => {
            (!fits_decimal(left)).then_some(DataType::Float64)
        }
        (decimal, float) if float.is_floating() && decimal.is_decimal() => {
            (!fits_decimal(right)).then_some(DataType::Float64)
        }
        _ => None,
    }
}

/// Whether a double is a constant that loses nothing as DECIMAL(30, 15).
fn fits_decimal(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(ScalarValue::Float64(Some(value)), _) => *value == 0.0 || DECIMAL_RANGE.contains(&value.abs()),
        Expr::Literal(value, _) => value.is_null(),
        Expr::Cast(Cast { expr, .. }) => fits_decimal(expr),
        Expr::Negative(expr) => fits_decimal(expr),
        // Such as 0.06 + 0.01.
        Expr::BinaryExpr(BinaryExpr { left, right, .. }) => fits_decimal(left) && fits_decimal(right),
        _ => false,
    }
}

fn as_type(expr: Expr, own: &DataType, wanted: &DataType) -> Expr {
    if own == wanted || own.is_null() {
        return expr;
    }
    if let (DataType::Float64, Some(value)) = (wanted, long_literal(&expr)) {
        return lit(value);
    }
    cast(expr, wanted.clone())
}

/// `None` when it is not known yet, as for a parameter.
fn type_of(expr: &Expr, schema: &DFSchema) -> Option<DataType> {
    expr.get_type(schema).ok()
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
