//! `dataset.gc`: removes orphaned files older than a grace time.

use std::{sync::Arc, time::Duration};

use skein_proto::{DatasetGcRequest, DatasetGcResponse};
use tonic::Status;

use crate::{server::State, status};

/// Most keys in one answer.
const MAX_KEYS: usize = 1000;

pub(super) async fn run(state: &Arc<State>, request: DatasetGcRequest) -> Result<DatasetGcResponse, Status> {
    let grace = request.grace_seconds.map_or(state.catalog.options().gc_grace, Duration::from_secs);
    let report = state.collect_garbage(grace, request.dry_run).await.map_err(|error| status::from_error(&error))?;
    Ok(DatasetGcResponse {
        removed_files: report.removed.len() as u64,
        removed_bytes: report.bytes,
        kept_files: report.kept_young,
        dry_run: report.dry_run,
        removed: report.removed.into_iter().take(MAX_KEYS).map(|garbage| garbage.key).collect(),
    })
}
