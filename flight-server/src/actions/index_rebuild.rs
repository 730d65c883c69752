//! `index.rebuild`: builds a new generation of an index.

use std::sync::Arc;

use skein_proto::{IndexRebuildRequest, IndexRebuildResponse};
use tonic::Status;

use crate::{rpc::Caller, server::State, status};

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: IndexRebuildRequest,
) -> Result<IndexRebuildResponse, Status> {
    let name = super::table(request.schema, request.name)?;
    let job = state.engine.rebuild_index(&name, request.keep_live, &caller.actor()).await;
    let job = job.map_err(|error| status::from_error(&error))?;
    if request.wait {
        state.engine.wait_for_job(job).await.map_err(|error| status::from_error(&error))?;
    }
    Ok(IndexRebuildResponse { job: job.to_string() })
}
