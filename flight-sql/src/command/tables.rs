//! CommandGetTables.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use arrow_flight::{IpcMessage, SchemaAsIpc, sql::CommandGetTables};
use arrow_ipc::writer::IpcWriteOptions;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use skein_model::{DEFAULT_CATALOG, TableName};
use skein_query::{Session, TableInfo, TableKind};

use super::{metadata::made, pattern::Pattern, schemas::in_catalog, table_types};
use crate::{
    Result,
    encoding::{Encoding, TableColumns, annotate_table},
};

/// How many tables' schemas are looked up at the same time.
const CONCURRENT_LOOKUPS: usize = 16;

pub(super) fn schema(include_schema: bool) -> SchemaRef {
    let mut fields = vec![
        Field::new("catalog_name", DataType::Utf8, true),
        Field::new("db_schema_name", DataType::Utf8, true),
        Field::new("table_name", DataType::Utf8, false),
        Field::new("table_type", DataType::Utf8, false),
    ];
    if include_schema {
        fields.push(Field::new("table_schema", DataType::Binary, false));
    }
    Arc::new(Schema::new(fields))
}

/// The tables that match, by schema and name.
pub(super) async fn answer(
    session: &Arc<Session>,
    encoding: Encoding,
    command: &CommandGetTables,
) -> Result<RecordBatch> {
    let tables = select(session.tables().await?, command);
    let schemas = match command.include_schema {
        true => Some(table_schemas(session, encoding, &tables).await?),
        false => None,
    };
    batch(&tables, schemas)
}

fn select(mut tables: Vec<TableInfo>, command: &CommandGetTables) -> Vec<TableInfo> {
    let pattern = |text: &Option<String>| text.as_deref().map(Pattern::new);
    let (in_schema, named) = (pattern(&command.db_schema_filter_pattern), pattern(&command.table_name_filter_pattern));
    let matches = |pattern: &Option<Pattern>, name: &str| pattern.as_ref().is_none_or(|p| p.matches(name));
    tables.retain(|table| {
        in_catalog(command.catalog.as_deref())
            && matches(&in_schema, &table.schema)
            && matches(&named, &table.table)
            && (command.table_types.is_empty()
                || command.table_types.iter().any(|wanted| wanted == table_types::of(table.kind)))
    });
    tables.sort_by(|a, b| (&a.schema, &a.table).cmp(&(&b.schema, &b.table)));
    tables
}

fn batch(tables: &[TableInfo], schemas: Option<Vec<Bytes>>) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec![DEFAULT_CATALOG; tables.len()])),
        Arc::new(StringArray::from_iter_values(tables.iter().map(|table| &table.schema))),
        Arc::new(StringArray::from_iter_values(tables.iter().map(|table| &table.table))),
        Arc::new(StringArray::from_iter_values(tables.iter().map(|table| table_types::of(table.kind)))),
    ];
    let with_schema = schemas.is_some();
    if let Some(schemas) = schemas {
        columns.push(Arc::new(BinaryArray::from_iter_values(schemas)));
    }
    RecordBatch::try_new(schema(with_schema), columns).map_err(made)
}

async fn table_schemas(session: &Arc<Session>, encoding: Encoding, tables: &[TableInfo]) -> Result<Vec<Bytes>> {
    stream::iter(tables.iter().cloned().map(|table| table_schema(Arc::clone(session), encoding, table)))
        .buffered(CONCURRENT_LOOKUPS)
        .try_collect()
        .await
}

/// One table's schema as an IPC message. A table whose schema cannot be read (its files are gone, say) is shown without columns: it must not hide
/// all the others.
async fn table_schema(session: Arc<Session>, encoding: Encoding, table: TableInfo) -> Result<Bytes> {
    let name = TableName::new(&table.schema, &table.table)?;
    let columns = session.table_schema(&name).await.unwrap_or_else(|error| {
        tracing::warn!(table = %name, %error, "the schema of a table cannot be read; it is listed without columns");
        Arc::new(Schema::empty())
    });
    let origin = TableColumns {
        schema: &table.schema,
        table: &table.table,
        read_only: !matches!(table.kind, TableKind::Dataset | TableKind::Temporary),
    };
    schema_message(&annotate_table(&encoding.wire_schema(&columns), origin))
}

/// A schema as an encapsulated IPC message: what `table_schema`, `dataset_schema` and FlightInfo hold.
pub(crate) fn schema_message(schema: &Schema) -> Result<Bytes> {
    let IpcMessage(bytes) = SchemaAsIpc::new(schema, &IpcWriteOptions::default()).try_into().map_err(made)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;

    use super::*;

    fn table(schema: &str, table: &str, kind: TableKind) -> TableInfo {
        TableInfo { schema: schema.into(), table: table.into(), kind }
    }

    fn all() -> Vec<TableInfo> {
        vec![
            table("system", "queries", TableKind::System),
            table("public", "flights", TableKind::Dataset),
            table("public", "flights_2013", TableKind::View),
            table("public", "flightsX2013", TableKind::External),
            table("temp", "t", TableKind::Temporary),
        ]
    }

    fn names(command: CommandGetTables) -> Vec<String> {
        let batch = batch(&select(all(), &command), None).unwrap();
        batch.column(2).as_string::<i32>().iter().flatten().map(String::from).collect()
    }

    #[test]
    fn everything_sorted_without_filters() {
        let command = CommandGetTables::default();
        assert_eq!(names(command), ["flights", "flightsX2013", "flights_2013", "queries", "t"]);
    }

    #[test]
    fn each_filter_narrows() {
        let command = |change: fn(&mut CommandGetTables)| {
            let mut command = CommandGetTables::default();
            change(&mut command);
            names(command)
        };
        assert_eq!(command(|c| c.db_schema_filter_pattern = Some("sys%".into())), ["queries"]);
        let both = ["flightsX2013", "flights_2013"];
        assert_eq!(command(|c| c.table_name_filter_pattern = Some("flights_2013".into())), both);
        assert_eq!(command(|c| c.table_name_filter_pattern = Some("flights\\_2013".into())), ["flights_2013"]);
        assert_eq!(
            command(|c| c.table_types = vec!["VIEW".into(), "SYSTEM TABLE".into()]),
            ["flights_2013", "queries"]
        );
        assert_eq!(command(|c| c.table_types = vec!["GLOBAL TEMPORARY".into()]), [""; 0]);
        assert_eq!(command(|c| c.catalog = Some("other".into())), [""; 0]);
        assert_eq!(command(|c| c.catalog = Some("skein".into())).len(), 5);
    }

    #[test]
    fn the_schema_is_the_specifications() {
        let nullable = |schema: SchemaRef| schema.fields().iter().map(|f| f.is_nullable()).collect::<Vec<_>>();
        assert_eq!(nullable(schema(true)), [true, true, false, false, false]);
        assert_eq!(schema(false).fields().len(), 4);
        let inner = Schema::new(vec![Field::new("a", DataType::Int64, false)]);
        let message = schema_message(&inner).unwrap();
        assert_eq!(Schema::try_from(IpcMessage(message.clone())).unwrap(), inner);
        let batch = batch(&[table("public", "t", TableKind::Dataset)], Some(vec![message])).unwrap();
        assert_eq!(batch.schema(), schema(true));
    }
}
