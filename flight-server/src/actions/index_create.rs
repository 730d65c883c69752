//! `index.create`: makes an index of a column of vectors or texts, and builds it.

use std::sync::Arc;

use skein_proto::{IndexCreateRequest, IndexCreateResponse};
use skein_query::{IndexKind, IndexSpec, Metric, NewIndexRequest, TextSpec};
use tonic::Status;

use crate::{rpc::Caller, server::State, status};

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: IndexCreateRequest,
) -> Result<IndexCreateResponse, Status> {
    let wait = request.wait;
    let wanted = wanted(request)?;
    let created =
        state.engine.create_index(wanted, &caller.actor()).await.map_err(|error| status::from_error(&error))?;
    if let (true, Some(job)) = (wait, created.job) {
        state.engine.wait_for_job(job).await.map_err(|error| status::from_error(&error))?;
    }
    Ok(IndexCreateResponse {
        created: created.created,
        name: created.name.to_string(),
        job: created.job.map(|job| job.to_string()).unwrap_or_default(),
    })
}

fn wanted(request: IndexCreateRequest) -> Result<NewIndexRequest, Status> {
    let kind = match request.kind.as_str() {
        "" => Ok(IndexKind::Hnsw),
        kind => kind.parse(),
    };
    let metric = match request.metric.as_str() {
        "" => Ok(Metric::L2),
        metric => metric.parse(),
    };
    let mut spec = IndexSpec::new(
        kind.map_err(|error| status::from_error(&error))?,
        metric.map_err(|error| status::from_error(&error))?,
    );
    (spec.m, spec.ef_construction) = (request.m, request.ef_construction);
    (spec.nlist, spec.pq_m) = (request.nlist, request.pq_m);
    if !spec.kind.is_of_vectors() {
        let mut words = TextSpec::default();
        if !request.language.is_empty() {
            words.language =
                request.language.parse().map_err(|error: skein_query::TextError| status::from_error(&error))?;
        }
        spec.words = Some(words);
    }
    spec.factory = Some(request.factory).filter(|factory| !factory.is_empty());
    Ok(NewIndexRequest {
        table: super::table(request.schema, request.dataset)?,
        column: request.column,
        name: Some(request.name).filter(|name| !name.is_empty()),
        spec,
        model: Some(request.model).filter(|model| !model.is_empty()),
        if_not_exists: request.if_not_exists,
    })
}
