//! `index.promote`: makes a generation of an index the live one.

use std::sync::Arc;

use skein_model::GenerationId;
use skein_proto::{IndexPromoteRequest, IndexPromoteResponse};
use tonic::{Code, Status};

use crate::{rpc::Caller, server::State, status};

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: IndexPromoteRequest,
) -> Result<IndexPromoteResponse, Status> {
    let name = super::table(request.schema, request.name)?;
    let generation: GenerationId = request.generation.parse().map_err(|_| {
        let message = format!("'{}' is not a generation's id; system.generations lists them", request.generation);
        status::new(Code::InvalidArgument, message)
    })?;
    let mut actor = caller.actor();
    actor.reason = Some(request.reason).filter(|reason| !reason.is_empty());
    let before = state.engine.promote_index(&name, generation, &actor).await;
    let before = before.map_err(|error| status::from_error(&error))?;
    Ok(IndexPromoteResponse {
        generation: generation.to_string(),
        before: before.map(|id| id.to_string()).unwrap_or_default(),
    })
}
