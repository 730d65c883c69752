//! Sending a stream that can fail.
//!
//! A gRPC request stream has no way to end in an error: if it just ends, the server takes it for complete and commits it.
//! So when the source fails, the request is held open and the whole call is dropped, which resets the stream.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use arrow_flight::FlightData;
use futures::{Stream, StreamExt, channel::oneshot, future::Either, stream::BoxStream};

use crate::{Error, Result};

/// A request stream that never ends early.
pub(crate) struct Upload {
    source: BoxStream<'static, Result<FlightData>>,
    failed: Option<oneshot::Sender<Error>>,
}

/// Tells when the source failed.
pub(crate) struct Failure(oneshot::Receiver<Error>);

impl Upload {
    pub fn new(source: impl Stream<Item = Result<FlightData>> + Send + 'static) -> (Self, Failure) {
        let (sender, receiver) = oneshot::channel();
        (Self { source: source.boxed(), failed: Some(sender) }, Failure(receiver))
    }
}

impl Stream for Upload {
    type Item = FlightData;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<FlightData>> {
        if self.failed.is_none() {
            return Poll::Pending;
        }
        match self.source.poll_next_unpin(cx) {
            Poll::Ready(Some(Ok(data))) => Poll::Ready(Some(data)),
            Poll::Ready(Some(Err(error))) => {
                if let Some(failed) = self.failed.take() {
                    let _ = failed.send(error);
                }
                Poll::Pending
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Failure {
    /// Runs `call` unless the source fails first: then the call is dropped and the source's error returned.
    pub async fn or<T>(self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let failure = async {
            match self.0.await {
                Ok(error) => error,
                // The upload is over and did not fail.
                Err(_) => futures::future::pending().await,
            }
        };
        match futures::future::select(std::pin::pin!(call), std::pin::pin!(failure)).await {
            Either::Left((result, _)) => result,
            Either::Right((error, _)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failing_source_ends_the_call_and_not_the_stream() {
        let items = vec![Ok(FlightData::default()), Err(Error::Source("disk gone".into()))];
        let (upload, failure) = Upload::new(futures::stream::iter(items));
        let call = async {
            let count = upload.count().await;
            Ok(count)
        };
        let error = failure.or(call).await.unwrap_err();
        assert_eq!(error.to_string(), "disk gone");
    }

    #[tokio::test]
    async fn a_good_source_ends_with_the_call() {
        let (upload, failure) = Upload::new(futures::stream::iter([Ok(FlightData::default())]));
        assert_eq!(failure.or(async { Ok(upload.count().await) }).await.unwrap(), 1);
    }
}
