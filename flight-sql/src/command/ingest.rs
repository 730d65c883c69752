//! CommandStatementIngest: rows for a new, an existing or a temporary table.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow_flight::sql::{
    CommandStatementIngest, DoPutUpdateResult, TableDefinitionOptions, TableExistsOption, TableNotExistOption,
};
use arrow_schema::{ArrowError, SchemaRef};
use futures::StreamExt;
use skein_model::{DEFAULT_CATALOG, TableName};
use skein_query::{Session, TempMode};

use crate::{
    BatchStream, Error, FlightSql, IngestMode, IngestRequest, PutOutcome, PutStream, Result,
    encoding::strip_column_metadata,
    statement::{NoteChange, collect},
};

/// The schema of temporary tables.
const TEMP_SCHEMA: &str = "temp";

/// What may already be there, and whether something must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mode {
    mode: IngestMode,
    /// "Replace, but fail when there is nothing to replace."
    must_exist: bool,
}

impl FlightSql {
    /// DoPut.
    pub(crate) async fn put_ingest(
        &self,
        session: &Arc<Session>,
        command: CommandStatementIngest,
        upload: PutStream,
    ) -> Result<PutOutcome> {
        if command.table.is_empty() {
            return Err(Error::invalid("CommandStatementIngest names no table; set its `table`"));
        }
        let mode = mode(command.table_definition_options)?;
        let sent = upload.schema.ok_or_else(|| {
            Error::invalid("CommandStatementIngest came without a schema; send the schema before (or without) any rows")
        })?;
        let (schema, batches) = without_column_metadata(&sent, upload.batches);
        let _note = NoteChange(&self.statements);
        let _held = self.transactions.hold(session);
        let rows = match command.temporary {
            true => self.ingest_temporary(session, &command, mode, schema, batches).await?,
            false => self.ingest_dataset(session, command, mode, schema, batches).await?,
        };
        let record_count = i64::try_from(rows).unwrap_or(i64::MAX);
        Ok(PutOutcome::Updated(DoPutUpdateResult { record_count }))
    }

    async fn ingest_dataset(
        &self,
        session: &Arc<Session>,
        command: CommandStatementIngest,
        mode: Mode,
        schema: SchemaRef,
        batches: BatchStream,
    ) -> Result<u64> {
        let name = target(session, &command)?;
        name.check_creatable()?;
        if mode.must_exist {
            session.table_schema(&name).await?;
        }
        let options = command.options.into_iter().collect();
        let request = IngestRequest { name, mode: mode.mode, options };
        Ok(self.ingest.ingest(session, request, schema, batches).await?.rows)
    }

    async fn ingest_temporary(
        &self,
        session: &Arc<Session>,
        command: &CommandStatementIngest,
        mode: Mode,
        schema: SchemaRef,
        batches: BatchStream,
    ) -> Result<u64> {
        check_temporary(command)?;
        let name = TableName::new(TEMP_SCHEMA, &command.table)?;
        if mode.must_exist {
            session.table_schema(&name).await?;
        }
        let mode = match mode.mode {
            IngestMode::Create => TempMode::Create,
            IngestMode::Append => TempMode::Append,
            IngestMode::Replace => TempMode::Replace,
            IngestMode::CreateAppend => TempMode::CreateAppend,
        };
        let batches = collect(batches, "the rows of a temporary table", self.options.max_upload_bytes).await?;
        Ok(session.put_temp_table(&command.table, schema, batches, mode).await?)
    }
}

/// The mode behind the two options.
fn mode(options: Option<TableDefinitionOptions>) -> Result<Mode> {
    // Absent means what ADBC calls "create".
    let Some(options) = options else { return Ok(Mode { mode: IngestMode::Create, must_exist: false }) };
    let (mode, must_exist) = match (options.if_not_exist(), options.if_exists()) {
        (TableNotExistOption::Create, TableExistsOption::Fail) => (IngestMode::Create, false),
        (TableNotExistOption::Create, TableExistsOption::Append) => (IngestMode::CreateAppend, false),
        (TableNotExistOption::Create, TableExistsOption::Replace) => (IngestMode::Replace, false),
        (TableNotExistOption::Fail, TableExistsOption::Append) => (IngestMode::Append, false),
        (TableNotExistOption::Fail, TableExistsOption::Replace) => (IngestMode::Replace, true),
        (TableNotExistOption::Fail, TableExistsOption::Fail) => {
            return Err(Error::invalid(
                "table_definition_options fails both when the table exists and when it does not; let one of them be done",
            ));
        }
        (TableNotExistOption::Unspecified, _) | (_, TableExistsOption::Unspecified) => {
            return Err(Error::invalid("table_definition_options must set both if_not_exist and if_exists"));
        }
    };
    Ok(Mode { mode, must_exist })
}

