//! The client's side of a DoPut: a descriptor, a schema, and batches that are decoded as they are asked for.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use arrow_flight::{FlightData, FlightDescriptor};
use futures::{Stream, stream};
use skein_model::Limits;
use tonic::{Code, Status, Streaming};

use super::decode::{Decoded, Decoder};
use crate::status;

/// A DoPut that has begun.
pub(super) struct Incoming {
    /// What the data is for.
    pub(super) descriptor: FlightDescriptor,
    messages: Streaming<FlightData>,
    decoder: Decoder,
    /// The schema, when it has come.
    schema: Option<SchemaRef>,
}

impl Incoming {
    /// Reads the first message, which names what the data is for.
    ///
    /// # Errors
    /// INVALID_ARGUMENT without a descriptor or with an unreadable first message.
    pub(super) async fn open(messages: Streaming<FlightData>, max_message_bytes: usize) -> Result<Self, Status> {
        let mut this = Self {
            descriptor: FlightDescriptor::default(),
            messages,
            decoder: Decoder::new(max_message_bytes, Limits::default().max_columns),
            schema: None,
        };
        let mut first =
            this.message().await?.ok_or_else(|| wrong("the stream is empty; send a descriptor and a schema"))?;
        this.descriptor = first.flight_descriptor.take().ok_or_else(|| {
            wrong("the first message has no descriptor; say what the data is for: a path or a command")
        })?;
        if let Decoded::Schema(schema) = this.decoder.decode(first)? {
            this.schema = Some(schema);
        }
        Ok(this)
    }

    /// The schema; reads on until it has come.
    ///
    /// # Errors
    /// INVALID_ARGUMENT when the stream ends or goes on without one.
    pub(super) async fn schema(&mut self) -> Result<SchemaRef, Status> {
        match self.schema_opt().await? {
            Some(schema) => Ok(schema),
            None => Err(wrong("the stream ended before its schema came")),
        }
    }

    /// The schema; None when the stream ends without one, as an update without data does.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for a message that can't be read.
    pub(super) async fn schema_opt(&mut self) -> Result<Option<SchemaRef>, Status> {
        while self.schema.is_none() {
            let Some(message) = self.message().await? else { return Ok(None) };
            if let Decoded::Schema(schema) = self.decoder.decode(message)? {
                self.schema = Some(schema);
            }
        }
        Ok(self.schema.clone())
    }

    /// The batches that follow.
    pub(super) fn batches(self) -> impl Stream<Item = Result<RecordBatch, Status>> + Send + 'static {
        stream::try_unfold(self, |mut this| async move { Ok(this.next().await?.map(|batch| (batch, this))) })
    }

    async fn next(&mut self) -> Result<Option<RecordBatch>, Status> {
        while let Some(message) = self.message().await? {
            if let Decoded::Batch(batch) = self.decoder.decode(message)? {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    async fn message(&mut self) -> Result<Option<FlightData>, Status> {
        self.messages.message().await.map_err(|status| match status.code() {
            // tonic's word for a message over the limit.
            Code::OutOfRange => status::new(
                Code::ResourceExhausted,
                format!("{}; send smaller batches, or raise server.max_message_size", status.message()),
            ),
            _ => status,
        })
    }
}

fn wrong(why: &str) -> Status {
    status::new(Code::InvalidArgument, why)
}
