//! `evaluation.drop`: drops an evaluation set and its trials.

use std::sync::Arc;

use skein_model::{ErrorKind, Kind as _};
use skein_proto::{EvaluationDropRequest, EvaluationDropResponse};
use tonic::Status;

use crate::{rpc::Caller, server::State, status};

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: EvaluationDropRequest,
) -> Result<EvaluationDropResponse, Status> {
    let name = super::table(request.schema, request.name)?;
    match state.engine.drop_evaluation(&name, &caller.actor()).await {
        Ok(()) => Ok(EvaluationDropResponse { dropped: true }),
        Err(error) if request.if_exists && error.kind() == ErrorKind::NotFound => {
            Ok(EvaluationDropResponse { dropped: false })
        }
        Err(error) => Err(status::from_error(&error)),
    }
}