/// The table that a command names; the session's schema where it names none.
fn target(session: &Session, command: &CommandStatementIngest) -> Result<TableName> {
    let catalog = given(command.catalog.as_ref()).unwrap_or(DEFAULT_CATALOG);
    let current = session.current_schema();
    let schema = given(command.schema.as_ref()).unwrap_or(&current);
    Ok(TableName::from_path(&[catalog, schema, &command.table])?)
}

/// Temporary tables have a place of their own.
fn check_temporary(command: &CommandStatementIngest) -> Result<()> {
    let wrong_schema = given(command.schema.as_ref()).is_some_and(|schema| schema != TEMP_SCHEMA);
    let wrong_catalog = given(command.catalog.as_ref()).is_some_and(|catalog| catalog != DEFAULT_CATALOG);
    if wrong_schema || wrong_catalog {
        return Err(Error::invalid(format!(
            "a temporary table lives in schema '{TEMP_SCHEMA}' of catalog '{DEFAULT_CATALOG}'; leave schema and catalog out"
        )));
    }
    Ok(())
}

fn given(name: Option<&String>) -> Option<&str> {
    name.map(String::as_str).filter(|name| !name.is_empty())
}

/// Rows read from here and sent back carry column metadata of Flight SQL, which is not the table's.
fn without_column_metadata(sent: &SchemaRef, batches: BatchStream) -> (SchemaRef, BatchStream) {
    let schema = strip_column_metadata(sent);
    if schema == *sent {
        return (schema, batches);
    }
    let stripped = Arc::clone(&schema);
    let batches = batches.map(move |batch| relabel(batch?, &stripped)).boxed();
    (schema, batches)
}

fn relabel(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)
        .map_err(|error: ArrowError| Error::invalid(format!("a batch does not have the schema that was sent: {error}")))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use arrow_schema::{DataType, Field, Schema};
    use futures::TryStreamExt;

    use super::*;

    fn options(if_not_exist: TableNotExistOption, if_exists: TableExistsOption) -> Option<TableDefinitionOptions> {
        Some(TableDefinitionOptions { if_not_exist: if_not_exist.into(), if_exists: if_exists.into() })
    }

    #[test]
    fn the_two_options_are_one_mode() {
        use TableExistsOption as Exists;
        use TableNotExistOption as Missing;
        let of = |missing, exists| mode(options(missing, exists)).map(|mode| (mode.mode, mode.must_exist)).ok();
        assert_eq!(of(Missing::Create, Exists::Fail), Some((IngestMode::Create, false)));
        assert_eq!(of(Missing::Fail, Exists::Append), Some((IngestMode::Append, false)));
        assert_eq!(of(Missing::Create, Exists::Replace), Some((IngestMode::Replace, false)));
        assert_eq!(of(Missing::Create, Exists::Append), Some((IngestMode::CreateAppend, false)));
        assert_eq!(of(Missing::Fail, Exists::Replace), Some((IngestMode::Replace, true)));
        assert_eq!(of(Missing::Fail, Exists::Fail), None);
        assert_eq!(of(Missing::Unspecified, Exists::Append), None);
        assert_eq!(of(Missing::Create, Exists::Unspecified), None);
        assert_eq!(mode(None).unwrap().mode, IngestMode::Create);
        assert!(mode(Some(TableDefinitionOptions { if_not_exist: 99, if_exists: 1 })).is_err());
    }

    #[test]
    fn a_temporary_table_has_its_own_schema() {
        let command = |schema: Option<&str>| CommandStatementIngest {
            table: "t".into(),
            schema: schema.map(Into::into),
            ..Default::default()
        };
        assert!(check_temporary(&command(None)).is_ok() && check_temporary(&command(Some("temp"))).is_ok());
        assert!(check_temporary(&command(Some("public"))).is_err());
    }

    #[tokio::test]
    async fn column_metadata_is_not_stored() {
        let metadata = HashMap::from([("ARROW:FLIGHT:SQL:TYPE_NAME".to_owned(), "BIGINT".to_owned())]);
        let field = Field::new("a", DataType::Int64, true).with_metadata(metadata);
        let sent = Arc::new(Schema::new(vec![field]));
        let batches = futures::stream::iter([Ok(RecordBatch::new_empty(Arc::clone(&sent)))]).boxed();
        let (schema, batches) = without_column_metadata(&sent, batches);
        assert!(schema.field(0).metadata().is_empty());
        let batches: Vec<_> = batches.try_collect().await.unwrap();
        assert_eq!(batches[0].schema(), schema);
    }
}
