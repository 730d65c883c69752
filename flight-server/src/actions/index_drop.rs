//! `index.drop`: drops an index and its generations.

use std::sync::Arc;

use skein_model::{ErrorKind, Kind as _};
use skein_proto::{IndexDropRequest, IndexDropResponse};
use tonic::Status;

use crate::{rpc::Caller, server::State, status};

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: IndexDropRequest,
) -> Result<IndexDropResponse, Status> {
    let name = super::table(request.schema, request.name)?;
    match state.engine.drop_index(&name, &caller.actor()).await {
        Ok(()) => Ok(IndexDropResponse { dropped: true }),
        Err(error) if request.if_exists && error.kind() == ErrorKind::NotFound => {
            Ok(IndexDropResponse { dropped: false })
        }
        Err(error) => Err(status::from_error(&error)),
    }
}
