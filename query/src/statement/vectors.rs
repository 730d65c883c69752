//! Vectors on their way into columns of a fixed length. The engine would cast them to it and say only that one does not fit; as lists of any length they
//! reach [`conform`](super::conform), which knows the column and the row.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field};
use datafusion::{
    common::{DFSchema, DFSchemaRef},
    error::Result,
    logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, Projection, Values, cast, expr::Alias},
};

/// The rows of a plan, with vectors as lists wherever an expression of its top node makes them.
pub(super) fn any_length(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Projection(node) if node.schema.fields().iter().any(|field| is_fixed(field.data_type())) => {
            let schema = Arc::clone(node.input.schema());
            let columns = node.expr.into_iter().map(|expr| loose(expr, &schema)).collect();
            Ok(LogicalPlan::Projection(Projection::try_new(columns, node.input)?))
        }
        LogicalPlan::Values(node) if node.schema.fields().iter().any(|field| is_fixed(field.data_type())) => {
            Ok(LogicalPlan::Values(loose_values(node)?))
        }
        other => Ok(other),
    }
}

const fn is_fixed(data_type: &DataType) -> bool {
    matches!(data_type, DataType::FixedSizeList(..))
}

/// The list type with the same items.
fn list(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::FixedSizeList(item, _) => Some(DataType::List(Arc::clone(item))),
        _ => None,
    }
}

fn loose(expr: Expr, schema: &DFSchema) -> Expr {
    match expr {
        Expr::Alias(Alias { expr, relation, name, .. }) => loose(*expr, schema).alias_qualified(relation, name),
        Expr::Cast(Cast { expr, field }) => {
            let from_list = expr.get_type(schema).is_ok_and(|from| from.is_list() && !is_fixed(&from));
            match list(field.data_type()).filter(|_| from_list) {
                Some(list) => cast(*expr, list),
                None => Expr::Cast(Cast { expr, field }),
            }
        }
        other => other,
    }
}

fn loose_values(node: Values) -> Result<Values> {
    let none = DFSchema::empty();
    let lists: Vec<Option<DataType>> = node.schema.fields().iter().map(|field| list(field.data_type())).collect();
    let value = |(expr, list): (Expr, &Option<DataType>)| match list {
        // What is a vector of some length already becomes a list, too: a column has one type.
        Some(list) => match loose(expr, &none) {
            same if same.get_type(&none).is_ok_and(|own| own == *list) => same,
            other => cast(other, list.clone()),
        },
        None => expr,
    };
    let values = node.values.into_iter().map(|row| row.into_iter().zip(&lists).map(value).collect()).collect();
    Ok(Values { schema: with_lists(&node.schema, &lists)?, values })
}

fn with_lists(schema: &DFSchema, lists: &[Option<DataType>]) -> Result<DFSchemaRef> {
    let fields = schema.iter().zip(lists).map(|((qualifier, field), list)| {
        let field = match list {
            Some(list) => Arc::new(Field::clone(field).with_data_type(list.clone())),
            None => Arc::clone(field),
        };
        (qualifier.cloned(), field)
    });
    Ok(Arc::new(DFSchema::new_with_metadata(fields.collect(), schema.metadata().clone())?))
}
