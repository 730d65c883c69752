//! The HTTP body of a DoGet answer: gRPC messages, then trailers with the status.

use std::{
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use bytes::Bytes;
use futures::stream::BoxStream;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use tokio::sync::mpsc;
use tonic::Status;

use super::{
    EncodeOptions,
    producer::{self, Item},
};

/// The answer to a DoGet: the schema, the batches, then `grpc-status: 0` or the error the stream ended with.
///
/// Batches must have the given schema. Batches without rows are left out; batches beyond
/// [`EncodeOptions::max_body_bytes`] are split. Dropping the body drops `batches`.
pub fn body(
    schema: SchemaRef,
    batches: BoxStream<'static, Result<RecordBatch, Status>>,
    options: EncodeOptions,
) -> tonic::body::Body {
    tonic::body::Body::new(FlightBody {
        messages: producer::spawn(schema, batches, options),
        chunks: Vec::new().into_iter(),
        done: false,
    })
}

struct FlightBody {
    messages: mpsc::Receiver<Item>,
    chunks: vec::IntoIter<Bytes>,
    done: bool,
}

impl http_body::Body for FlightBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        loop {
            if this.done {
                return Poll::Ready(None);
            }
            if let Some(chunk) = this.chunks.next() {
                if chunk.is_empty() {
                    continue;
                }
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            let status = match this.messages.poll_recv(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Item::Message(chunks))) => {
                    this.chunks = chunks.into_iter();
                    continue;
                }
                Poll::Ready(Some(Item::End(status))) => status,
                Poll::Ready(None) => Status::internal("the query ended unexpectedly; the server's log says why"),
            };
            this.done = true;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers(&status)))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.done
    }
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        // The message could not be written as a header value; the code alone always can.
        trailers.clear();
        trailers.insert("grpc-status", HeaderValue::from(i32::from(status.code())));
    }
    trailers
}
