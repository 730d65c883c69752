//! `BeginTransaction`, `EndTransaction`, `BeginSavepoint` and `EndSavepoint`.

use std::sync::Arc;

use arrow_flight::sql::{
    ActionBeginSavepointRequest, ActionBeginSavepointResult, ActionBeginTransactionRequest,
    ActionBeginTransactionResult, ActionEndSavepointRequest, ActionEndTransactionRequest, EndTransaction,
    ProstMessageExt as _,
};
use bytes::Bytes;
use prost::Message as _;
use tonic::{Code, Status};

use super::prepared::unpack;
use crate::{rpc::Caller, server::State, status};

pub(super) fn begin(state: &Arc<State>, caller: &Caller, body: &Bytes) -> Result<Vec<Bytes>, Status> {
    let ActionBeginTransactionRequest {} = unpack(body, "ActionBeginTransactionRequest")?;
    let begun = state.flight_sql.begin_transaction(&caller.session);
    let transaction_id = begun.map_err(|error| status::from_error(&error))?;
    Ok(vec![ActionBeginTransactionResult { transaction_id }.as_any().encode_to_vec().into()])
}

pub(super) async fn end(state: &Arc<State>, caller: &Caller, body: &Bytes) -> Result<Vec<Bytes>, Status> {
    let request: ActionEndTransactionRequest = unpack(body, "ActionEndTransactionRequest")?;
    let commit = match request.action() {
        EndTransaction::Commit => true,
        EndTransaction::Rollback => false,
        EndTransaction::Unspecified => return Err(unspecified("EndTransaction", "COMMIT or ROLLBACK")),
    };
    let ended = state.flight_sql.end_transaction(&caller.session, &request.transaction_id, commit).await;
    ended.map_err(|error| status::from_error(&error))?;
    Ok(Vec::new())
}

pub(super) fn begin_savepoint(state: &Arc<State>, caller: &Caller, body: &Bytes) -> Result<Vec<Bytes>, Status> {
    let request: ActionBeginSavepointRequest = unpack(body, "ActionBeginSavepointRequest")?;
    let set = state.flight_sql.begin_savepoint(&caller.session, &request.transaction_id, &request.name);
    let savepoint_id = set.map_err(|error| status::from_error(&error))?;
    Ok(vec![ActionBeginSavepointResult { savepoint_id }.as_any().encode_to_vec().into()])
}

pub(super) fn end_savepoint(state: &Arc<State>, caller: &Caller, body: &Bytes) -> Result<Vec<Bytes>, Status> {
    let request: ActionEndSavepointRequest = unpack(body, "ActionEndSavepointRequest")?;
    // arrow-flight does not export the enumeration.
    let release = match request.action {
        1 => true,
        2 => false,
        _ => return Err(unspecified("EndSavepoint", "RELEASE or ROLLBACK")),
    };
    let ended = state.flight_sql.end_savepoint(&caller.session, &request.savepoint_id, release);
    ended.map_err(|error| status::from_error(&error))?;
    Ok(Vec::new())
}

fn unspecified(action: &str, choices: &str) -> Status {
    status::new(Code::InvalidArgument, format!("{action} does not say what to do; set its action to {choices}"))
}
