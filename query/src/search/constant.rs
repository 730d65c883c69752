//! Vectors that are constants of a plan.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, Float32Type},
};
use datafusion::{
    logical_expr::{Cast, Expr, TryCast},
    scalar::ScalarValue,
};

/// The numbers of a constant vector; `None` for what is none, and for NULL, numbers that are NULL, infinite or not a number.
pub(super) fn vector(expr: &Expr) -> Option<Vec<f32>> {
    match expr {
        Expr::Alias(alias) => vector(&alias.expr),
        Expr::Cast(Cast { expr, .. }) | Expr::TryCast(TryCast { expr, .. }) => vector(expr),
        Expr::Literal(value, _) => numbers(value),
        _ => None,
    }
}

fn numbers(value: &ScalarValue) -> Option<Vec<f32>> {
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
