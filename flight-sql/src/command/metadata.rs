//! Metadata commands: each is answered by one batch.

use std::sync::Arc;

use arrow::{array::RecordBatch, error::ArrowError};
use arrow_flight::{error::FlightError, sql::metadata::XdbcTypeInfoData};
use arrow_schema::SchemaRef;
use skein_query::Session;

use super::{catalogs, keys, schemas, sql_info, table_types, tables, xdbc_type_info};
use crate::{Error, Options, Result, ServerFacts, encoding::Encoding, request::Metadata};

/// The tables that never change while the server runs.
pub(crate) struct Tables {
    sql_info: sql_info::SqlInfoTable,
    xdbc: XdbcTypeInfoData,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tables")
    }
}

impl Tables {
    pub(crate) fn new(facts: &ServerFacts, options: &Options) -> Result<Self> {
        Ok(Self { sql_info: sql_info::SqlInfoTable::new(facts, options)?, xdbc: xdbc_type_info::table()? })
    }

    /// The schema of a command's answer.
    pub(crate) fn schema(&self, command: &Metadata) -> SchemaRef {
        match command {
            Metadata::Catalogs => catalogs::schema(),
            Metadata::Schemas(_) => schemas::schema(),
            Metadata::Tables(command) => tables::schema(command.include_schema),
            Metadata::TableTypes => table_types::schema(),
            Metadata::PrimaryKeys(_) => keys::primary_schema(),
            Metadata::ExportedKeys(_) | Metadata::ImportedKeys(_) | Metadata::CrossReference(_) => {
                keys::foreign_schema()
            }
            Metadata::SqlInfo(_) => self.sql_info.schema(),
            Metadata::XdbcTypeInfo(_) => self.xdbc.schema(),
        }
    }

    /// A command's answer, in the order that the specification asks for.
    pub(crate) async fn answer(
        &self,
        session: &Arc<Session>,
        encoding: Encoding,
        command: Metadata,
    ) -> Result<RecordBatch> {
        match command {
            Metadata::Catalogs => catalogs::answer(),
            Metadata::Schemas(command) => schemas::answer(&session.schemas().await?, &command),
            Metadata::Tables(command) => tables::answer(session, encoding, &command).await,
            Metadata::TableTypes => table_types::answer(),
            Metadata::PrimaryKeys(command) => keys::primary(session, &command).await,
            Metadata::ExportedKeys(command) => keys::exported(session, &command).await,
            Metadata::ImportedKeys(command) => keys::imported(session, &command).await,
            Metadata::CrossReference(command) => keys::cross_reference(session, &command).await,
            Metadata::SqlInfo(command) => self.sql_info.answer(&command.info),
            Metadata::XdbcTypeInfo(command) => self.xdbc.record_batch(command.data_type).map_err(built_wrong),
        }
    }
}

/// An error of arrow-flight's builders, which get nothing wrong unless this crate does.
pub(super) fn built_wrong(error: FlightError) -> Error {
    let source = match error {
        FlightError::Arrow(source) => source,
        other => ArrowError::ExternalError(Box::new(other)),
    };
    made(source)
}

pub(super) fn made(source: ArrowError) -> Error {
    Error::Arrow { doing: "made into metadata", source }
}
