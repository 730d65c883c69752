//! Catches panics in handlers and in response streams, so that one defect ends one request and not the process.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::FutureExt as _;
use http_body::{Frame, SizeHint};
use tonic::{Status, body::Body};

use super::{Around, HttpRequest, Inner, ResponseFuture};
use crate::status;

/// Adds panic catching to a service.
#[derive(Debug, Clone, Copy, Default)]
pub struct CatchPanic;

impl Around for CatchPanic {
    fn answer<S: Inner>(&self, mut inner: S, request: HttpRequest) -> ResponseFuture {
        Box::pin(async move {
            let answer = AssertUnwindSafe(async move { inner.call(request).await }).catch_unwind().await;
            Ok(match answer {
                Ok(Ok(response)) => response.map(|body| Body::new(GuardedBody { inner: Some(body) })),
                Ok(Err(never)) => match never {},
                Err(payload) => status::panicked(&*payload).into_http(),
            })
        })
    }
}

/// A response body whose panics become a final INTERNAL status.
struct GuardedBody {
    /// None once a panic has ended the stream.
    inner: Option<Body>,
}

impl http_body::Body for GuardedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(body) = self.inner.as_mut() else { return Poll::Ready(None) };
        match catch_unwind(AssertUnwindSafe(|| Pin::new(body).poll_frame(cx))) {
            Ok(frame) => frame,
            Err(payload) => {
                self.inner = None;
                Poll::Ready(Some(Ok(Frame::trailers(status::trailers(&status::panicked(&*payload))))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http_body_util::{BodyExt as _, StreamBody};
    use tower::{Layer as _, Service as _, service_fn};

    use super::*;
    use crate::layers::{HttpResponse, Layer};

    #[tokio::test]
    async fn a_panicking_handler_answers_internal_with_an_id() {
        let mut service = Layer(CatchPanic).layer(service_fn(|_: HttpRequest| async {
            if true {
                panic!("boom");
            }
            Ok::<_, Infallible>(HttpResponse::new(Body::empty()))
        }));
        let response = service.call(HttpRequest::new(Body::empty())).await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "13");
        assert!(!response.headers()["grpc-message"].to_str().unwrap().contains("boom"));
    }

    #[tokio::test]
    async fn a_panicking_stream_ends_in_internal_trailers() {
        let mut service = Layer(CatchPanic).layer(service_fn(|_: HttpRequest| async {
            let frames = stream::iter(0..2).map_frames();
            Ok::<_, Infallible>(HttpResponse::new(Body::new(StreamBody::new(frames))))
        }));
        let response = service.call(HttpRequest::new(Body::empty())).await.unwrap();
        let collected = response.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "13");
        assert_eq!(collected.to_bytes(), "first");
    }

    trait MapFrames: futures::Stream<Item = i32> + Sized + Send + 'static {
        fn map_frames(self) -> stream::BoxStream<'static, Result<Frame<Bytes>, Status>> {
            use futures::StreamExt as _;
            self.map(|n| match n {
                0 => Ok(Frame::data(Bytes::from_static(b"first"))),
                _ => panic!("boom in the stream"),
            })
            .boxed()
        }
    }

    impl<S: futures::Stream<Item = i32> + Send + 'static> MapFrames for S {}
}
