//! DoPut: rows of a dataset (PATH), a file (CMD IngestFile), or a Flight SQL command.
//!
//! While rows come in, the client gets a PutResult about every second; the last one carries the snapshot's version. Nothing
//! is visible before that one, and nothing at all when the client goes away: the work ends with the call.

use std::{sync::Arc, time::Duration};

use arrow_flight::{FlightData, PutResult, flight_descriptor::DescriptorType};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use skein_flight_sql::{Error as SqlError, FlightSql, PutStream};
use skein_ingest::{IngestReport, IngestTarget, Progress};
use skein_model::TableName;
use skein_proto::{IngestFile, PutMetadata};
use tokio::{sync::watch, time::Instant};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Request, Status, Streaming, metadata::MetadataMap};

use super::{Answers, Caller, incoming::Incoming};
use crate::{
    ingest_bridge::{self, put_metadata},
    server::State,
    status,
};

/// How often the client hears how far its rows are.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Headers with which a client without commands (plain pyarrow) says more about a PATH upload.
const MODE_HEADER: &str = "skein-ingest-mode";
const BUCKET_HEADER: &str = "skein-bucket";
const KEY_HEADER: &str = "skein-idempotency-key";

/// Starts the upload and answers with its progress.
pub(super) async fn answer(
    state: &Arc<State>,
    caller: Caller,
    request: Request<Streaming<FlightData>>,
) -> Result<Answers<PutResult>, Status> {
    let (metadata, _, messages) = request.into_parts();
    let incoming = Incoming::open(messages, state.max_message_bytes).await?;
    match incoming.descriptor.r#type() {
        DescriptorType::Path => path(state, caller, &metadata, incoming).await,
        DescriptorType::Cmd => command(state, caller, &metadata, incoming).await,
        DescriptorType::Unknown => Err(status::new(
            Code::InvalidArgument,
            "the descriptor is neither a path nor a command; name a dataset with a path such as [\"flights\"]",
        )),
    }
}

async fn path(
    state: &Arc<State>,
    caller: Caller,
    metadata: &MetadataMap,
    mut incoming: Incoming,
) -> Result<Answers<PutResult>, Status> {
    let name = TableName::from_path(&incoming.descriptor.path).map_err(|error| status::from_error(&error))?;
    let header = |key: &str| metadata.get(key).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mode = ingest_bridge::mode(header(MODE_HEADER).as_deref())?;
    let target = IngestTarget { name, mode, bucket: header(BUCKET_HEADER) };
    let key = header(KEY_HEADER);
    let schema = incoming.schema().await?;
    let state = Arc::clone(state);
    Ok(with_progress(REPORT_EVERY, move |progress| async move {
        let batches = ingest_bridge::sourced(incoming.batches());
        let report = state.ingest.batches(&caller, target, schema, batches, key, progress).await?;
        done(&state, &report)
    }))
}

async fn command(
    state: &Arc<State>,
    caller: Caller,
    metadata: &MetadataMap,
    incoming: Incoming,
) -> Result<Answers<PutResult>, Status> {
    if FlightSql::handles_put(&incoming.descriptor) {
        return sql(state, &caller, metadata, incoming).await;
    }
    match IngestFile::decode(&incoming.descriptor.cmd).map_err(|error| status::from_error(&error))? {
        Some(file) => Ok(self::file(state, caller, file, incoming)),
        // Flight SQL knows how to name what it does not do.
        None => sql(state, &caller, metadata, incoming).await,
    }
}

fn file(state: &Arc<State>, caller: Caller, file: IngestFile, mut incoming: Incoming) -> Answers<PutResult> {
    let state = Arc::clone(state);
    with_progress(REPORT_EVERY, move |progress| async move {
        let schema = incoming.schema().await?;
        let chunks = ingest_bridge::chunks(&schema, incoming.batches())?;
        let report = state.ingest.file(&caller, file, chunks, progress).await?;
        done(&state, &report)
    })
}

