//! `CancelFlightInfo` and `CancelQuery`: end what runs for the tickets of a FlightInfo.

use std::sync::Arc;

use arrow_flight::{
    CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightInfo,
    sql::{ActionCancelQueryRequest, ActionCancelQueryResult, ProstMessageExt as _},
};
use bytes::Bytes;
use prost::Message as _;
use skein_flight_sql::CancelOutcome;
use tonic::{Code, Status};

use super::prepared::unpack;
use crate::{rpc::Caller, server::State, status};

pub(super) async fn flight_info(state: &Arc<State>, caller: &Caller, body: &Bytes) -> Result<Vec<Bytes>, Status> {
    let request =
        CancelFlightInfoRequest::decode(body.clone()).map_err(|error| unreadable("CancelFlightInfoRequest", &error))?;
    let info =
        request.info.ok_or_else(|| status::new(Code::InvalidArgument, "CancelFlightInfo came without a FlightInfo"))?;
    let outcome = cancel(state, caller, &info).await?;
    Ok(vec![CancelFlightInfoResult { status: outcome.into() }.encode_to_vec().into()])
}

pub(super) async fn query(state: &Arc<State>, caller: &Caller, body: &Bytes) -> Result<Vec<Bytes>, Status> {
    let request: ActionCancelQueryRequest = unpack(body, "ActionCancelQueryRequest")?;
    let info = FlightInfo::decode(request.info).map_err(|error| unreadable("FlightInfo", &error))?;
    // The two enumerations have the same numbers.
    let result = ActionCancelQueryResult { result: cancel(state, caller, &info).await?.into() };
    Ok(vec![result.as_any().encode_to_vec().into()])
}

async fn cancel(state: &Arc<State>, caller: &Caller, info: &FlightInfo) -> Result<CancelStatus, Status> {
    match state.flight_sql.cancel(&caller.session, info).await.map_err(|error| status::from_error(&error))? {
        CancelOutcome::Cancelled => Ok(CancelStatus::Cancelled),
        CancelOutcome::NotCancellable => Ok(CancelStatus::NotCancellable),
    }
}

fn unreadable(message: &str, error: &prost::DecodeError) -> Status {
    status::new(Code::InvalidArgument, format!("the body is not a {message}: {error}"))
}
