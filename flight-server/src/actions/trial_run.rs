//! `trial.run`: measures how fast and how well an index answers an evaluation set.

use std::sync::Arc;

use skein_model::GenerationId;
use skein_proto::{TrialRunRequest, TrialRunResponse};
use skein_query::{IndexKind, IndexSpec, Metric, SearchDefaults, Subject, TrialRequest};
use tonic::{Code, Status};

use crate::{rpc::Caller, server::State, status};

/// Values of ef, nprobe and refine together, at most: each combination is a trial.
const MAX_VALUES: usize = 64;

pub(super) async fn run(
    state: &Arc<State>,
    caller: &Caller,
    request: TrialRunRequest,
) -> Result<TrialRunResponse, Status> {
    let wait = request.wait;
    let wanted = wanted(request)?;
    let job = state.engine.run_trials(wanted, &caller.actor()).await.map_err(|error| status::from_error(&error))?;
    let mut trials = 0;
    if wait {
        let done = state.engine.wait_for_job(job).await.map_err(|error| status::from_error(&error))?;
        let listed = done.result.as_ref().and_then(|result| result.get("trials")?.as_array()).map_or(0, Vec::len);
        trials = u32::try_from(listed).unwrap_or(u32::MAX);
    }
    Ok(TrialRunResponse { job: job.to_string(), trials })
}

fn wanted(request: TrialRunRequest) -> Result<TrialRequest, Status> {
    let wrong = |why: String| status::new(Code::InvalidArgument, why);
    if request.evaluation.is_empty() {
        return Err(wrong("'evaluation' is empty; name an evaluation, evaluation.create makes one".to_owned()));
    }
    let searches = searches(&request)?;
    let evaluation = super::table(request.schema.clone(), request.evaluation)?;
    let parameters = [request.m, request.ef_construction, request.nlist, request.pq_m].iter().any(Option::is_some);
    let is_built = !request.kind.is_empty() || !request.factory.is_empty() || parameters;
    let subject = match (request.index.is_empty(), is_built) {
        (false, true) => {
            let why = "both an index and what to build are given; name an index that is there, or say what to build";
            return Err(wrong(why.to_owned()));
        }
        (false, false) => {
            let generation: Result<Option<GenerationId>, _> = match request.generation.as_str() {
                "" => Ok(None),
                id => id.parse().map(Some),
            };
            let unknown =
                |_| wrong(format!("'{}' is not a generation's id; system.generations lists them", request.generation));
            let name = super::table(request.schema, request.index)?;
            Subject::Index { name, generation: generation.map_err(unknown)? }
        }
        (true, _) if !request.generation.is_empty() => {
            return Err(wrong("'generation' is given without 'index'; name the index that it is of".to_owned()));
        }
        (true, _) => {
            let parameters = (request.m, request.ef_construction, request.nlist, request.pq_m);
            Subject::Build(spec(&request.kind, parameters, request.factory)?)
        }
    };
    Ok(TrialRequest { evaluation, subject, searches })
}

/// What to build. How it measures distances is not said here.
pub(super) fn spec(
    kind: &str,
    (m, ef_construction, nlist, pq_m): (Option<u32>, Option<u32>, Option<u32>, Option<u32>),
    factory: String,
) -> Result<IndexSpec, Status> {
    let kind: IndexKind = match kind {
        "" => IndexKind::Hnsw,
        kind => kind.parse().map_err(|error| status::from_error(&error))?,
    };
    let factory = Some(factory).filter(|factory| !factory.is_empty());
    Ok(IndexSpec { m, ef_construction, nlist, pq_m, factory, ..IndexSpec::new(kind, Metric::L2) })
}

/// Each value of each parameter with each of the others.
fn searches(request: &TrialRunRequest) -> Result<Vec<SearchDefaults>, Status> {
    if request.ef.len() + request.nprobe.len() + request.refine.len() > MAX_VALUES {
        let why = format!("too many values of ef, nprobe and refine; send up to {MAX_VALUES}");
        return Err(status::new(Code::InvalidArgument, why));
    }
    let mut all = vec![SearchDefaults::default()];
    all = each(all, &request.ef, |search, ef| SearchDefaults { ef: Some(ef), ..search });
    all = each(all, &request.nprobe, |search, nprobe| SearchDefaults { nprobe: Some(nprobe), ..search });
    Ok(each(all, &request.refine, |search, refine| SearchDefaults { refine: Some(refine), ..search }))
}

fn each(
    all: Vec<SearchDefaults>,
    values: &[u32],
    with: impl Fn(SearchDefaults, u32) -> SearchDefaults,
) -> Vec<SearchDefaults> {
    if values.is_empty() {
        return all;
    }
    all.iter().flat_map(|search| values.iter().map(|value| with(*search, *value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_goes_with_each_of_the_others() {
        let request = TrialRunRequest { nprobe: vec![1, 2], refine: vec![4, 8, 16], ..TrialRunRequest::default() };
        let all = searches(&request).unwrap();
        assert_eq!(all.len(), 6);
        assert_eq!((all[5].ef, all[5].nprobe, all[5].refine), (None, Some(2), Some(16)));
        assert_eq!(searches(&TrialRunRequest::default()).unwrap(), [SearchDefaults::default()]);
        assert!(searches(&TrialRunRequest { ef: vec![1; 65], ..TrialRunRequest::default() }).is_err());
    }

    #[test]
    fn an_index_is_named_or_built_and_not_both() {
        let request = |change: fn(&mut TrialRunRequest)| {
            let mut request = TrialRunRequest { evaluation: "e".to_owned(), ..TrialRunRequest::default() };
            change(&mut request);
            wanted(request)
        };
        assert!(matches!(request(|_| ()).unwrap().subject, Subject::Build(spec) if spec.kind == IndexKind::Hnsw));
        let named = request(|request| request.index = "i".to_owned()).unwrap().subject;
        assert!(matches!(named, Subject::Index { generation: None, .. }));
        let wrong: [fn(&mut TrialRunRequest); 5] = [
            |request| (request.index, request.m) = ("i".to_owned(), Some(8)),
            |request| request.generation = "01J9ZQ00000000000000000000".to_owned(),
            |request| (request.index, request.generation) = ("i".to_owned(), "x".to_owned()),
            |request| request.kind = "hsnw".to_owned(),
            |request| request.evaluation = String::new(),
        ];
        for wrong in wrong {
            assert_eq!(request(wrong).unwrap_err().code(), Code::InvalidArgument);
        }
    }
}
