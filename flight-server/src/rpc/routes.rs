//! The Flight service as tower sees it: DoGet is answered below tonic's codec, the rest by tonic.

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
};

use arrow_flight::flight_service_server::FlightServiceServer;
use tonic::{codec::CompressionEncoding, server::NamedService};

use super::{FlightApi, do_get};
use crate::{
    auth::Rpc,
    layers::{HttpRequest, HttpResponse, ResponseFuture},
    server::State,
};

/// Largest message of a handshake, which anybody may send: a name and a password, or nothing. A message is given its memory
/// when its length has been read.
const MAX_HANDSHAKE_BYTES: usize = 64 << 10;

/// All ten RPCs of the Flight service.
#[derive(Clone)]
pub struct FlightRoutes {
    state: Arc<State>,
    codec: FlightServiceServer<FlightApi>,
    handshake: FlightServiceServer<FlightApi>,
}

impl FlightRoutes {
    /// The service over `state`.
    pub fn new(state: Arc<State>) -> Self {
        let handshake =
            FlightServiceServer::new(FlightApi::new(Arc::clone(&state))).max_decoding_message_size(MAX_HANDSHAKE_BYTES);
        let codec = FlightServiceServer::new(FlightApi::new(Arc::clone(&state)))
            .max_decoding_message_size(state.max_message_bytes)
            .max_encoding_message_size(usize::MAX)
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd);
        Self { state, codec, handshake }
    }
}

impl NamedService for FlightRoutes {
    const NAME: &'static str = "arrow.flight.protocol.FlightService";
}

impl tower::Service<HttpRequest> for FlightRoutes {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest) -> Self::Future {
        if request.uri().path() == Rpc::DoGet.path() {
            let state = Arc::clone(&self.state);
            return Box::pin(async move { Ok(do_get::answer(&state, request).await) });
        }
        if request.uri().path() == Rpc::Handshake.path() {
            return tower::Service::call(&mut self.handshake, request);
        }
        tower::Service::call(&mut self.codec, request)
    }
}
