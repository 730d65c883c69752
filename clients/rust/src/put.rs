//! DoPut: what goes up and what the server says while and after it does.

use arrow::array::RecordBatch;
use arrow_flight::{
    FlightData, FlightDescriptor, PutResult,
    encode::{DictionaryHandling, FlightDataEncoderBuilder},
    error::FlightError,
    sql::DoPutUpdateResult,
};
use arrow_schema::SchemaRef;
use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use prost::Message;
use skein_proto::{PutMetadata, RejectedRow};

use crate::{Client, Error, Result, upload::Upload};

/// Messages are cut at about this size; small enough for progress, large enough not to matter.
const MESSAGE_BYTES: usize = 8 << 20;

/// What the server has accepted so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What an ingest did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// The table, as `schema.table`.
    pub dataset: String,
    /// The snapshot that holds the rows; `None` for a temporary table.
    pub version: Option<u64>,
    /// Rows committed.
    pub rows: u64,
    /// Bytes accepted.
    pub bytes: u64,
    /// Data files written.
    pub files: u64,
    /// The same data was there already, so nothing was added.
    pub duplicate: bool,
    /// Rows left out because they could not be read.
    pub skipped_rows: u64,
    /// The first of them.
    pub rejects: Vec<RejectedRow>,
    /// The object that lists all of them.
    pub rejects_key: Option<String>,
}

/// Called whenever the server says how far it is.
pub(crate) type OnProgress<'a> = &'a mut (dyn FnMut(Progress) + Send);

impl From<PutMetadata> for Report {
    fn from(metadata: PutMetadata) -> Self {
        Self {
            dataset: metadata.dataset,
            version: metadata.version,
            rows: metadata.rows,
            bytes: metadata.bytes,
            files: metadata.files,
            duplicate: metadata.duplicate,
            skipped_rows: metadata.skipped_rows,
            rejects: metadata.rejects,
            rejects_key: Some(metadata.rejects_key).filter(|key| !key.is_empty()),
        }
    }
}

/// Encodes batches as the messages of a DoPut with this descriptor. A batch is encoded when the connection has room for
/// it, so a slow server slows the source down.
pub(crate) fn encode(
    descriptor: FlightDescriptor,
    schema: SchemaRef,
    batches: BoxStream<'static, Result<RecordBatch>>,
) -> impl Stream<Item = Result<FlightData>> + Send + 'static {
    FlightDataEncoderBuilder::new()
        .with_flight_descriptor(Some(descriptor))
        .with_dictionary_handling(DictionaryHandling::Resend)
        .with_max_flight_data_size(MESSAGE_BYTES)
        .with_schema(schema)
        .build(batches.map_err(|error| FlightError::ExternalError(Box::new(error))))
        .map_err(from_encoder)
}

fn from_encoder(error: FlightError) -> Error {
    match error {
        FlightError::Arrow(error) => Error::Arrow(error),
        FlightError::ExternalError(source) => match source.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) => Error::Source(other),
        },
        other => Error::Source(Box::new(other)),
    }
}

/// Sends the messages and hands each of the server's answers to `on_result`.
pub(crate) async fn put(
    client: &Client,
    messages: impl Stream<Item = Result<FlightData>> + Send + 'static,
    mut on_result: impl FnMut(PutResult) -> Result<()>,
) -> Result<()> {
    let (upload, failure) = Upload::new(messages);
    failure
        .or(async {
            let response = client.inner().do_put(upload).await.map_err(|status| client.error(status))?;
            let mut results = client.opened(response);
            while let Some(result) = results.message().await.map_err(|status| client.error(status))? {
                on_result(result)?;
            }
            Ok(())
        })
        .await
}

/// Sends a few batches and returns the first answer's metadata, if there is one.
pub(crate) async fn put_batches(
    client: &Client,
    descriptor: FlightDescriptor,
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
) -> Result<Option<Bytes>> {
    let batches = || futures::stream::iter(batches.clone()).map(Ok).boxed();
    client.with_login(|| first_answer(client, encode(descriptor.clone(), schema.clone(), batches()))).await
}

/// Sends the messages and returns the first answer's metadata, if there is one.
async fn first_answer(
    client: &Client,
    messages: impl Stream<Item = Result<FlightData>> + Send + 'static,
) -> Result<Option<Bytes>> {
    let mut answer = None;
    put(client, messages, |result| {
        answer.get_or_insert(result.app_metadata);
        Ok(())
    })
    .await?;
    Ok(answer)
}

/// Runs an update command, with the rows of `params` as its parameters, and returns its count.
pub(crate) async fn update(client: &Client, descriptor: FlightDescriptor, params: Option<RecordBatch>) -> Result<i64> {
    let answer = match params {
        Some(batch) => put_batches(client, descriptor, batch.schema(), vec![batch]).await?,
        None => {
            let message = FlightData { flight_descriptor: Some(descriptor), ..FlightData::default() };
            client.with_login(|| first_answer(client, futures::stream::iter([Ok(message.clone())]))).await?
        }
    };
    let answer = answer.ok_or_else(|| Error::protocol("no count in the answer to an update"))?;
    Ok(DoPutUpdateResult::decode(answer).map_err(Error::protocol)?.record_count)
}

/// Sends messages whose answers are [`PutMetadata`]: progress, and a report at the end.
pub(crate) async fn put_reported(
    client: &Client,
    messages: impl Stream<Item = Result<FlightData>> + Send + 'static,
    on_progress: OnProgress<'_>,
) -> Result<Report> {
    client.check_login().await?;
    let mut report = None;
    put(client, messages, |result| {
        if result.app_metadata.is_empty() {
            return Ok(());
        }
        let metadata = PutMetadata::from_json(&result.app_metadata).map_err(Error::protocol)?;
        on_progress(Progress { rows: metadata.rows, bytes: metadata.bytes });
        if metadata.is_committed() {
            report = Some(Report::from(metadata));
        }
        Ok(())
    })
    .await?;
    report.ok_or_else(|| Error::protocol("the server ended the upload without saying that it was committed"))
}
