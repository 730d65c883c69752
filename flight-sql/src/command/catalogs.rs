//! CommandGetCatalogs.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use skein_model::DEFAULT_CATALOG;

use super::metadata::made;
use crate::Result;

pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("catalog_name", DataType::Utf8, false)]))
}

/// The one catalog.
pub(super) fn answer() -> Result<RecordBatch> {
    let names = StringArray::from(vec![DEFAULT_CATALOG]);
    RecordBatch::try_new(schema(), vec![Arc::new(names)]).map_err(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_the_specifications() {
        assert_eq!(answer().unwrap().schema(), schema());
        assert!(!schema().field(0).is_nullable());
        assert_eq!(answer().unwrap().num_rows(), 1);
    }
}
