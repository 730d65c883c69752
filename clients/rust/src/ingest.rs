//! Sending record batches into a table.

use arrow::array::RecordBatch;
use arrow_flight::{
    FlightDescriptor,
    sql::{CommandStatementIngest, DoPutUpdateResult, TableDefinitionOptions, TableExistsOption, TableNotExistOption},
};
use arrow_schema::SchemaRef;
use futures::{Stream, StreamExt};
use prost::Message;

use crate::{
    Client, Error, Progress, Report, Result,
    client::command,
    put::{self, encode},
};

/// What may already be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IngestMode {
    /// The table must not exist.
    Create,
    /// The table must exist.
    Append,
    /// The table's rows and schema are replaced; it is created when it does not exist.
    Replace,
    /// The table is created when it does not exist.
    #[default]
    CreateAppend,
}

impl IngestMode {
    fn definition(self) -> TableDefinitionOptions {
        let (absent, present) = match self {
            Self::Create => (TableNotExistOption::Create, TableExistsOption::Fail),
            Self::Append => (TableNotExistOption::Fail, TableExistsOption::Append),
            Self::Replace => (TableNotExistOption::Create, TableExistsOption::Replace),
            Self::CreateAppend => (TableNotExistOption::Create, TableExistsOption::Append),
        };
        TableDefinitionOptions { if_not_exist: absent.into(), if_exists: present.into() }
    }

    /// Its name in the command that sends a file.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Append => "append",
            Self::Replace => "replace",
            Self::CreateAppend => "create_append",
        }
    }
}

/// The table that data goes into.
#[derive(Debug, Clone, Default)]
pub struct IngestTarget {
    pub(crate) schema: Option<String>,
    pub(crate) table: String,
    pub(crate) mode: IngestMode,
    pub(crate) temporary: bool,
    pub(crate) bucket: Option<String>,
}

impl IngestTarget {
    /// A table of the default schema; the name is taken literally.
    pub fn table(table: impl Into<String>) -> Self {
        Self { table: table.into(), ..Self::default() }
    }

    /// In another schema.
    #[must_use]
    pub fn in_schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// What may already be there. Default: [`IngestMode::CreateAppend`].
    #[must_use]
    pub fn with_mode(mut self, mode: IngestMode) -> Self {
        self.mode = mode;
        self
    }

    /// A table that only this session sees, in the server's memory.
    #[must_use]
    pub fn temporary(mut self) -> Self {
        self.temporary = true;
        self
    }

    /// The bucket for a table that is created. Default: the server's first.
    #[must_use]
    pub fn in_bucket(mut self, bucket: impl Into<String>) -> Self {
        self.bucket = Some(bucket.into());
        self
    }

    /// The path of a Flight descriptor.
    pub(crate) fn path(&self) -> Vec<String> {
        self.schema.iter().chain([&self.table]).cloned().collect()
    }
}

impl Client {
    /// Sends batches into a table, in one commit: nothing is visible until all of it is. A batch is asked for when there
    /// is room for it. Returns the number of rows. `on_sent` is called with what has been handed to the connection.
    ///
    /// # Errors
    /// The server's, or the source's: then the upload is abandoned and nothing of it is ever visible.
    pub async fn ingest_batches<E>(
        &self,
        target: &IngestTarget,
        schema: SchemaRef,
        batches: impl Stream<Item = Result<RecordBatch, E>> + Send + 'static,
        mut on_sent: impl FnMut(Progress) + Send + 'static,
    ) -> Result<u64>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let ingest = CommandStatementIngest {
            table_definition_options: Some(target.mode.definition()),
            table: target.table.clone(),
            schema: target.schema.clone(),
            catalog: None,
            temporary: target.temporary,
            transaction_id: self.transaction_id(),
            options: target.bucket.iter().map(|bucket| ("bucket".to_owned(), bucket.clone())).collect(),
        };
        let mut sent = Progress::default();
        let batches = batches.map(move |batch| {
            let batch = batch.map_err(|error| Error::Source(error.into()))?;
            sent.rows += batch.num_rows() as u64;
            sent.bytes += batch.get_array_memory_size() as u64;
            on_sent(sent);
            Ok(batch)
        });
        self.check_login().await?;
        let mut rows = None;
        put::put(self, encode(command(&ingest), schema, batches.boxed()), |result| {
            // The count comes in one of the answers; others may tell progress.
            if let Ok(answer) = DoPutUpdateResult::decode(result.app_metadata) {
                rows = Some(answer.record_count);
            }
            Ok(())
        })
        .await?;
        let rows = rows.ok_or_else(|| Error::protocol("the server did not say how many rows it took"))?;
        Ok(u64::try_from(rows).unwrap_or_default())
    }

    /// Appends batches to the table at a path (`[table]` or `[schema, table]`), by a plain DoPut. `on_progress` is called
    /// with what the server has accepted.
    ///
    /// # Errors
    /// As [`Client::ingest_batches`].
    pub async fn put<E>(
        &self,
        path: &[&str],
        schema: SchemaRef,
        batches: impl Stream<Item = Result<RecordBatch, E>> + Send + 'static,
        mut on_progress: impl FnMut(Progress) + Send,
    ) -> Result<Report>
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let descriptor = FlightDescriptor::new_path(path.iter().map(|part| (*part).to_owned()).collect());
        let batches = batches.map(|batch| batch.map_err(|error| Error::Source(error.into())));
        put::put_reported(self, encode(descriptor, schema, batches.boxed()), &mut on_progress).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_say_what_may_be_there() {
        let append = IngestMode::Append.definition();
        assert_eq!(append.if_not_exist(), TableNotExistOption::Fail);
        assert_eq!(append.if_exists(), TableExistsOption::Append);
        let both = IngestMode::default().definition();
        assert_eq!(both.if_not_exist(), TableNotExistOption::Create);
    }

    #[test]
    fn a_target_is_a_path() {
        assert_eq!(IngestTarget::table("a.b").path(), ["a.b"]);
        assert_eq!(IngestTarget::table("t").in_schema("s").path(), ["s", "t"]);
    }
}
