//! One span, one log line and the metrics of each request: name, principal, duration, status, bytes both ways.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::{Code, Status, body::Body};
use tracing::{Instrument as _, Span};
use ulid::Ulid;

use super::{Around, HttpRequest, Inner, ResponseFuture};
use crate::{
    auth::{Identity, Rpc},
    server::{Call, InFlight},
    telemetry::{self, Metrics, remote_parent},
};

/// Adds the request log and the request metrics to a service.
#[derive(Debug, Clone)]
pub struct Log {
    metrics: Arc<Metrics>,
    in_flight: InFlight,
}

impl Log {
    /// Counts into `metrics`, and the calls that a drain waits for into `in_flight`.
    pub fn new(metrics: Arc<Metrics>, in_flight: InFlight) -> Self {
        Self { metrics, in_flight }
    }
}

impl Around for Log {
    fn answer<S: Inner>(&self, mut inner: S, request: HttpRequest) -> ResponseFuture {
        let known = Rpc::from_path(request.uri().path());
        let rpc = known.map_or("unknown", Rpc::name);
        let metrics = Arc::clone(&self.metrics);
        let span = tracing::info_span!("rpc", rpc, request = %Ulid::new());
        remote_parent(&span, request.headers());
        let call = known.is_some_and(Rpc::is_work).then(|| self.in_flight.begin());
        let record = Record::start(rpc, Arc::clone(&metrics), span.clone(), call);
        let request = request.map(|body| Body::new(ReceivedBody { inner: body, metrics }));
        let answer = async move {
            let mut record = record;
            let response = match inner.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            record.principal = response.extensions().get::<Identity>().map(|id| id.principal.name.clone());
            record.code = response.headers().get("grpc-status").map(|value| Code::from_bytes(value.as_bytes()));
            Ok(response.map(|inner| Body::new(SentBody { inner, record })))
        };
        Box::pin(answer.instrument(span))
    }
}

/// What is known of a request; it is written when the request is over, also when its client went away.
struct Record {
    rpc: &'static str,
    started: Instant,
    metrics: Arc<Metrics>,
    span: Span,
    principal: Option<String>,
    code: Option<Code>,
    sent: u64,
    /// Held while the call runs; a drain waits for it.
    _call: Option<Call>,
}

impl Record {
    fn start(rpc: &'static str, metrics: Arc<Metrics>, span: Span, call: Option<Call>) -> Self {
        metrics.rpc_started(rpc);
        Self { rpc, started: Instant::now(), metrics, span, principal: None, code: None, sent: 0, _call: call }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // No status by the time the body is dropped: the client reset the stream or its connection ended.
        let code = self.code.unwrap_or(Code::Cancelled);
        let elapsed = self.started.elapsed();
        self.metrics.rpc_finished(self.rpc, code, elapsed);
        self.metrics.sent_bytes(self.sent);
        let _entered = self.span.enter();
        let (principal, ms) = (self.principal.as_deref().unwrap_or("-"), elapsed.as_secs_f64() * 1e3);
        telemetry::outcome(&self.span, principal, code);
        match code {
            Code::Ok => tracing::info!(principal, code = ?code, ms, sent_bytes = self.sent, "answered"),
            _ => tracing::warn!(principal, code = ?code, ms, sent_bytes = self.sent, "answered"),
        }
    }
}

struct SentBody {
    inner: Body,
    record: Record,
}

impl http_body::Body for SentBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let _entered = this.record.span.enter();
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    this.record.sent += data.len() as u64;
                } else if let Some(trailers) = frame.trailers_ref() {
                    this.record.code = trailers.get("grpc-status").map(|value| Code::from_bytes(value.as_bytes()));
                }
            }
            Poll::Ready(Some(Err(status))) => this.record.code = Some(status.code()),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

struct ReceivedBody {
    inner: Body,
    metrics: Arc<Metrics>,
}

impl http_body::Body for ReceivedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.metrics.received_bytes(data.len() as u64);
                }
            }
            // tonic takes a CANCELLED request stream for one that ended well, and half an upload for a whole one.
            Poll::Ready(Some(Err(status))) if status.code() == Code::Cancelled => {
                return Poll::Ready(Some(Err(Status::aborted("the client ended its stream before it was complete"))));
            }
            Poll::Ready(_) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::stream;
    use http_body_util::{BodyExt as _, StreamBody};
    use tower::{Layer as _, Service as _, service_fn};

    use super::*;
    use crate::layers::Layer;

    #[tokio::test]
    async fn a_cancelled_upload_is_not_one_that_ended() {
        let gone = stream::iter([Ok(Frame::data(Bytes::from_static(b"half"))), Err(Status::cancelled("reset"))]);
        let inner = Body::new(StreamBody::new(gone));
        let received = ReceivedBody { inner, metrics: Arc::new(Metrics::new()) };
        let error = received.collect().await.unwrap_err();
        assert_eq!(error.code(), Code::Aborted);
    }

    #[tokio::test]
    async fn a_request_is_counted_with_its_code_when_its_body_ends() {
        let metrics = Arc::new(Metrics::new());
        let mut service =
            Layer(Log::new(Arc::clone(&metrics), InFlight::default())).layer(service_fn(|_: HttpRequest| async {
                Ok::<_, Infallible>(Status::not_found("no such table").into_http())
            }));
        let request = http::Request::builder()
            .uri("/arrow.flight.protocol.FlightService/GetFlightInfo")
            .body(Body::empty())
            .unwrap();
        let response = service.call(request).await.unwrap();
        drop(response.into_body().collect().await.unwrap());
        let text = metrics.render();
        assert!(text.contains(r#"skein_rpc_total{rpc="GetFlightInfo",code="NotFound"} 1"#), "{text}");
    }
}
