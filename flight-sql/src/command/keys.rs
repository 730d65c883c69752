//! CommandGetPrimaryKeys, CommandGetExportedKeys, CommandGetImportedKeys and CommandGetCrossReference. They describe declared constraints, and Skein's
//! tables declare none: the answers have the specification's schemas and no rows.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};

use crate::{Error, Result};

pub(super) fn primary_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("column_name", DataType::Utf8, false),
        Field::new("key_name", DataType::Utf8, true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
}

pub(super) fn foreign_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("pk_catalog_name", DataType::Utf8, true),
        Field::new("pk_db_schema_name", DataType::Utf8, true),
        Field::new("pk_table_name", DataType::Utf8, false),
        Field::new("pk_column_name", DataType::Utf8, false),
        Field::new("fk_catalog_name", DataType::Utf8, true),
        Field::new("fk_db_schema_name", DataType::Utf8, true),
        Field::new("fk_table_name", DataType::Utf8, false),
        Field::new("fk_column_name", DataType::Utf8, false),
        Field::new("key_sequence", DataType::Int32, false),
        Field::new("fk_key_name", DataType::Utf8, true),
        Field::new("pk_key_name", DataType::Utf8, true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
}

/// The primary key of a table.
pub(super) fn primary(table: &str) -> Result<RecordBatch> {
    check(&[table])?;
    Ok(RecordBatch::new_empty(primary_schema()))
}

/// The foreign keys between tables.
pub(super) fn foreign(tables: &[&str]) -> Result<RecordBatch> {
    check(tables)?;
    Ok(RecordBatch::new_empty(foreign_schema()))
}

fn check(tables: &[&str]) -> Result<()> {
    if tables.iter().any(|table| table.is_empty()) {
        return Err(Error::invalid("a command for keys names no table; set its `table`"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schemas_are_the_specifications() {
        let nullable = |schema: SchemaRef| schema.fields().iter().map(|f| f.is_nullable()).collect::<Vec<_>>();
        assert_eq!(nullable(primary_schema()), [true, true, false, false, true, false]);
        let foreign = [true, true, false, false, true, true, false, false, false, true, true, false, false];
        assert_eq!(nullable(foreign_schema()), foreign);
    }

    #[test]
    fn a_table_must_be_named() {
        assert_eq!(primary("t").unwrap().num_rows(), 0);
        assert!(primary("").is_err() && super::foreign(&["t", ""]).is_err());
    }
}
