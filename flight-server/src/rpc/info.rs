//! GetFlightInfo, PollFlightInfo and GetSchema: what a descriptor stands for, before any of it is read.

use std::sync::Arc;

use arrow_flight::{FlightDescriptor, FlightInfo, IpcMessage, PollInfo, SchemaAsIpc, SchemaResult};
use arrow_ipc::writer::IpcWriteOptions;
use tonic::Status;

use super::Caller;
use crate::{server::State, status};

/// Plans what the descriptor names and answers with its schema and its tickets.
pub(super) async fn flight_info(
    state: &Arc<State>,
    caller: &Caller,
    descriptor: &FlightDescriptor,
) -> Result<FlightInfo, Status> {
    state.flight_sql.flight_info(&caller.session, descriptor).await.map_err(|error| status::from_error(&error))
}

/// As [`flight_info`]: planning is one step, so the first poll is complete and there is nothing to poll again.
pub(super) async fn poll(
    state: &Arc<State>,
    caller: &Caller,
    descriptor: &FlightDescriptor,
) -> Result<PollInfo, Status> {
    let info = flight_info(state, caller, descriptor).await?;
    Ok(PollInfo { info: Some(info), flight_descriptor: None, progress: Some(1.0), expiration_time: None })
}

/// The schema of what the descriptor names.
pub(super) async fn schema(
    state: &Arc<State>,
    caller: &Caller,
    descriptor: &FlightDescriptor,
) -> Result<SchemaResult, Status> {
    let schema =
        state.flight_sql.schema(&caller.session, descriptor).await.map_err(|error| status::from_error(&error))?;
    let options = IpcWriteOptions::default();
    let message: IpcMessage = SchemaAsIpc::new(&schema, &options)
        .try_into()
        .map_err(|error: arrow_schema::ArrowError| status::internal(&format!("a schema can't be encoded: {error}")))?;
    Ok(SchemaResult { schema: message.0 })
}
