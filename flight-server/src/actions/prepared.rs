//! `CreatePreparedStatement`, `CreatePreparedSubstraitPlan` and `ClosePreparedStatement`.

use std::sync::Arc;

use arrow_flight::sql::{
    ActionClosePreparedStatementRequest, ActionCreatePreparedStatementRequest,
    ActionCreatePreparedSubstraitPlanRequest, Any, ProstMessageExt,
};
use bytes::Bytes;
use prost::Message as _;
use skein_flight_sql::Call;
use tonic::{Code, Status};

use crate::{rpc::Caller, server::State, status};

pub(super) async fn create(state: &Arc<State>, call: &Call, body: &Bytes) -> Result<Vec<Bytes>, Status> {
    let request: ActionCreatePreparedStatementRequest = unpack(body, "ActionCreatePreparedStatementRequest")?;
    let transaction = request.transaction_id.unwrap_or_default();
    let call = state.flight_sql.within(call, &transaction).map_err(|error| status::from_error(&error))?;
    let prepared =
        state.flight_sql.create_prepared(&call, &request.query).await.map_err(|error| status::from_error(&error))?;
    Ok(vec![prepared.as_any().encode_to_vec().into()])
}

pub(super) async fn create_substrait(state: &Arc<State>, call: &Call, body: &Bytes) -> Result<Vec<Bytes>, Status> {
    let request: ActionCreatePreparedSubstraitPlanRequest = unpack(body, "ActionCreatePreparedSubstraitPlanRequest")?;
    let transaction = request.transaction_id.unwrap_or_default();
    let call = state.flight_sql.within(call, &transaction).map_err(|error| status::from_error(&error))?;
    let prepared = state.flight_sql.create_prepared_substrait(&call, request.plan).await;
    let prepared = prepared.map_err(|error| status::from_error(&error))?;
    Ok(vec![prepared.as_any().encode_to_vec().into()])
}

pub(super) async fn close(state: &Arc<State>, caller: &Caller, body: &Bytes) -> Result<Vec<Bytes>, Status> {
    let request: ActionClosePreparedStatementRequest = unpack(body, "ActionClosePreparedStatementRequest")?;
    state
        .flight_sql
        .close_prepared(&caller.session, &request.prepared_statement_handle)
        .await
        .map_err(|error| status::from_error(&error))?;
    Ok(Vec::new())
}

/// A Flight SQL message out of the `google.protobuf.Any` that it travels in.
pub(crate) fn unpack<T: ProstMessageExt>(body: &Bytes, message: &str) -> Result<T, Status> {
    let wrong = |why: String| status::new(Code::InvalidArgument, format!("the body is not a {message}: {why}"));
    let any = Any::decode(body.clone()).map_err(|error| wrong(error.to_string()))?;
    any.unpack::<T>()
        .map_err(|error| wrong(error.to_string()))?
        .ok_or_else(|| wrong(format!("it holds a '{}'", any.type_url)))
}
