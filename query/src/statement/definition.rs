//! The statement that would make a table again.

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use skein_catalog::{ExternalSpec, Rule, ViewSpec, column_notes, type_name};
use skein_model::TableName;

use crate::{
    DeclaredKey,
    keys::{kind_name, rule_name},
    sql::{quote, text},
};

/// Of a table with these columns and keys.
pub(crate) fn table(name: &TableName, schema: &Schema, keys: &[DeclaredKey]) -> String {
    let keys: String = keys.iter().map(|key| format!(", {}", constraint(key))).collect();
    format!("CREATE TABLE {} ({}{keys})", qualified(name), columns(schema))
}

fn constraint(key: &DeclaredKey) -> String {
    let list = |columns: &[String]| columns.iter().map(|column| quote(column)).collect::<Vec<_>>().join(", ");
    let mut sql = format!("CONSTRAINT {} {} ({})", quote(&key.name), kind_name(key.kind), list(&key.columns));
    if let Some(to) = &key.references {
        sql += &format!(" REFERENCES {} ({})", qualified(&to.table), list(&to.columns));
        for (event, rule) in [("UPDATE", to.on_update), ("DELETE", to.on_delete)] {
            if rule != Rule::NoAction {
                sql += &format!(" ON {event} {}", rule_name(rule));
            }
        }
    }
    sql + " NOT ENFORCED"
}

/// A default as it is written; `None` for null.
fn default(field: &Field) -> Option<String> {
    let value = column_notes(field).default?;
    let is_plain = field.data_type().is_numeric() || *field.data_type() == DataType::Boolean;
    Some(if is_plain { value } else { text(&value) })
}

/// Of a view.
pub(crate) fn view(name: &TableName, view: &ViewSpec) -> String {
    format!("CREATE VIEW {} AS {}", qualified(name), view.sql)
}

/// Of an external table.
pub(crate) fn external(name: &TableName, spec: &ExternalSpec) -> String {
    let mut sql = format!("CREATE EXTERNAL TABLE {}", qualified(name));
    if let Some(schema) = &spec.schema {
        let mut all = columns(&schema.0);
        for (column, sql_type) in &spec.partition_columns {
            all.push_str(&format!(", {} {sql_type}", quote(column)));
        }
        sql.push_str(&format!(" ({all})"));
    }
    sql.push_str(&format!(" STORED AS {}", spec.format.to_uppercase()));
    if !spec.partition_columns.is_empty() {
        let names: Vec<_> = spec.partition_columns.iter().map(|(column, _)| quote(column)).collect();
        sql.push_str(&format!(" PARTITIONED BY ({})", names.join(", ")));
    }
    sql.push_str(&format!(" LOCATION {}", text(&spec.location)));
    if !spec.options.is_empty() {
        let options: Vec<_> =
            spec.options.iter().map(|(key, value)| format!("{} {}", text(key), text(value))).collect();
        sql.push_str(&format!(" OPTIONS ({})", options.join(", ")));
    }
    sql
}

fn qualified(name: &TableName) -> String {
    format!("{}.{}", quote(name.schema()), quote(name.table()))
}

fn columns(schema: &Schema) -> String {
    let column = |field: &std::sync::Arc<arrow::datatypes::Field>| {
        let null = if field.is_nullable() { "" } else { " NOT NULL" };
        let default = default(field).map(|value| format!(" DEFAULT {value}")).unwrap_or_default();
        format!("{} {}{null}{default}", quote(field.name()), sql_type(field.data_type()))
    };
    schema.fields().iter().map(column).collect::<Vec<_>>().join(", ")
}

/// The SQL name of a type, or Arrow's where SQL has none.
pub(crate) fn sql_type(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INT".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::UInt8 => "TINYINT UNSIGNED".to_owned(),
        DataType::UInt16 => "SMALLINT UNSIGNED".to_owned(),
        DataType::UInt32 => "INT UNSIGNED".to_owned(),
        DataType::UInt64 => "BIGINT UNSIGNED".to_owned(),
        DataType::Float32 => "REAL".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTEA".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Time64(TimeUnit::Nanosecond) => "TIME".to_owned(),
        DataType::Timestamp(unit, zone) => {
            let digits = match unit {
                TimeUnit::Second => 0,
                TimeUnit::Millisecond => 3,
                TimeUnit::Microsecond => 6,
                TimeUnit::Nanosecond => 9,
            };
            let zone = if zone.is_some() { " WITH TIME ZONE" } else { "" };
            format!("TIMESTAMP({digits}){zone}")
        }
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            format!("DECIMAL({precision}, {scale})")
        }
        DataType::List(item) | DataType::LargeList(item) => format!("{}[]", sql_type(item.data_type())),
        DataType::FixedSizeList(item, size) => format!("{}[{size}]", sql_type(item.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|f| format!("{} {}", quote(f.name()), sql_type(f.data_type()))).collect();
            format!("STRUCT<{}>", fields.join(", "))
        }
        other => type_name(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_written_as_sql() {
        let name = TableName::in_default_schema("a \"b\"").unwrap();
        let schema = Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, None), true),
            Field::new("tags", DataType::new_list(DataType::Utf8, true), true),
            Field::new("e", DataType::new_fixed_size_list(DataType::Float32, 384, true), true),
        ]);
        assert_eq!(
            table(&name, &schema, &[]),
            r#"CREATE TABLE "public"."a ""b""" ("id" BIGINT NOT NULL, "at" TIMESTAMP(6), "tags" VARCHAR[], "e" REAL[384])"#
        );
    }
}
