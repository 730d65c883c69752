//! Between the wire and the ingest crate: the three ways in use one bridge.

use std::sync::Arc;

use arrow::{
    array::{Array as _, LargeBinaryArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Schema, SchemaRef},
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use skein_catalog::{Actor, writer::WriterOptions};
use skein_flight_sql::{Error as SqlError, Ingest, IngestRequest, Uploaded};
use skein_ingest::{
    BatchOptions, BatchStream, BoxError, ByteStream, FileOptions, IngestMode, IngestReport, IngestTarget, Progress,
    SourceError,
};
use skein_model::Kind as _;
use skein_proto::{IngestFile, PutMetadata, RejectedRow};
use skein_query::Session;
use tokio::sync::watch;
use tonic::{Code, Status};

use crate::{rpc::Caller, server::InFlight, status};

/// The column that carries a file's bytes.
const CHUNK: &str = "chunk";
/// The most rejected rows in a PutResult; the rejects file has all of them.
const MAX_REJECTS: usize = 100;
/// Options of a `CommandStatementIngest` that are understood.
const SQL_OPTIONS: [&str; 3] = ["bucket", "idempotency_key", "reason"];

/// Takes data in.
#[derive(Debug, Clone)]
pub struct IngestBridge {
    writer: WriterOptions,
    running: InFlight,
}

impl IngestBridge {
    /// A bridge into the tables that sessions see, which writes data files as `writer` says.
    pub fn new(writer: WriterOptions) -> Self {
        Self { writer, running: InFlight::default() }
    }

    /// How many uploads are taken in now.
    pub fn running(&self) -> usize {
        self.running.count()
    }

    /// Takes batches in.
    ///
    /// # Errors
    /// Those of the ingest.
    pub async fn batches(
        &self,
        caller: &Caller,
        target: IngestTarget,
        schema: SchemaRef,
        batches: BatchStream,
        idempotency_key: Option<String>,
        progress: watch::Sender<Progress>,
    ) -> Result<IngestReport, Status> {
        let _running = self.running.begin();
        let options = BatchOptions { idempotency_key, writer: self.writer.clone() };
        skein_ingest::ingest_batches(
            &caller.session.catalog(),
            target,
            schema,
            batches,
            options,
            &caller.actor(),
            progress,
        )
        .await
        .map_err(|error| status::from_error(&error))
    }

    /// Takes a file in.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for options that are not understood; those of the ingest.
    pub async fn file(
        &self,
        caller: &Caller,
        command: IngestFile,
        bytes: ByteStream,
        progress: watch::Sender<Progress>,
    ) -> Result<IngestReport, Status> {
        let _running = self.running.begin();
        let mut options: FileOptions = serde_json::from_value(command.options.into())
            .map_err(|error| status::new(Code::InvalidArgument, format!("the options of IngestFile: {error}")))?;
        options.writer = self.writer.clone();
        let target = IngestTarget { name: command.table, mode: file_mode(command.mode), bucket: command.bucket };
        skein_ingest::ingest_file(&caller.session.catalog(), target, bytes, options, &caller.actor(), progress)
            .await
            .map_err(|error| status::from_error(&error))
    }
}

#[async_trait]
impl Ingest for IngestBridge {
    async fn ingest(
        &self,
        session: &Arc<Session>,
        mut request: IngestRequest,
        schema: SchemaRef,
        batches: skein_flight_sql::BatchStream,
    ) -> Result<Uploaded, SqlError> {
        let _running = self.running.begin();
        if let Some(unknown) = request.options.keys().find(|key| !SQL_OPTIONS.contains(&key.as_str())) {
            let message = format!("ingest option '{unknown}' is unknown; known are {}", SQL_OPTIONS.join(", "));
            return Err(SqlError::server(skein_model::ErrorKind::InvalidInput, message));
        }
        let target =
            IngestTarget { name: request.name, mode: sql_mode(request.mode), bucket: request.options.remove("bucket") };
        let options =
            BatchOptions { idempotency_key: request.options.remove("idempotency_key"), writer: self.writer.clone() };
        let mut actor = Actor::new(session.principal().name.clone());
        actor.reason = request.options.remove("reason");
        let batches =
            batches.map_err(|error| -> BoxError { Box::new(SourceError::new(error.kind(), error.to_string())) });
        let (progress, _) = watch::channel(Progress::default());
        let report = skein_ingest::ingest_batches(
            &session.catalog(),
            target,
            schema,
            batches.boxed(),
            options,
            &actor,
            progress,
        )
        .await
        .map_err(|error| SqlError::from_kind(&error))?;
        Ok(Uploaded { rows: report.rows })
    }
}

/// A stream of the wire as the ingest crate takes it, with the kinds of its errors kept.
pub(crate) fn sourced(batches: impl Stream<Item = Result<RecordBatch, Status>> + Send + 'static) -> BatchStream {
    batches.map_err(source_error).boxed()
}

/// The bytes in the column `chunk` of a stream.
///
/// # Errors
/// INVALID_ARGUMENT when the schema is something else than one binary column `chunk`.
pub(crate) fn chunks(
    schema: &Schema,
    batches: impl Stream<Item = Result<RecordBatch, Status>> + Send + 'static,
) -> Result<ByteStream, Status> {
    let fits = match schema.fields().iter().as_slice() {
        [field] => {
            field.name() == CHUNK
                && matches!(field.data_type(), DataType::Binary | DataType::LargeBinary | DataType::BinaryView)
        }
        _ => false,
    };
    if !fits {
        return Err(status::new(
            Code::InvalidArgument,
            format!(
                "IngestFile takes the file's bytes in one binary column named '{CHUNK}'; the stream's schema is another"
            ),
        ));
    }
    let parts = batches.map_err(source_error).and_then(|batch| async move { split(&batch) });
    Ok(parts.map_ok(|parts| stream::iter(parts.into_iter().map(Ok))).try_flatten().boxed())
}

fn split(batch: &RecordBatch) -> Result<Vec<Bytes>, BoxError> {
    let column = cast(batch.column(0), &DataType::LargeBinary)?;
    let Some(column) = column.as_any().downcast_ref::<LargeBinaryArray>() else {
        return Err(Box::new(SourceError::new(skein_model::ErrorKind::Internal, "a cast made something else")));
    };
    Ok(column.iter().flatten().filter(|part| !part.is_empty()).map(Bytes::copy_from_slice).collect())
}

fn source_error(status: Status) -> BoxError {
    Box::new(SourceError::new(status::kind(status.code()), status.message()))
}

/// The mode of that name; create_append when there is none.
///
/// # Errors
/// INVALID_ARGUMENT for another name.
pub(crate) fn mode(name: Option<&str>) -> Result<IngestMode, Status> {
    match name {
        None | Some("create_append") => Ok(IngestMode::CreateAppend),
        Some("create") => Ok(IngestMode::Create),
        Some("append") => Ok(IngestMode::Append),
        Some("replace") => Ok(IngestMode::Replace),
        Some(other) => Err(status::new(
            Code::InvalidArgument,
            format!("ingest mode '{other}' is none of create, append, replace, create_append"),
        )),
    }
}

const fn file_mode(mode: skein_proto::IngestMode) -> IngestMode {
    match mode {
        skein_proto::IngestMode::Create => IngestMode::Create,
        skein_proto::IngestMode::Append => IngestMode::Append,
        skein_proto::IngestMode::Replace => IngestMode::Replace,
        skein_proto::IngestMode::CreateAppend | skein_proto::IngestMode::Unspecified => IngestMode::CreateAppend,
    }
}

const fn sql_mode(mode: skein_flight_sql::IngestMode) -> IngestMode {
    match mode {
        skein_flight_sql::IngestMode::Create => IngestMode::Create,
        skein_flight_sql::IngestMode::Append => IngestMode::Append,
        skein_flight_sql::IngestMode::Replace => IngestMode::Replace,
        skein_flight_sql::IngestMode::CreateAppend => IngestMode::CreateAppend,
    }
}

/// A report as the last PutResult carries it.
pub(crate) fn put_metadata(report: &IngestReport) -> PutMetadata {
    let rejects = report.rejects.iter().take(MAX_REJECTS).map(|reject| RejectedRow {
        line: reject.line,
        column: reject.column.clone().unwrap_or_default(),
        value: reject.value.clone().unwrap_or_default(),
        reason: reject.reason.clone(),
    });
    PutMetadata {
        dataset: report.dataset.to_string(),
        version: Some(report.version),
        files: report.files as u64,
        duplicate: report.duplicate,
        skipped_rows: report.skipped_rows,
        rejects: rejects.collect(),
        rejects_key: report.rejects_key.clone().unwrap_or_default(),
        ..PutMetadata::committed(report.rows, report.bytes)
    }
}

#[cfg(test)]
mod tests {
    use arrow::{array::BinaryArray, datatypes::Field};

    use super::*;

    fn schema(name: &str, data_type: DataType) -> Schema {
        Schema::new(vec![Field::new(name, data_type, true)])
    }

    #[tokio::test]
    async fn chunks_are_the_bytes_in_order() {
        let schema = Arc::new(schema(CHUNK, DataType::Binary));
        let column = BinaryArray::from_opt_vec(vec![Some(b"ab".as_slice()), None, Some(b""), Some(b"c")]);
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(column)]).unwrap();
        let bytes = chunks(&schema, stream::iter([Ok(batch)])).unwrap();
        let parts: Vec<_> = bytes.try_collect().await.unwrap();
        assert_eq!(parts, ["ab", "c"]);
    }

    #[test]
    fn another_schema_is_refused() {
        for wrong in [schema("bytes", DataType::Binary), schema(CHUNK, DataType::Utf8)] {
            let error = chunks(&wrong, stream::empty()).map(|_| ()).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument);
        }
    }

    #[test]
    fn a_mode_that_does_not_exist_lists_those_that_do() {
        assert!(mode(Some("upsert")).unwrap_err().message().contains("create_append"));
        assert_eq!(mode(None).unwrap(), IngestMode::CreateAppend);
    }
}
