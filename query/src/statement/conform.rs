//! From the engine's types to the ones that are stored: views become plain strings and bytes, dictionaries their values.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, GenericListArray, OffsetSizeTrait, RecordBatch, RecordBatchOptions},
    compute::{CastOptions, cast_with_options},
    datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef},
};
use skein_catalog::writer::check_schema;
use skein_model::Limits;

use crate::{Error, Result};

/// The schema of a new dataset for columns as the engine has them. Refuses what no dataset can hold.
pub(super) fn stored_schema(columns: &Schema) -> Result<SchemaRef> {
    let mut names = HashSet::new();
    for field in columns.fields() {
        if field.name().is_empty() {
            return Err(Error::Invalid("a column has no name; name it with AS".to_owned()));
        }
        if !names.insert(field.name()) {
            return Err(Error::Invalid(format!(
                "column '{}' appears twice; give every column its own name with AS",
                field.name()
            )));
        }
        if field.data_type().is_null() {
            return Err(Error::Invalid(format!(
                "column '{}' holds only NULL and has no type; give it one, such as CAST(NULL AS INT)",
                field.name()
            )));
        }
    }
    let limit = Limits::default().max_columns;
    if columns.fields().len() > limit {
        return Err(Error::Invalid(format!("the table has {} columns; the limit is {limit}", columns.fields().len())));
    }
    let fields: Vec<_> = columns.fields().iter().map(stored_field).collect();
    let schema = Arc::new(Schema::new(fields));
    check_schema(&schema)?;
    Ok(schema)
}

fn stored_field(field: &FieldRef) -> FieldRef {
    Arc::new(Field::new(field.name(), stored_type(field.data_type()), field.is_nullable()))
}

fn stored_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, value) => stored_type(value),
        DataType::RunEndEncoded(_, value) => stored_type(value.data_type()),
        DataType::List(item) | DataType::ListView(item) => DataType::List(stored_field(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => DataType::LargeList(stored_field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(stored_field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(stored_field).collect::<Fields>()),
        DataType::Map(entries, sorted) => DataType::Map(stored_field(entries), *sorted),
        other => other.clone(),
    }
}

/// A batch of the engine with a dataset's column names and types, by position. Nulls are left for the writer to judge: it
/// knows the row.
pub(crate) fn to_stored(batch: &RecordBatch, schema: &Schema) -> Result<RecordBatch> {
    to_stored_from(batch, schema, 0)
}

/// As [`to_stored`]; `first_row` is the number of the batch's first row, for errors.
pub(super) fn to_stored_from(batch: &RecordBatch, schema: &Schema, first_row: u64) -> Result<RecordBatch> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        check_length(field, column, first_row)?;
        columns.push(match column.data_type() == field.data_type() {
            true => column.clone(),
            false => cast_with_options(column, field.data_type(), &strict)
                .map_err(|e| Error::Invalid(format!("column '{}': {e}", field.name())))?,
        });
    }
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .zip(&columns)
        .map(|(field, column)| Field::new(field.name(), column.data_type().clone(), true))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

/// Refuses lists that do not have the length of a column of vectors.
fn check_length(field: &Field, column: &ArrayRef, first_row: u64) -> Result<()> {
    let DataType::FixedSizeList(_, size) = field.data_type() else { return Ok(()) };
    let wrong = match column.data_type() {
        DataType::List(_) => of_other_length(column.as_list::<i32>(), *size),
        DataType::LargeList(_) => of_other_length(column.as_list::<i64>(), *size),
        _ => None,
    };
    match wrong {
        None => Ok(()),
        Some((row, length)) => Err(Error::Invalid(format!(
            "column '{}', row {}: the vector has {length} numbers, and the column's have {size}",
            field.name(),
            first_row + row as u64
        ))),
    }
}

/// The first list that does not have `size` items, and how many it has.
fn of_other_length<O: OffsetSizeTrait>(lists: &GenericListArray<O>, size: i32) -> Option<(usize, usize)> {
    let mut lengths = lists.offsets().lengths().enumerate();
    lengths.find(|(row, length)| usize::try_from(size) != Ok(*length) && lists.is_valid(*row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_and_dictionaries_are_stored_plain() {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8View));
        let columns = Schema::new(vec![
            Field::new("a", DataType::Utf8View, true),
            Field::new("b", dictionary, false),
            Field::new("c", DataType::new_list(DataType::BinaryView, true), true),
        ]);
        let stored = stored_schema(&columns).unwrap();
        assert_eq!(stored.field(0).data_type(), &DataType::Utf8);
        assert_eq!(stored.field(1).data_type(), &DataType::Utf8);
        assert!(!stored.field(1).is_nullable());
        assert_eq!(stored.field(2).data_type(), &DataType::new_list(DataType::Binary, true));
    }

    #[test]
    fn unusable_columns_are_named() {
        let twice = Schema::new(vec![Field::new("a", DataType::Int32, true), Field::new("a", DataType::Utf8, true)]);
        assert!(stored_schema(&twice).unwrap_err().to_string().contains("'a' appears twice"));
        let untyped = Schema::new(vec![Field::new("n", DataType::Null, true)]);
        assert!(stored_schema(&untyped).unwrap_err().to_string().contains("CAST(NULL"));
        assert!(stored_schema(&Schema::empty()).is_err());
    }
}
