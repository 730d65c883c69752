//! `worker.register`: a worker makes itself known, and says later that it is still there or that it ends.

use std::{sync::Arc, time::Duration};

use skein_proto::{WorkerRegisterRequest, WorkerRegisterResponse};
use tonic::{Code, Status};

use crate::{
    cluster::{Registration, VERSION, worker_url},
    server::State,
    status,
};

/// Heartbeats that come faster than this are taken for this.
const FASTEST: Duration = Duration::from_millis(100);

pub(super) async fn run(state: &Arc<State>, request: WorkerRegisterRequest) -> Result<WorkerRegisterResponse, Status> {
    let url = worker_url(&request.url).ok_or_else(|| {
        let message = format!("{:?} is no URL of a worker; give one such as grpc://host:8815", request.url);
        status::new(Code::InvalidArgument, message)
    })?;
    let registered = WorkerRegisterResponse { version: VERSION.to_owned() };
    if request.leaving {
        state.members.leaves(&url);
        return Ok(registered);
    }
    check(state, &request)?;
    let heartbeat = Duration::from_millis(request.heartbeat_ms).max(FASTEST);
    let worker = Registration { url, version: request.version, tasks: request.running_tasks, heartbeat };
    if state.members.heard_of(worker) {
        return Ok(registered);
    }
    Err(status::new(Code::ResourceExhausted, "too many workers have registered with this server"))
}

/// Refuses a worker that would read a plan in another way, or could not read the data.
fn check(state: &State, request: &WorkerRegisterRequest) -> Result<(), Status> {
    if request.version != VERSION {
        let message = format!(
            "the worker is of version {:?} and this server of {VERSION}; run the same version on all servers of a cluster",
            request.version
        );
        return Err(status::new(Code::FailedPrecondition, message));
    }
    let missing: Vec<_> = state
        .catalog
        .buckets()
        .all()
        .into_iter()
        .map(|bucket| bucket.name().to_owned())
        .filter(|name| !request.buckets.contains(name))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let message = format!("the worker has no bucket {}; give it the same [storage] as this server", missing.join(", "));
    Err(status::new(Code::FailedPrecondition, message))
}
