//! Nested objects as columns of their own.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, make_array},
    buffer::NullBuffer,
    datatypes::{DataType, Field, FieldRef, Schema, SchemaRef},
    error::ArrowError,
};

/// The columns that `nested` has when every field of a struct is one, named by its path.
pub(super) fn schema(nested: &Schema, separator: &str) -> SchemaRef {
    let mut fields = Vec::new();
    for field in nested.fields() {
        add_fields(field, "", field.is_nullable(), separator, &mut fields);
    }
    Arc::new(Schema::new(fields))
}

fn add_fields(field: &Field, prefix: &str, nullable: bool, separator: &str, out: &mut Vec<FieldRef>) {
    let name = format!("{prefix}{}", field.name());
    match field.data_type() {
        DataType::Struct(children) => {
            let prefix = format!("{name}{separator}");
            for child in children {
                add_fields(child, &prefix, nullable || child.is_nullable(), separator, out);
            }
        }
        other => out.push(Arc::new(Field::new(name, other.clone(), nullable))),
    }
}

/// The batch with the columns `flat`, which [`schema`] made of its own.
///
/// # Errors
/// Never for such a schema.
pub(super) fn batch(nested: &RecordBatch, flat: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let mut columns = Vec::with_capacity(flat.fields().len());
    for column in nested.columns() {
        add_columns(column, None, &mut columns)?;
    }
    let options = RecordBatchOptions::new().with_row_count(Some(nested.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(flat), columns, &options)
}

/// Where an object is null, so is all that was in it.
fn add_columns(column: &ArrayRef, parents: Option<&NullBuffer>, out: &mut Vec<ArrayRef>) -> Result<(), ArrowError> {
    let nulls = NullBuffer::union(parents, column.nulls());
    if matches!(column.data_type(), DataType::Struct(_)) {
        let columns = column.as_struct().columns();
        return columns.iter().try_for_each(|child| add_columns(child, nulls.as_ref(), out));
    }
    if parents.is_none() || column.data_type() == &DataType::Null {
        out.push(Arc::clone(column));
    } else {
        out.push(make_array(column.to_data().into_builder().nulls(nulls).build()?));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StructArray};

    use super::*;

    #[test]
    fn nulls_of_objects_reach_their_fields() {
        let leaf = Arc::new(Field::new("x", DataType::Int64, true));
        let values = Arc::new(Int64Array::from(vec![Some(1), Some(2), None])) as ArrayRef;
        let inner = StructArray::new(vec![leaf].into(), vec![values], Some(vec![true, false, true].into()));
        let field = Field::new("s", inner.data_type().clone(), true);
        let nested = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(inner)]).unwrap();
        let flat = schema(nested.schema_ref(), "_");
        assert_eq!(flat.field(0).name(), "s_x");
        let batch = batch(&nested, &flat).unwrap();
        assert_eq!(batch.column(0).as_ref(), &Int64Array::from(vec![Some(1), None, None]));
    }
}
