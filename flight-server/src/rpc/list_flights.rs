//! ListFlights: the datasets and views that can be read.

use std::sync::Arc;

use arrow_flight::{Criteria, FlightInfo};
use futures::{StreamExt as _, stream};
use skein_flight_sql::Call;
use tonic::Status;

use super::Answers;
use crate::{server::State, status};

/// One FlightInfo per dataset or view whose name matches the criteria.
pub(super) async fn answer(
    state: &Arc<State>,
    call: &Call,
    criteria: &Criteria,
) -> Result<Answers<FlightInfo>, Status> {
    let flights = state.flight_sql.flights(call, &criteria.expression).await;
    let flights = flights.map_err(|error| status::from_error(&error))?;
    Ok(stream::iter(flights.into_iter().map(Ok)).boxed())
}
