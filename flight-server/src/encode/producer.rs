//! Runs a stream of batches through the encoder: in the caller, or in a task of its own, a few messages ahead of the network.

use std::{collections::VecDeque, panic::AssertUnwindSafe};

use arrow::{array::RecordBatch, datatypes::Schema, error::ArrowError};
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

/// A stream of batches, turned into messages one after the other.
pub(super) struct Producer {
    batches: BoxStream<'static, Result<RecordBatch, Status>>,
    encoder: StreamEncoder,
    /// Encoded and not yet handed out.
    ready: VecDeque<Message>,
}

impl Producer {
    /// The schema is its first message.
    ///
    /// # Errors
    /// When the options cannot be met.
    pub(super) fn new(
        schema: &Schema,
        batches: BoxStream<'static, Result<RecordBatch, Status>>,
        options: &EncodeOptions,
    ) -> Result<Self, Status> {
        let mut encoder = StreamEncoder::new(schema, options).map_err(not_encoded)?;
        let ready = VecDeque::from([encoder.schema_message(schema)]);
        Ok(Self { batches, encoder, ready })
    }

    /// The next message, or the end, after which it must not be called again. Nothing is lost when it is dropped half-way.
    pub(super) async fn next(&mut self) -> Item {
        match AssertUnwindSafe(self.message()).catch_unwind().await {
            Ok(Ok(Some(chunks))) => Item::Message(chunks),
            Ok(Ok(None)) => Item::End(Status::new(tonic::Code::Ok, "")),
            Ok(Err(status)) => Item::End(status),
            // In a task of its own nobody would see it, and the client would be without the id to ask for.
            Err(payload) => Item::End(status::panicked(&*payload)),
        }
    }

    async fn message(&mut self) -> Result<Option<Vec<Bytes>>, Status> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Some(frame(message).map_err(not_encoded)?));
            }
            match self.batches.next().await {
                None => return Ok(None),
                Some(batch) => self.ready.extend(self.encoder.batch(&batch?).map_err(not_encoded)?),
            }
        }
    }

    /// Moves it into a task of its own. Dropping the receiver ends the task, and with it the query.
    pub(super) fn spawn(mut self) -> mpsc::Receiver<Item> {
        let (sender, receiver) = mpsc::channel(MESSAGES_AHEAD);
        let task = async move {
            let messages = async {
                loop {
                    let item = self.next().await;
                    let is_end = matches!(item, Item::End(_));
                    // A send fails only when the receiver is gone, and then nobody reads the rest.
                    if sender.send(item).await.is_err() || is_end {
                        return;
                    }
                }
            };
            // Select, so that a client that goes away while the query computes ends the query at once.
            tokio::select! {
                () = messages => (),
                () = sender.closed() => (),
            }
        };
        tokio::spawn(task.in_current_span());
        receiver
    }
}

fn not_encoded(error: ArrowError) -> Status {
    status::internal(&format!("the result could not be encoded: {error}"))
}

/// The state of one stream of messages.
struct StreamEncoder {
    max_body_bytes: usize,
    max_rows: usize,
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
            max_rows: options.max_rows.max(1),
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
        let rows = batch.num_rows();
        for start in (0..rows).step_by(self.max_rows) {
            let some = if rows <= self.max_rows { batch } else { &batch.slice(start, self.max_rows.min(rows - start)) };
            self.encode_into(some, &mut messages)?;
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
        let batch = &batch::without_waste(batch)?;
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
