//! `evaluation.create`: makes a set of query vectors whose nearest rows are known.

use std::sync::Arc;

use skein_proto::{EvaluationCreateRequest, EvaluationCreateResponse};
use skein_query::{Metric, NewEvaluationRequest, Queries};
use tonic::{Code, Status};

use crate::{rpc::Caller, server::State, status};

/// Queries that are drawn, and nearest rows of each, when the request does not say.
const DEFAULT_QUERIES: u32 = 100;
const DEFAULT_K: u32 = 10;

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: EvaluationCreateRequest,
) -> Result<EvaluationCreateResponse, Status> {
    let wanted = wanted(request)?;
    let made = state.engine.create_evaluation(wanted, &caller.actor()).await;
    let made = made.map_err(|error| status::from_error(&error))?;
    Ok(EvaluationCreateResponse {
        name: made.name.to_string(),
        queries: made.queries,
        k: made.k,
        dataset_version: made.dataset_version,
        rows: made.rows,
    })
}

fn wanted(request: EvaluationCreateRequest) -> Result<NewEvaluationRequest, Status> {
    let wrong = |why: &str| Err(status::new(Code::InvalidArgument, why.to_owned()));
    if request.name.is_empty() {
        return wrong("'name' is empty; name the evaluation");
    }
    if request.dataset.is_empty() {
        return wrong("'dataset' is empty; name the dataset");
    }
    let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let queries = match (request.queries, request.vectors.is_empty()) {
        (Some(_), false) => return wrong("both 'queries' and 'vectors' are given; say how many to draw, or send them"),
        (count, true) => Queries::Drawn { count: size(count.unwrap_or(DEFAULT_QUERIES)), seed: request.seed },
        (None, false) => Queries::Given(request.vectors.into_iter().map(|vector| vector.values).collect()),
    };
    let metric = match request.metric.as_str() {
        "" => None,
        name => Some(name.parse::<Metric>().map_err(|error| status::from_error(&error))?),
    };
    Ok(NewEvaluationRequest {
        table: super::table(request.schema, request.dataset)?,
        column: Some(request.column).filter(|column| !column.is_empty()),
        name: request.name,
        queries,
        k: size(request.k.unwrap_or(DEFAULT_K)),
        metric,
    })
}
