//! The column metadata of Flight SQL (`ARROW:FLIGHT:SQL:...`), which JDBC, ODBC and BI tools read.

use std::{collections::HashMap, sync::Arc};

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use skein_model::DEFAULT_CATALOG;

use super::sql_type::{case_sensitive, precision, scale, sql_type_name};

const PREFIX: &str = "ARROW:FLIGHT:SQL:";

/// Where the columns of a table come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableColumns<'a> {
    pub schema: &'a str,
    pub table: &'a str,
    /// Nobody can insert into it.
    pub read_only: bool,
}

/// A column of a result: it gets the name of its SQL type, and a decimal its precision and scale. The rest could only be guessed.
pub(super) fn annotate_result(field: &Field) -> Field {
    let mut metadata = without_ours(field);
    set(&mut metadata, "TYPE_NAME", sql_type_name(field.data_type()));
    if is_decimal(field.data_type()) {
        set_opt(&mut metadata, "PRECISION", precision(field.data_type()));
        set_opt(&mut metadata, "SCALE", scale(field.data_type()));
    }
    field.clone().with_metadata(metadata)
}

/// The columns of a table, as GetTables shows them: with everything the specification has a key for.
pub(crate) fn annotate_table(schema: &Schema, origin: TableColumns<'_>) -> Schema {
    let fields = schema.fields().iter().map(|field| {
        let data_type = field.data_type();
        let mut metadata = without_ours(field);
        set(&mut metadata, "CATALOG_NAME", DEFAULT_CATALOG);
        set(&mut metadata, "DB_SCHEMA_NAME", origin.schema);
        set(&mut metadata, "TABLE_NAME", origin.table);
        set(&mut metadata, "TYPE_NAME", sql_type_name(data_type));
        set_opt(&mut metadata, "PRECISION", precision(data_type));
        set_opt(&mut metadata, "SCALE", scale(data_type));
        set(&mut metadata, "IS_AUTO_INCREMENT", "0");
        set(&mut metadata, "IS_CASE_SENSITIVE", flag(case_sensitive(data_type)));
        set(&mut metadata, "IS_READ_ONLY", flag(origin.read_only));
        set(&mut metadata, "IS_SEARCHABLE", "1");
        field.as_ref().clone().with_metadata(metadata)
    });
    Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone())
}

/// Removes what [`Encoding::wire_schema`](super::Encoding::wire_schema) adds, so that rows that a client read from here and sends back
/// do not store it.
pub fn strip_column_metadata(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| {
        if field.metadata().keys().any(|key| key.starts_with(PREFIX)) {
            Arc::new(field.as_ref().clone().with_metadata(without_ours(field)))
        } else {
            Arc::clone(field)
        }
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

fn without_ours(field: &Field) -> HashMap<String, String> {
    let others = field.metadata().iter().filter(|(key, _)| !key.starts_with(PREFIX));
    others.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn set(metadata: &mut HashMap<String, String>, key: &str, value: &str) {
    metadata.insert(format!("{PREFIX}{key}"), value.to_owned());
}

fn set_opt(metadata: &mut HashMap<String, String>, key: &str, value: Option<impl ToString>) {
    if let Some(value) = value {
        set(metadata, key, &value.to_string());
    }
}

const fn flag(value: bool) -> &'static str {
    if value { "1" } else { "0" }
}

const fn is_decimal(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tables_columns_say_where_they_are_from() {
        let schema = Schema::new(vec![Field::new("price", DataType::Decimal128(12, 2), true)]);
        let origin = TableColumns { schema: "public", table: "orders", read_only: false };
        let annotated = annotate_table(&schema, origin);
        let metadata = annotated.field(0).metadata();
        for (key, value) in [
            ("CATALOG_NAME", "skein"),
            ("DB_SCHEMA_NAME", "public"),
            ("TABLE_NAME", "orders"),
            ("TYPE_NAME", "DECIMAL"),
            ("PRECISION", "12"),
            ("SCALE", "2"),
            ("IS_AUTO_INCREMENT", "0"),
            ("IS_CASE_SENSITIVE", "0"),
            ("IS_READ_ONLY", "0"),
            ("IS_SEARCHABLE", "1"),
        ] {
            assert_eq!(metadata[&format!("{PREFIX}{key}")], value, "{key}");
        }
        assert_eq!(*strip_column_metadata(&annotated), schema);
    }

    #[test]
    fn other_metadata_stays() {
        let own = HashMap::from([("unit".to_owned(), "m".to_owned())]);
        let field = annotate_result(&Field::new("x", DataType::Int64, false).with_metadata(own.clone()));
        assert_eq!(field.metadata().len(), 2);
        assert_eq!(*strip_column_metadata(&Schema::new(vec![field])).field(0).metadata(), own);
    }
}
