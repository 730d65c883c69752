//! `bucket.probe`: finds out whether a bucket can be read and safely written.

use std::sync::Arc;

use skein_proto::{BucketProbeRequest, BucketProbeResponse};
use tonic::Status;

use crate::{server::State, status};

/// An object that every bucket in use may have; whether it does is not the question.
const FORMAT_KEY: &str = "_skein/format.json";

pub(super) async fn run(state: &Arc<State>, request: BucketProbeRequest) -> Result<BucketProbeResponse, Status> {
    let buckets = state.catalog.buckets();
    let bucket = if request.bucket.is_empty() {
        buckets.default_bucket()
    } else {
        buckets.get(&request.bucket).map_err(|error| status::from_error(&error))?
    };
    let read = bucket.get_opt(FORMAT_KEY).await;
    let unwritable = match bucket.probe().await {
        Ok(report) => report.reason,
        Err(error) => Some(error.to_string()),
    };
    let writable = unwritable.is_none();
    let unreadable = read.as_ref().err().map(ToString::to_string);
    Ok(BucketProbeResponse {
        bucket: bucket.name().to_owned(),
        url: bucket.url().to_owned(),
        readable: read.is_ok(),
        writable,
        reason: unreadable.into_iter().chain(unwritable).collect::<Vec<_>>().join("; "),
    })
}
