//! `index.rollback`: makes the generation that was live before the live one again.

use std::sync::Arc;

use skein_proto::{IndexRollbackRequest, IndexRollbackResponse};
use tonic::Status;

use crate::{rpc::Caller, server::State, status};

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: IndexRollbackRequest,
) -> Result<IndexRollbackResponse, Status> {
    let name = super::table(request.schema, request.name)?;
    let mut actor = caller.actor();
    actor.reason = Some(request.reason).filter(|reason| !reason.is_empty());
    let outcome = state.engine.roll_back_index(&name, &actor).await;
    let (now, before) = outcome.map_err(|error| status::from_error(&error))?;
    let text = |id: Option<skein_model::GenerationId>| id.map(|id| id.to_string()).unwrap_or_default();
    Ok(IndexRollbackResponse { generation: text(now), before: text(before) })
}
