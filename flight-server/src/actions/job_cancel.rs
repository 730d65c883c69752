//! `job.cancel`: ends a job; one's own, or anyone's for an administrator.

use std::sync::Arc;

use skein_model::JobId;
use skein_proto::{JobCancelRequest, JobCancelResponse};
use tonic::{Code, Status};

use crate::{rpc::Caller, server::State, status};

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: JobCancelRequest,
) -> Result<JobCancelResponse, Status> {
    let id: JobId = request.job.parse().map_err(|_| {
        let message = format!("'{}' is not a job's id; system.jobs lists them", request.job);
        status::new(Code::InvalidArgument, message)
    })?;
    let jobs = state.catalog.jobs();
    let job = jobs.get(id).await.map_err(|error| status::from_error(&error))?;
    caller.identity.require_self_or_admin(&job.principal, "cancelling somebody else's job")?;
    let over = job.state.is_over();
    jobs.request_cancel(id, &caller.actor()).await.map_err(|error| status::from_error(&error))?;
    Ok(JobCancelResponse { cancelling: !over })
}
