//! What is noted about columns and tables beside their Arrow types: since when a column is there, what it is in rows that do not give it,
//! and the declared keys. The notes are metadata of the schema, so they go wherever a schema goes: into the log, its checkpoints, older
//! versions and transactions. Clients do not see them.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, StringArray},
    compute::{CastOptions, cast_with_options},
};
use arrow_schema::{DataType, Field, Schema};
use serde::{Deserialize, Serialize};

use super::Key;
use crate::{Error, Result};

/// The metadata key of what is noted about a column.
pub const COLUMN_KEY: &str = "skein:column";
/// The metadata key of what is noted about a table.
pub const TABLE_KEY: &str = "skein:table";

/// What is noted about a column. Numbers of schemas are [`crate::Snapshot::schema_id`]s; 0 is before the first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ColumnNotes {
    /// Files of schemas before this one do not have it.
    #[serde(skip_serializing_if = "is_zero")]
    pub added: u32,
    /// What it is in the rows of files that do not have it; see [`parse_value`]. `None`: null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial: Option<String>,
    /// What it is in new rows that do not give it. `None`: null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// Files of schemas before this one may have it in a narrower type.
    #[serde(skip_serializing_if = "is_zero")]
    pub typed: u32,
    /// The bounds recorded for files of schemas before this one are not in its unit or scale.
    #[serde(skip_serializing_if = "is_zero")]
    pub rescaled: u32,
    /// Names it had before, as far as they matter to readers of old files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub formerly: Vec<String>,
}

/// What is noted about a table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableNotes {
    /// The first of the schemas whose files can be read in this one. 0: only files of this one.
    #[serde(skip_serializing_if = "is_zero")]
    pub altered_from: u32,
    /// Declared keys, in the order of their declaration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<Key>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What is noted about a column.
pub fn column_notes(field: &Field) -> ColumnNotes {
    // Checked when the schema was read.
    field.metadata().get(COLUMN_KEY).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// What is noted about a table.
pub fn table_notes(schema: &Schema) -> TableNotes {
    schema.metadata().get(TABLE_KEY).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// Checks that all notes in a schema can be read.
pub(super) fn check(schema: &Schema) -> std::result::Result<(), serde_json::Error> {
    if let Some(text) = schema.metadata().get(TABLE_KEY) {
        serde_json::from_str::<TableNotes>(text)?;
    }
    for text in schema.fields().iter().filter_map(|field| field.metadata().get(COLUMN_KEY)) {
        serde_json::from_str::<ColumnNotes>(text)?;
    }
    Ok(())
}

/// The field with these notes in place of others.
pub fn with_column_notes(field: &Field, notes: &ColumnNotes) -> Field {
    let mut metadata = field.metadata().clone();
    match notes == &ColumnNotes::default() {
        true => metadata.remove(COLUMN_KEY),
        false => metadata.insert(COLUMN_KEY.to_owned(), text(notes)),
    };
    field.clone().with_metadata(metadata)
}

/// The schema with these notes in place of others.
pub(crate) fn with_table_notes(schema: &Schema, notes: &TableNotes) -> Schema {
    let mut metadata = schema.metadata().clone();
    match notes == &TableNotes::default() {
        true => metadata.remove(TABLE_KEY),
        false => metadata.insert(TABLE_KEY.to_owned(), text(notes)),
    };
    Schema::new_with_metadata(schema.fields().clone(), metadata)
}

/// Numbers, texts and lists of them: always JSON.
fn text(notes: &impl Serialize) -> String {
    serde_json::to_string(notes).unwrap_or_default()
}

/// The value that a text stands for, as an array of one.
///
/// # Errors
/// [`Error::InvalidInput`] when the type has no such value.
pub fn parse_value(text: &str, data_type: &DataType) -> Result<ArrayRef> {
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    let array: ArrayRef = Arc::new(StringArray::from(vec![text]));
    cast_with_options(&array, data_type, &strict)
        .map_err(|error| Error::InvalidInput(format!("'{text}' is no value of type {data_type}: {error}")))
}

/// The text that stands for a value, given as an array of one; `None` for null.
///
/// # Errors
/// [`Error::Unimplemented`] when no text does.
pub fn value_text(value: &ArrayRef) -> Result<Option<String>> {
    if value.len() == 1 && value.is_null(0) {
        return Ok(None);
    }
    let unsupported =
        || Error::Unimplemented(format!("a default of type {}; leave it out and UPDATE the rows", value.data_type()));
    let texts = cast_with_options(value, &DataType::Utf8, &CastOptions::default()).map_err(|_| unsupported())?;
    let texts = texts.as_any().downcast_ref::<StringArray>().filter(|texts| texts.len() == 1 && texts.is_valid(0));
    let text = texts.ok_or_else(unsupported)?.value(0).to_owned();
    match parse_value(&text, value.data_type()) {
        Ok(read) if read.to_data() == value.to_data() => Ok(Some(text)),
        _ => Err(unsupported()),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Decimal128Array, Float64Array, Int32Array, ListArray, TimestampNanosecondArray};

    use super::*;

    #[test]
    fn values_survive_as_text() {
        let values: Vec<ArrayRef> = vec![
            Arc::new(Int32Array::from(vec![-7])),
            Arc::new(Float64Array::from(vec![0.1])),
            Arc::new(StringArray::from(vec!["it's\n\"x\""])),
            Arc::new(Date32Array::from(vec![19_000])),
            Arc::new(Decimal128Array::from(vec![-12_345]).with_precision_and_scale(10, 3).unwrap()),
            Arc::new(TimestampNanosecondArray::from(vec![1_700_000_000_123_456_789]).with_timezone("UTC")),
        ];
        for value in values {
            let text = value_text(&value).unwrap().unwrap();
            assert_eq!(parse_value(&text, value.data_type()).unwrap().to_data(), value.to_data(), "{text}");
        }
        let null: ArrayRef = Arc::new(Int32Array::from(vec![None]));
        assert_eq!(value_text(&null).unwrap(), None);
        let list: ArrayRef =
            Arc::new(ListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>(vec![Some(vec![Some(1)])]));
        assert!(value_text(&list).is_err());
        assert!(parse_value("x", &DataType::Int32).is_err());
    }

    #[test]
    fn notes_are_metadata_and_unknown_ones_are_let_pass() {
        let plain = Field::new("a", DataType::Int32, true);
        let notes = ColumnNotes { added: 3, initial: Some("1".to_owned()), ..ColumnNotes::default() };
        let noted = with_column_notes(&plain, &notes);
        assert_eq!(column_notes(&noted), notes);
        assert_eq!(with_column_notes(&noted, &ColumnNotes::default()), plain);
        let newer: ColumnNotes = serde_json::from_str(r#"{"added":3,"initial":"1","colour":"red"}"#).unwrap();
        assert_eq!(newer, notes);
    }
}
