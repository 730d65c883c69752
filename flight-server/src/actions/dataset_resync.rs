//! `dataset.resync`: restores counts and columns from the Parquet footers.

use std::sync::Arc;

use skein_catalog::{At, Entry, maintenance};
use skein_proto::{DatasetResyncRequest, DatasetResyncResponse};
use tonic::{Code, Status};

use crate::{rpc::Caller, server::State, status};

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: DatasetResyncRequest,
) -> Result<DatasetResyncResponse, Status> {
    let name = super::table(request.schema, request.dataset)?;
    let entry = state.catalog.resolve(&name).await.map_err(|error| status::from_error(&error))?;
    let Entry::Dataset(dataset) = entry else {
        let message = format!("'{name}' is not a dataset; only datasets have files of their own to look at");
        return Err(status::new(Code::InvalidArgument, message));
    };
    let mut actor = caller.actor();
    actor.reason = Some(request.reason).filter(|reason| !reason.is_empty());
    let report = maintenance::resync(&dataset, &actor).await.map_err(|error| status::from_error(&error))?;
    let snapshot = dataset.snapshot(At::Latest).await.map_err(|error| status::from_error(&error))?;
    let corrected = report.corrected.iter().map(|change| format!("{}: {}", change.key, change.detail));
    let problems = report.problems.iter().map(|change| format!("{}: {} (left as it was)", change.key, change.detail));
    Ok(DatasetResyncResponse {
        changed: report.version.is_some(),
        version: snapshot.version,
        rows: snapshot.rows,
        bytes: snapshot.bytes,
        files: snapshot.info.files,
        changes: corrected.chain(problems).collect(),
    })
}
