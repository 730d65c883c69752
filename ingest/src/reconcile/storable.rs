//! The columns a new table gets from the columns that come in.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use skein_catalog::{COLUMN_KEY, FIELD_ID_KEY};

use crate::{Error, Result};

/// The schema of a table made for `incoming`: encodings that belong to a client or a file (dictionaries, runs, views)
/// give way to plain types, so that a table's schema does not depend on who happened to write it first.
///
/// # Errors
/// [`Error::Unsupported`] with the column and type when data files cannot hold it.
pub(crate) fn storable(incoming: &Schema) -> Result<SchemaRef> {
    let fields: Vec<FieldRef> = incoming.fields().iter().map(plain_field).collect();
    let schema = Schema::new(fields);
    skein_catalog::writer::check_schema(&schema).map_err(|error| Error::Unsupported(error.to_string()))?;
    Ok(Arc::new(schema))
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let mut metadata = field.metadata().clone();
    metadata.remove(FIELD_ID_KEY);
    metadata.remove(COLUMN_KEY);
    Arc::new(Field::new(field.name(), plain_type(field.data_type()), field.is_nullable()).with_metadata(metadata))
}

/// The plain type with the same values.
pub(super) fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::List(item) | DataType::ListView(item) => DataType::List(plain_field(item)),
        DataType::LargeList(item) | DataType::LargeListView(item) => DataType::LargeList(plain_field(item)),
        DataType::FixedSizeList(item, size) => DataType::FixedSizeList(plain_field(item), *size),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(plain_field).collect()),
        DataType::Map(entries, sorted) => DataType::Map(plain_field(entries), *sorted),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_side_encodings_give_way() {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::LargeUtf8));
        let item = Arc::new(Field::new("item", DataType::Utf8View, true));
        let incoming = Schema::new(vec![
            Field::new("d", dictionary, false),
            Field::new("v", DataType::ListView(item), true),
            Field::new("n", DataType::Null, true),
        ]);
        let schema = storable(&incoming).unwrap();
        assert_eq!(schema.field(0).data_type(), &DataType::LargeUtf8);
        assert!(!schema.field(0).is_nullable());
        assert_eq!(schema.field(1).data_type(), &DataType::List(Arc::new(Field::new("item", DataType::Utf8, true))));
        assert_eq!(schema.field(2).data_type(), &DataType::Null);
    }

    #[test]
    fn types_without_a_place_in_files_are_named() {
        let union = DataType::Union(arrow::datatypes::UnionFields::empty(), arrow::datatypes::UnionMode::Sparse);
        let error = storable(&Schema::new(vec![Field::new("u", union, true)])).unwrap_err().to_string();
        assert!(error.contains("'u'"), "{error}");
    }
}
