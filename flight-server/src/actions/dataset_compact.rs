//! `dataset.compact`: merges small files and drops deleted rows. Whoever wants to know how far it is gets a result now and then
//! before the last one.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, future, stream};
use skein_catalog::{Actor, At, Entry};
use skein_model::TableName;
use skein_proto::{
    CompactionProgress, DatasetCompactRequest, DatasetCompactResponse,
    body::{self, BodyEncoding},
};
use skein_query::CompactionOptions;
use tokio::task::JoinHandle;
use tokio_util::sync::DropGuard;
use tonic::{Code, Status};

use super::Bodies;
use crate::{rpc::Caller, server::State, status};

/// How often progress is told.
const EVERY: Duration = Duration::from_millis(250);

type Outcome = Result<DatasetCompactResponse, Status>;

pub(super) async fn run(state: &Arc<State>, caller: &Caller, request: &[u8]) -> Result<Bodies, Status> {
    let (request, encoding) =
        body::decode::<DatasetCompactRequest>(request).map_err(|error| status::from_error(&error))?;
    let name = super::table(request.schema, request.dataset)?;
    let mut actor = caller.actor();
    actor.reason = Some(request.reason).filter(|reason| !reason.is_empty());
    let options = CompactionOptions::default();
    let work = tokio::spawn(compact(Arc::clone(state), name, actor, options.clone()));
    // A client that goes ends it.
    let telling = Telling { work, _guard: options.stop.clone().drop_guard(), options, told: 0 };
    if request.progress {
        let answers = stream::unfold(Some(telling), |telling| async { Some(telling?.next().await) });
        return Ok(answers.map(move |outcome| encode(outcome, encoding)).boxed());
    }
    let Telling { mut work, _guard, .. } = telling;
    let answer = encode(joined((&mut work).await), encoding)?;
    Ok(stream::once(future::ready(Ok(answer))).boxed())
}

/// A compaction whose client wants to know how far it is.
struct Telling {
    work: JoinHandle<Outcome>,
    options: CompactionOptions,
    told: u64,
    _guard: DropGuard,
}

impl Telling {
    /// The next result, and what comes after it.
    async fn next(mut self) -> (Outcome, Option<Self>) {
        let pause = if self.told == 0 { Duration::ZERO } else { EVERY };
        tokio::select! {
            outcome = &mut self.work => (joined(outcome), None),
            () = tokio::time::sleep(pause) => {
                self.told += 1;
                let progress = Some(self.progress());
                (Ok(DatasetCompactResponse { progress, ..DatasetCompactResponse::default() }), Some(self))
            }
        }
    }

    fn progress(&self) -> CompactionProgress {
        let so_far = self.options.progress.so_far();
        CompactionProgress {
            state: so_far.state.as_str().to_owned(),
            attempt: so_far.attempt,
            files: so_far.files,
            files_done: so_far.files_done,
            rows: so_far.rows,
            rows_done: so_far.rows_done,
        }
    }
}

async fn compact(state: Arc<State>, name: TableName, actor: Actor, options: CompactionOptions) -> Outcome {
    let done = state.engine.compact_with(&name, &actor, &options).await.map_err(|error| status::from_error(&error))?;
    state.flight_sql.note_change();
    let version = match (done.version, state.catalog.resolve(&name).await) {
        (Some(version), _) => version,
        (None, Ok(Entry::Dataset(dataset))) => {
            dataset.snapshot(At::Latest).await.map_err(|error| status::from_error(&error))?.version
        }
        (None, Ok(_)) => 0,
        (None, Err(error)) => return Err(status::from_error(&error)),
    };
    Ok(DatasetCompactResponse {
        changed: done.version.is_some(),
        version,
        files_before: done.files_before,
        files_after: done.files_after,
        bytes_before: done.bytes_before,
        bytes_after: done.bytes_after,
        rows: done.rows,
        deleted_rows: done.deleted_rows,
        progress: None,
    })
}

fn joined(outcome: Result<Outcome, tokio::task::JoinError>) -> Outcome {
    outcome.unwrap_or_else(|error| Err(status::new(Code::Internal, format!("the compaction ended early: {error}"))))
}

fn encode(outcome: Outcome, encoding: BodyEncoding) -> Result<Bytes, Status> {
    body::encode(&outcome?, encoding).map_err(|error| status::from_error(&error))
}
