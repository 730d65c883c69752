//! The rows of a query, streaming.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use arrow::array::RecordBatch;
use arrow_flight::{FlightData, FlightEndpoint, FlightInfo, Ticket};
use arrow_schema::{Schema, SchemaRef};
use futures::{Stream, StreamExt, TryStreamExt, stream::BoxStream};
use tonic::Streaming;

use crate::{Client, Error, Result, decode::Decoder};

/// The batches of a result, in order. Dropping it cancels what is still running on the server.
pub struct ResultStream {
    schema: SchemaRef,
    batches: BoxStream<'static, Result<RecordBatch>>,
}

impl ResultStream {
    /// The columns of the result.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Reads all batches into memory.
    ///
    /// # Errors
    /// The first error of the stream.
    pub async fn collect(self) -> Result<Vec<RecordBatch>> {
        self.batches.try_collect().await
    }

    /// Opens the endpoints of `info`, one after the other.
    pub(crate) async fn open(client: &Client, info: FlightInfo) -> Result<Self> {
        let announced = if info.schema.is_empty() { None } else { Some(Schema::try_from(info.clone())?) };
        let mut endpoints = info.endpoint.into_iter();
        // The first is opened at once: that is where errors and the schema show.
        let Some(first) = endpoints.next() else {
            let schema = announced.unwrap_or_else(Schema::empty);
            return Ok(Self { schema: SchemaRef::new(schema), batches: futures::stream::empty().boxed() });
        };
        let (schema, batches) = open_endpoint(client, first).await?;
        let client = client.clone();
        let rest = futures::stream::iter(endpoints)
            .then(move |endpoint| {
                let client = client.clone();
                async move { open_endpoint(&client, endpoint).await.map(|(_, batches)| batches) }
            })
            .try_flatten();
        Ok(Self { schema, batches: batches.chain(rest).boxed() })
    }
}

impl Stream for ResultStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.batches.poll_next_unpin(cx)
    }
}

impl std::fmt::Debug for ResultStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResultStream").field("schema", &self.schema).finish_non_exhaustive()
    }
}

async fn open_endpoint(
    client: &Client,
    endpoint: FlightEndpoint,
) -> Result<(SchemaRef, BoxStream<'static, Result<RecordBatch>>)> {
    let ticket = endpoint.ticket.ok_or_else(|| Error::protocol("an endpoint without a ticket"))?;
    open_ticket(client, ticket).await
}

/// Opens one stream, and reads it up to and including its schema.
async fn open_ticket(client: &Client, ticket: Ticket) -> Result<(SchemaRef, BoxStream<'static, Result<RecordBatch>>)> {
    let mut messages = client.call(ticket, |mut inner, ticket| async move { inner.do_get(ticket).await }).await?;
    let mut decoder = Decoder::default();
    loop {
        let message = messages.message().await.map_err(|status| client.error(status))?;
        let message = message.ok_or_else(|| Error::protocol("a stream without a schema"))?;
        let batch = decoder.decode(message)?;
        if let Some(schema) = decoder.schema().cloned() {
            let first = futures::stream::iter(batch.map(Ok));
            return Ok((schema, first.chain(decoded(client.clone(), messages, decoder)).boxed()));
        }
    }
}

fn decoded(
    client: Client,
    messages: Streaming<FlightData>,
    decoder: Decoder,
) -> impl Stream<Item = Result<RecordBatch>> + Send {
    futures::stream::try_unfold((client, messages, decoder), |(client, mut messages, mut decoder)| async move {
        while let Some(message) = messages.message().await.map_err(|status| client.error(status))? {
            if let Some(batch) = decoder.decode(message)? {
                return Ok(Some((batch, (client, messages, decoder))));
            }
        }
        Ok(None)
    })
}
