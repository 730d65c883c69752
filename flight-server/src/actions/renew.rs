//! `RenewFlightEndpoint`: an endpoint with a ticket that is valid for longer.

use std::sync::Arc;

use arrow_flight::RenewFlightEndpointRequest;
use bytes::Bytes;
use prost::Message as _;
use tonic::{Code, Status};

use crate::{rpc::Caller, server::State, status};

pub(super) fn run(state: &Arc<State>, caller: &Caller, body: &Bytes) -> Result<Vec<Bytes>, Status> {
    let request = RenewFlightEndpointRequest::decode(body.clone()).map_err(|error| {
        status::new(Code::InvalidArgument, format!("the body is not a RenewFlightEndpointRequest: {error}"))
    })?;
    let endpoint = request
        .endpoint
        .ok_or_else(|| status::new(Code::InvalidArgument, "RenewFlightEndpoint came without an endpoint"))?;
    let renewed = state.flight_sql.renew(&caller.session, &endpoint).map_err(|error| status::from_error(&error))?;
    Ok(vec![renewed.encode_to_vec().into()])
}
