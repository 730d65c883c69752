//! `dataset.expire`: gives old versions up.

use std::{sync::Arc, time::Duration};

use skein_catalog::{At, Entry, Retention};
use skein_proto::{DatasetExpireRequest, DatasetExpireResponse};
use tonic::{Code, Status};

use crate::{rpc::Caller, server::State, status};

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: DatasetExpireRequest,
) -> Result<DatasetExpireResponse, Status> {
    let name = super::table(request.schema, request.dataset)?;
    let entry = state.catalog.resolve(&name).await.map_err(|error| status::from_error(&error))?;
    let Entry::Dataset(dataset) = entry else {
        let message = format!("'{name}' is not a dataset; only datasets have versions");
        return Err(status::new(Code::InvalidArgument, message));
    };
    let mut actor = caller.actor();
    actor.reason = Some(request.reason).filter(|reason| !reason.is_empty());
    let keep_age = request.keep_seconds.map(Duration::from_secs);
    let retention = Retention { keep_versions: request.keep_versions, keep_age };
    let expired =
        dataset.expire(retention, request.dry_run, &actor).await.map_err(|error| status::from_error(&error))?;
    if expired.version.is_some() {
        state.metrics.versions_expired(expired.count);
    }
    let current = dataset.snapshot(At::Latest).await.map_err(|error| status::from_error(&error))?;
    Ok(DatasetExpireResponse {
        changed: expired.version.is_some(),
        version: current.version,
        oldest_version: expired.oldest,
        expired_versions: expired.count,
        dry_run: request.dry_run,
    })
}
