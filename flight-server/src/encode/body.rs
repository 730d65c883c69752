//! The HTTP body of a DoGet answer: gRPC messages, then trailers with the status.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
    vec,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use bytes::Bytes;
use futures::stream::BoxStream;
use http_body::Frame;
use tokio::sync::mpsc;
use tonic::Status;

use super::{
    EncodeOptions,
    producer::{Item, Producer},
};
use crate::status;

/// A result up to this size leaves in one piece if it is there soon: its schema, its rows and its status then reach the client in one
/// write and wake it up once.
const WHOLE_BYTES: usize = 64 << 10;
/// How soon. What takes longer is streamed from a task of its own.
const SOON: Duration = Duration::from_millis(5);

/// The answer to a DoGet: the schema, the batches, then `grpc-status: 0` or the error the stream ended with.
///
/// Batches must have the given schema. Batches without rows are left out; batches beyond
/// [`EncodeOptions::max_body_bytes`] are split. Returns once the first messages are there, or a few milliseconds have passed. Dropping the body,
/// or this future, drops `batches`.
pub async fn body(
    schema: SchemaRef,
    batches: BoxStream<'static, Result<RecordBatch, Status>>,
    options: EncodeOptions,
) -> tonic::body::Body {
    let body = match Producer::new(&schema, batches, &options) {
        Ok(producer) => FlightBody::start(producer).await,
        Err(status) => FlightBody::new(Vec::new(), Rest::End(status)),
    };
    tonic::body::Body::new(body)
}

struct FlightBody {
    chunks: vec::IntoIter<Bytes>,
    rest: Rest,
}

/// What comes after the chunks.
enum Rest {
    Messages(mpsc::Receiver<Item>),
    End(Status),
    Nothing,
}

impl FlightBody {
    fn new(chunks: Vec<Bytes>, rest: Rest) -> Self {
        Self { chunks: chunks.into_iter(), rest }
    }

    async fn start(mut producer: Producer) -> Self {
        let (mut chunks, mut bytes) = (Vec::new(), 0);
        let whole = async {
            while bytes <= WHOLE_BYTES {
                match producer.next().await {
                    Item::Message(message) => {
                        bytes += message.iter().map(Bytes::len).sum::<usize>();
                        chunks.extend(message);
                    }
                    Item::End(status) => return Some(status),
                }
            }
            None
        };
        match tokio::time::timeout(SOON, whole).await {
            Ok(Some(status)) if bytes <= WHOLE_BYTES => Self::new(vec![chunks.concat().into()], Rest::End(status)),
            Ok(Some(status)) => Self::new(chunks, Rest::End(status)),
            Ok(None) | Err(_) => Self::new(chunks, Rest::Messages(producer.spawn())),
        }
    }
}

fn died() -> Status {
    Status::internal("the query ended unexpectedly; the server's log says why")
}

impl http_body::Body for FlightBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        loop {
            if let Some(chunk) = this.chunks.next() {
                if chunk.is_empty() {
                    continue;
                }
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            let item = match std::mem::replace(&mut this.rest, Rest::Nothing) {
                Rest::Nothing => return Poll::Ready(None),
                Rest::End(status) => Item::End(status),
                Rest::Messages(mut messages) => {
                    let polled = messages.poll_recv(cx);
                    this.rest = Rest::Messages(messages);
                    match polled {
                        Poll::Pending => return Poll::Pending,
                        // A channel that merely closes means that the task died.
                        Poll::Ready(item) => item.unwrap_or_else(|| Item::End(died())),
                    }
                }
            };
            match item {
                Item::Message(chunks) => this.chunks = chunks.into_iter(),
                Item::End(status) => {
                    this.rest = Rest::Nothing;
                    return Poll::Ready(Some(Ok(Frame::trailers(status::trailers(&status)))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.chunks.as_slice().is_empty() && matches!(self.rest, Rest::Nothing)
    }
}
