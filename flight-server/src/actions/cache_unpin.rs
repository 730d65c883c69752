//! `cache.unpin`: lets a pinned dataset make room again.

use std::sync::Arc;

use skein_proto::{CacheUnpinRequest, CacheUnpinResponse};
use tonic::Status;

use crate::{server::State, status};

pub(super) async fn run(state: &Arc<State>, request: CacheUnpinRequest) -> Result<CacheUnpinResponse, Status> {
    let name = super::table(request.schema, request.dataset)?;
    let unpinned = state.engine.unpin(&name).await.map_err(|error| status::from_error(&error))?;
    Ok(CacheUnpinResponse { unpinned })
}
