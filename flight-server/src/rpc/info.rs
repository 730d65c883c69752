//! GetFlightInfo, PollFlightInfo and GetSchema: what a descriptor stands for, before any of it is read.

use std::sync::Arc;

use arrow_flight::{FlightDescriptor, FlightInfo, IpcMessage, PollInfo, SchemaAsIpc, SchemaResult};
use arrow_ipc::writer::IpcWriteOptions;
use skein_flight_sql::Call;
use tonic::Status;

use crate::{server::State, status};

/// Plans what the descriptor names and answers with its schema and its tickets.
pub(super) async fn flight_info(
    state: &Arc<State>,
    call: &Call,
    descriptor: &FlightDescriptor,
) -> Result<FlightInfo, Status> {
    state.flight_sql.flight_info(call, descriptor).await.map_err(|error| status::from_error(&error))
}

/// As [`flight_info`], for a client that would rather ask again than wait: see [`FlightSql::poll`](skein_flight_sql::FlightSql::poll).
pub(super) async fn poll(state: &Arc<State>, call: &Call, descriptor: &FlightDescriptor) -> Result<PollInfo, Status> {
    state.flight_sql.poll(call, descriptor).await.map_err(|error| status::from_error(&error))
}

/// The schema of what the descriptor names.
pub(super) async fn schema(
    state: &Arc<State>,
    call: &Call,
    descriptor: &FlightDescriptor,
) -> Result<SchemaResult, Status> {
    let schema = state.flight_sql.schema(call, descriptor).await.map_err(|error| status::from_error(&error))?;
    let options = IpcWriteOptions::default();
    let message: IpcMessage = SchemaAsIpc::new(&schema, &options)
        .try_into()
        .map_err(|error: arrow_schema::ArrowError| status::internal(&format!("a schema can't be encoded: {error}")))?;
    Ok(SchemaResult { schema: message.0 })
}