async fn sql(
    state: &Arc<State>,
    caller: &Caller,
    metadata: &MetadataMap,
    mut incoming: Incoming,
) -> Result<Answers<PutResult>, Status> {
    let call = caller.call(metadata.as_ref())?;
    let descriptor = incoming.descriptor.clone();
    let schema = incoming.schema_opt().await?;
    let batches = incoming
        .batches()
        .map(|batch| batch.map_err(|status| SqlError::server(status::kind(status.code()), status.message())))
        .boxed();
    let outcome = state
        .flight_sql
        .put(call, &descriptor, PutStream { schema, batches })
        .await
        .map_err(|error| status::from_error(&error))?;
    Ok(stream::iter([Ok(PutResult { app_metadata: outcome.app_metadata() })]).boxed())
}

fn done(state: &State, report: &IngestReport) -> Result<Bytes, Status> {
    state.metrics.rows_received(report.rows);
    state.flight_sql.note_change();
    put_metadata(report).to_json().map_err(|error| status::from_error(&error))
}

/// Runs `work` in a task of its own and answers with its progress every so often, then with what it returns. The task ends when the
/// answer is dropped: the client went away.
fn with_progress<F>(every: Duration, work: impl FnOnce(watch::Sender<Progress>) -> F) -> Answers<PutResult>
where
    F: Future<Output = Result<Bytes, Status>> + Send + 'static,
{
    let (sender, receiver) = watch::channel(Progress::default());
    let task = AbortOnDropHandle::new(tokio::spawn(work(sender)));
    stream::unfold(Some((task, receiver, Instant::now() + every)), move |reporting| async move {
        let (mut task, mut progress, next) = reporting?;
        tokio::select! {
            biased;
            finished = &mut task => Some((finished.unwrap_or_else(lost).map(result), None)),
            () = tokio::time::sleep_until(next) => {
                let now = *progress.borrow_and_update();
                let message = PutMetadata::progress(now.rows, now.bytes).to_json();
                let message = message.map(result).map_err(|error| status::from_error(&error));
                Some((message, Some((task, progress, Instant::now() + every))))
            }
        }
    })
    .boxed()
}

fn result(app_metadata: Bytes) -> PutResult {
    PutResult { app_metadata }
}

/// The status of a task that did not return.
fn lost(error: tokio::task::JoinError) -> Result<Bytes, Status> {
    Err(match error.try_into_panic() {
        Ok(payload) => status::panicked(&*payload),
        Err(_) => Status::cancelled("the upload was given up"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn progress_comes_while_the_work_runs_and_its_result_at_the_end() {
        let answers = with_progress(Duration::from_millis(100), |progress| async move {
            progress.send_replace(Progress { rows: 5, bytes: 40 });
            tokio::time::sleep(Duration::from_millis(450)).await;
            Ok(Bytes::from_static(b"done"))
        });
        let all: Vec<_> = answers.map(|answer| answer.unwrap().app_metadata).collect().await;
        assert!(all.len() >= 2, "{all:?}");
        assert_eq!(PutMetadata::from_json(&all[0]).unwrap().rows, 5);
        assert_eq!(all.last().unwrap(), "done");
    }

    #[tokio::test]
    async fn a_panic_in_the_work_is_an_error_with_an_id() {
        let answers = with_progress(REPORT_EVERY, |_| async move { panic!("boom") });
        let all: Vec<_> = answers.collect().await;
        assert_eq!(all[0].as_ref().unwrap_err().code(), Code::Internal);
    }

    #[tokio::test]
    async fn dropping_the_answer_ends_the_work() {
        let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
        let answers = with_progress(REPORT_EVERY, |_| async move {
            let _held = sender;
            std::future::pending().await
        });
        drop(answers);
        assert!(receiver.await.is_err(), "the work's future was dropped");
    }
}
