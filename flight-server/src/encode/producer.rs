//! Runs a stream of batches through the encoder in a task of its own, a few messages ahead of the network.

use std::panic::AssertUnwindSafe;

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
    error::ArrowError,
};
use arrow_ipc::writer::{CompressionContext, DictionaryTracker, EncodedData, IpcDataGenerator, IpcWriteOptions};
use bytes::Bytes;
use futures::{FutureExt, StreamExt, stream::BoxStream};
use tokio::sync::mpsc;
use tonic::Status;
use tracing::Instrument;

use super::{
    EncodeOptions,
    batch::{self, Message},
    frame::frame,
};
use crate::status;

/// Messages that may wait for the network. The producer stops pulling from the query when they do.
const MESSAGES_AHEAD: usize = 4;

/// What the task sends. A channel that closes without [`Item::End`] means that the task died.
#[derive(Debug)]
pub(super) enum Item {
    /// The chunks of one gRPC message.
    Message(Vec<Bytes>),
    /// The status the stream ends with.
    End(Status),
}

/// Starts the task. Dropping the receiver ends it, and with it the query.
pub(super) fn spawn(
    schema: SchemaRef,
    batches: BoxStream<'static, Result<RecordBatch, Status>>,
    options: EncodeOptions,
) -> mpsc::Receiver<Item> {
    let (sender, receiver) = mpsc::channel(MESSAGES_AHEAD);
    let task = async move {
        // Select, so that a client that goes away while the query computes ends the query at once.
        tokio::select! {
            end = AssertUnwindSafe(run(&schema, batches, &options, &sender)).catch_unwind() => {
                // Nobody waits for this task, so its panic would be lost, and the client without the id to ask for.
                let end = end.unwrap_or_else(|payload| status::panicked(&*payload));
                drop(sender.send(Item::End(end)).await);
            }
            () = sender.closed() => (),
        }
    };
    tokio::spawn(task.in_current_span());
    receiver
}

/// Sends all messages; gives the status that the stream ends with.
async fn run(
    schema: &Schema,
    mut batches: BoxStream<'static, Result<RecordBatch, Status>>,
    options: &EncodeOptions,
    sender: &mpsc::Sender<Item>,
) -> Status {
    let sent = async {
        let mut encoder = StreamEncoder::new(schema, options)?;
        let mut messages = vec![encoder.schema_message(schema)];
        loop {
            for message in messages.drain(..) {
                // A send fails only when the receiver is gone, and then nobody reads the status either.
                let _ = sender.send(Item::Message(frame(message)?)).await;
            }
            match batches.next().await {
                None => return Ok(()),
                Some(batch) => messages = encoder.batch(&batch?)?,
            }
        }
    };
    match sent.await {
        Ok(()) => Status::new(tonic::Code::Ok, ""),
        Err(Failure(status)) => status,
    }
}

/// What ended a stream early.
struct Failure(Status);

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self(status)
    }
}

impl From<ArrowError> for Failure {
    fn from(error: ArrowError) -> Self {
        Self(status::internal(&format!("the result could not be encoded: {error}")))
    }
}

/// The state of one stream of messages.
struct StreamEncoder {
    max_body_bytes: usize,
    shareable: bool,
    generator: IpcDataGenerator,
    dictionaries: DictionaryTracker,
    write_options: IpcWriteOptions,
    compression: CompressionContext,
}

impl StreamEncoder {
    fn new(schema: &Schema, options: &EncodeOptions) -> Result<Self, ArrowError> {
        Ok(Self {
            max_body_bytes: options.max_body_bytes,
            shareable: options.compression.is_none() && batch::is_shareable(schema.fields()),
            generator: IpcDataGenerator::default(),
            dictionaries: DictionaryTracker::new(false),
            write_options: IpcWriteOptions::default().try_with_compression(options.compression)?,
            compression: CompressionContext::default(),
        })
    }

    fn schema_message(&mut self, schema: &Schema) -> Message {
        copied(self.generator.schema_to_bytes_with_dictionary_tracker(
            schema,
            &mut self.dictionaries,
            &self.write_options,
        ))
    }

    /// The messages of one batch: none when it has no rows, several when it has dictionaries or is too large for one.
    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<Message>, ArrowError> {
        let mut messages = Vec::with_capacity(1);
        if batch.num_rows() > 0 {
            self.encode_into(batch, &mut messages)?;
        }
        Ok(messages)
    }

    fn encode_into(&mut self, batch: &RecordBatch, out: &mut Vec<Message>) -> Result<(), ArrowError> {
        let (dictionaries, message) = self.encode_one(batch)?;
        out.extend(dictionaries);
        let rows = batch.num_rows();
        if message.body_len <= self.max_body_bytes || rows == 1 {
            out.push(message);
            return Ok(());
        }
        let pieces = message.body_len.div_ceil(self.max_body_bytes).min(rows);
        let rows_each = rows.div_ceil(pieces);
        for start in (0..rows).step_by(rows_each) {
            self.encode_into(&batch.slice(start, rows_each.min(rows - start)), out)?;
        }
        Ok(())
    }

    fn encode_one(&mut self, batch: &RecordBatch) -> Result<(Vec<Message>, Message), ArrowError> {
        if self.shareable {
            return Ok((Vec::new(), batch::encode(batch)?));
        }
        let (dictionaries, message) =
            self.generator.encode(batch, &mut self.dictionaries, &self.write_options, &mut self.compression)?;
        Ok((dictionaries.into_iter().map(copied).collect(), copied(message)))
    }
}

/// A message that arrow-ipc has laid out in memory of its own.
fn copied(encoded: EncodedData) -> Message {
    let body = Bytes::from(encoded.arrow_data);
    Message { metadata: encoded.ipc_message.into(), body_len: body.len(), body: vec![body] }
}
