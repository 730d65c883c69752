//! CommandGetDbSchemas.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray};
use arrow_flight::sql::CommandGetDbSchemas;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use skein_model::DEFAULT_CATALOG;

use super::{metadata::made, pattern};
use crate::Result;

pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, false),
    ]))
}

/// The schemas that match, sorted.
pub(super) fn answer(schemas: &[String], command: &CommandGetDbSchemas) -> Result<RecordBatch> {
    let filter = command.db_schema_filter_pattern.as_deref();
    let mut names: Vec<&str> = match in_catalog(command.catalog.as_deref()) {
        true => schemas.iter().map(String::as_str).filter(|name| pattern::matches(filter, name)).collect(),
        false => Vec::new(),
    };
    names.sort_unstable();
    let catalogs = StringArray::from(vec![DEFAULT_CATALOG; names.len()]);
    RecordBatch::try_new(schema(), vec![Arc::new(catalogs), Arc::new(StringArray::from(names))]).map_err(made)
}

/// Whether a catalog filter lets Skein's catalog through. It is a name, not a pattern; the empty one asks for what has no catalog, which is nothing.
pub(super) fn in_catalog(filter: Option<&str>) -> bool {
    filter.is_none_or(|name| name == DEFAULT_CATALOG)
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;

    use super::*;

    fn ask(catalog: Option<&str>, filter: Option<&str>) -> Vec<String> {
        let command =
            CommandGetDbSchemas { catalog: catalog.map(Into::into), db_schema_filter_pattern: filter.map(Into::into) };
        let schemas = ["system", "public", "information_schema"].map(String::from);
        let batch = answer(&schemas, &command).unwrap();
        batch.column(1).as_string::<i32>().iter().flatten().map(String::from).collect()
    }

    #[test]
    fn filters_and_order() {
        assert_eq!(ask(None, None), ["information_schema", "public", "system"]);
        assert_eq!(ask(Some("skein"), Some("p%")), ["public"]);
        assert_eq!(ask(Some("skein"), Some("")), [""; 0]);
        assert_eq!(ask(Some(""), None), [""; 0]);
        assert_eq!(ask(Some("ske%"), None), [""; 0]);
    }
}
