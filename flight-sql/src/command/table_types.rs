//! CommandGetTableTypes, and the type of each table.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use skein_query::TableKind;

use super::metadata::made;
use crate::Result;

/// Every type there is, sorted.
const ALL: [&str; 4] = ["LOCAL TEMPORARY", "SYSTEM TABLE", "TABLE", "VIEW"];

pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("table_type", DataType::Utf8, false)]))
}

pub(super) fn answer() -> Result<RecordBatch> {
    RecordBatch::try_new(schema(), vec![Arc::new(StringArray::from(ALL.to_vec()))]).map_err(made)
}

/// The type of a table, as JDBC names them.
pub(super) const fn of(kind: TableKind) -> &'static str {
    match kind {
        TableKind::Dataset | TableKind::External => "TABLE",
        TableKind::View => "VIEW",
        TableKind::Temporary => "LOCAL TEMPORARY",
        TableKind::System => "SYSTEM TABLE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tables_type_is_listed_and_the_list_is_sorted() {
        for kind in [TableKind::Dataset, TableKind::External, TableKind::View, TableKind::Temporary, TableKind::System]
        {
            assert!(ALL.contains(&of(kind)));
        }
        assert!(ALL.is_sorted());
        assert_eq!(answer().unwrap().num_rows(), ALL.len());
    }
}
