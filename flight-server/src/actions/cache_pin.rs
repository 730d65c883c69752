//! `cache.pin`: keeps a dataset decoded in memory.

use std::sync::Arc;

use skein_proto::{CachePinRequest, CachePinResponse};
use tonic::Status;

use crate::{server::State, status};

pub(super) async fn run(state: &Arc<State>, request: CachePinRequest) -> Result<CachePinResponse, Status> {
    let name = super::table(request.schema, request.dataset)?;
    let cached = state.engine.pin(&name).await.map_err(|error| status::from_error(&error))?;
    Ok(CachePinResponse { files: cached.files, bytes: cached.bytes })
}
