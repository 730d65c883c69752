//! `index.autotune`: tries ways to build and to search an index, and takes the best one if it beats the live one.

use std::{sync::Arc, time::Duration};

use skein_proto::{IndexAutotuneRequest, IndexAutotuneResponse, TuneCandidate};
use skein_query::AutotuneRequest;
use tonic::Status;

use super::trial_run::spec;
use crate::{rpc::Caller, server::State, status};

/// What is asked for when the request does not say.
const DEFAULT_RECALL: f64 = 0.95;
const DEFAULT_SECONDS: u32 = 600;

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: IndexAutotuneRequest,
) -> Result<IndexAutotuneResponse, Status> {
    let wait = request.wait;
    let wanted = wanted(request)?;
    let job = state.engine.autotune_index(wanted, &caller.actor()).await.map_err(|error| status::from_error(&error))?;
    let mut result = String::new();
    if wait {
        let done = state.engine.wait_for_job(job).await.map_err(|error| status::from_error(&error))?;
        result = done.result.map(|result| result.to_string()).unwrap_or_default();
    }
    Ok(IndexAutotuneResponse { job: job.to_string(), result })
}

fn wanted(request: IndexAutotuneRequest) -> Result<AutotuneRequest, Status> {
    let evaluation = match request.evaluation.as_str() {
        "" => None,
        name => Some(super::table(request.schema.clone(), name.to_owned())?),
    };
    let candidate = |candidate: TuneCandidate| {
        let parameters = (candidate.m, candidate.ef_construction, candidate.nlist, candidate.pq_m);
        spec(&candidate.kind, parameters, candidate.factory)
    };
    Ok(AutotuneRequest {
        index: super::table(request.schema, request.name)?,
        evaluation,
        recall_floor: request.recall_floor.unwrap_or(DEFAULT_RECALL),
        time: Duration::from_secs(request.max_seconds.unwrap_or(DEFAULT_SECONDS).into()),
        memory: request.max_memory,
        candidates: request.candidates.into_iter().map(candidate).collect::<Result<_, _>>()?,
        dry_run: request.dry_run,
    })
}
