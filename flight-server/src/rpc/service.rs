//! The Flight service as tonic sees it. Each RPC is in its own file.

use std::sync::Arc;

use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, HandshakeResponse,
    PollInfo, PutResult, SchemaResult, Ticket, flight_service_server::FlightService,
};
use skein_flight_sql::Call;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{Answers, Caller, do_action, do_exchange, do_put, handshake, info, list_actions, list_flights};
use crate::{server::State, status};

/// The Flight service, except for DoGet, which [`FlightRoutes`](super::FlightRoutes) answers.
#[derive(Clone)]
pub struct FlightApi {
    state: Arc<State>,
}

impl FlightApi {
    /// The service over `state`.
    pub fn new(state: Arc<State>) -> Self {
        Self { state }
    }
}

/// The caller's session, and how this call wants its rows sent.
fn call<T>(request: &Request<T>) -> Result<Call, Status> {
    Caller::of(request)?.call(request.metadata().as_ref())
}

#[async_trait]
impl FlightService for FlightApi {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoExchangeStream = Answers<FlightData>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;

    async fn handshake(
        &self,
        request: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        handshake::answer(&self.state, request).await
    }

    async fn list_flights(&self, request: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        let call = call(&request)?;
        list_flights::answer(&self.state, &call, &request.into_inner()).await.map(Response::new)
    }

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let call = call(&request)?;
        info::flight_info(&self.state, &call, &request.into_inner()).await.map(Response::new)
    }

    async fn poll_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        let call = call(&request)?;
        info::poll(&self.state, &call, &request.into_inner()).await.map(Response::new)
    }

    async fn get_schema(&self, request: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        let call = call(&request)?;
        info::schema(&self.state, &call, &request.into_inner()).await.map(Response::new)
    }

    async fn do_get(&self, _: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        Err(status::internal("DoGet reached the codec although it is routed past it"))
    }

    async fn do_put(&self, request: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        let caller = Caller::of(&request)?;
        do_put::answer(&self.state, caller, request).await.map(Response::new)
    }

    async fn do_exchange(
        &self,
        request: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        let caller = Caller::of(&request)?;
        do_exchange::answer(&self.state, caller, request).await.map(Response::new)
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        let caller = Caller::of(&request)?;
        let call = call(&request)?;
        do_action::answer(&self.state, &caller, &call, &request.into_inner()).await.map(Response::new)
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        Ok(Response::new(list_actions::answer()))
    }
}
