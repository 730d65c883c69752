//! `dataset.compact`: merges small files and drops deleted rows.

use std::sync::Arc;

use skein_catalog::{At, Entry};
use skein_proto::{DatasetCompactRequest, DatasetCompactResponse};
use tonic::Status;

use crate::{rpc::Caller, server::State, status};

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: DatasetCompactRequest,
) -> Result<DatasetCompactResponse, Status> {
    let name = super::table(request.schema, request.dataset)?;
    let mut actor = caller.actor();
    actor.reason = Some(request.reason).filter(|reason| !reason.is_empty());
    let done = state.engine.compact(&name, &actor).await.map_err(|error| status::from_error(&error))?;
    let version = match (done.version, state.catalog.resolve(&name).await) {
        (Some(version), _) => version,
        (None, Ok(Entry::Dataset(dataset))) => {
            dataset.snapshot(At::Latest).await.map_err(|error| status::from_error(&error))?.version
        }
        (None, Ok(_)) => 0,
        (None, Err(error)) => return Err(status::from_error(&error)),
    };
    Ok(DatasetCompactResponse {
        changed: done.version.is_some(),
        version,
        files_before: done.files_before,
        files_after: done.files_after,
        bytes_before: done.bytes_before,
        bytes_after: done.bytes_after,
        rows: done.rows,
        deleted_rows: done.deleted_rows,
    })
}
