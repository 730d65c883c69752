//! Which Arrow types a data file can hold. Checked before anything is written, because the Parquet library panics on
//! some of the others.

use arrow_schema::{DataType, Field, FieldRef, IntervalUnit, Schema};
use parquet::arrow::ArrowSchemaConverter;

use super::WriteError;

/// Checks that every column can be written to a data file; call it before creating a dataset.
///
/// # Errors
/// [`crate::Error::InvalidInput`] for a schema without columns, [`crate::Error::Unimplemented`] with the column and its
/// type.
pub fn check_schema(schema: &Schema) -> crate::Result<()> {
    if schema.fields().is_empty() {
        return Err(WriteError::NoColumns.into());
    }
    Ok(schema.fields().iter().try_for_each(check_column)?)
}

fn check_column(field: &FieldRef) -> Result<(), WriteError> {
    check_field(field, field.name())?;
    // What is left is for the library to refuse: it does so by an error, not by a panic.
    match ArrowSchemaConverter::new().convert(&Schema::new(vec![FieldRef::clone(field)])) {
        Ok(_) => Ok(()),
        Err(_) => Err(WriteError::UnsupportedType {
            column: field.name().clone(),
            data_type: field.data_type().clone(),
            advice: "cast it to another type",
        }),
    }
}

fn check_field(field: &Field, path: &str) -> Result<(), WriteError> {
    check_type(field.data_type(), path)
}

fn check_type(data_type: &DataType, path: &str) -> Result<(), WriteError> {
    let refuse =
        |advice| Err(WriteError::UnsupportedType { column: path.to_owned(), data_type: data_type.clone(), advice });
    match data_type {
        DataType::Union(_, _) => refuse("split it into one column per variant, or use a struct"),
        DataType::RunEndEncoded(_, _) => refuse("cast it to its value type"),
        DataType::Interval(IntervalUnit::MonthDayNano) => refuse("cast it to a duration, or to an integer of months"),
        DataType::Struct(fields) if fields.is_empty() => refuse("give the struct at least one field"),
        DataType::Decimal32(1, _) => refuse("use Decimal32 with precision 2 or more"),
        DataType::FixedSizeBinary(size) if *size <= 0 => refuse("use Binary"),
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale)
            if *scale < 0 =>
        {
            refuse("use a scale of 0 or more")
        }
        DataType::Struct(fields) => {
            fields.iter().try_for_each(|child| check_field(child, &format!("{path}.{}", child.name())))
        }
        DataType::List(child)
        | DataType::LargeList(child)
        | DataType::FixedSizeList(child, _)
        | DataType::ListView(child)
        | DataType::LargeListView(child) => check_field(child, &format!("{path}[]")),
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => check_type(entries.data_type(), path),
            _ => refuse("a map needs entries with a key and a value"),
        },
        DataType::Dictionary(_, values) if values.is_nested() || matches!(values.as_ref(), DataType::Null) => {
            refuse("cast it to its value type")
        }
        DataType::Dictionary(_, values) => check_type(values, path),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::{Fields, UnionFields, UnionMode};
    use skein_model::{ErrorKind, Kind};

    use super::*;

    #[test]
    fn what_parquet_cannot_hold_is_named() {
        let union = DataType::Union(UnionFields::empty(), UnionMode::Dense);
        let nested = DataType::Struct(Fields::from(vec![Field::new("inner", union, true)]));
        let list = DataType::List(Arc::new(Field::new("item", nested, true)));
        let error = check_schema(&Schema::new(vec![Field::new("outer", list, true)])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unimplemented);
        assert!(error.to_string().contains("column 'outer[].inner' has type Union"), "{error}");
    }

    #[test]
    fn a_table_needs_a_column() {
        assert_eq!(check_schema(&Schema::empty()).unwrap_err().kind(), ErrorKind::InvalidInput);
    }

    #[test]
    fn common_types_pass() {
        let fields = vec![
            Field::new("a", DataType::Int64, false),
            Field::new("b", DataType::Utf8View, true),
            Field::new("c", DataType::Decimal128(38, 10), true),
            Field::new("d", DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8)), true),
        ];
        check_schema(&Schema::new(fields)).unwrap();
    }
}
