//! The rows of a running query.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::SchemaRef,
};
use datafusion::{error::Result as DfResult, execution::SendableRecordBatchStream, physical_plan::ExecutionPlan};
use futures::{FutureExt, Stream, StreamExt, future::BoxFuture};
use skein_model::QueryId;

use super::{Progress, Run, batch_bytes};
use crate::{Error, Result, engine::Slot};

/// The rows of a running query. Dropping it cancels the work.
pub struct QueryStream {
    schema: SchemaRef,
    run: Run,
    stop: BoxFuture<'static, Error>,
    /// `None` once the stream ended: the plan and its memory are let go at once, not when the client lets go.
    work: Option<Work>,
}

struct Work {
    rows: SendableRecordBatchStream,
    plan: Arc<dyn ExecutionPlan>,
    slot: Slot,
    /// Waits for another slot, when that one went to another statement while the client read nothing.
    resuming: Option<BoxFuture<'static, Slot>>,
}

impl Work {
    /// Whether it may work; a client that rested may have to wait.
    fn poll_slot(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.resuming.is_none() {
            self.resuming = self.slot.resume();
        }
        if let Some(resuming) = &mut self.resuming {
            self.slot = ready!(resuming.poll_unpin(cx));
            self.resuming = None;
        }
        Poll::Ready(())
    }
}

impl QueryStream {
    pub(crate) fn new(
        schema: SchemaRef,
        rows: SendableRecordBatchStream,
        plan: Arc<dyn ExecutionPlan>,
        run: Run,
        slot: Slot,
    ) -> Self {
        let stop = run.stopped().boxed();
        Self { schema, run, stop, work: Some(Work { rows, plan, slot, resuming: None }) }
    }

    /// The schema every batch has.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The run's id, as in `system.queries`.
    pub fn query_id(&self) -> QueryId {
        self.run.id()
    }

    /// How far it is; `None` when it has ended. Stays good while the stream is read elsewhere.
    pub fn progress(&self) -> Option<Progress> {
        self.work.as_ref().map(|work| Progress::of(&work.plan, self.run.read_elsewhere()))
    }

    fn item(&mut self, next: std::thread::Result<Option<DfResult<RecordBatch>>>) -> Option<Result<RecordBatch>> {
        let outcome = match next {
            Ok(Some(Ok(batch))) => conform(batch, &self.schema),
            Ok(Some(Err(error))) => Err(error.into()),
            Ok(None) => {
                self.run.finished();
                self.work = None;
                return None;
            }
            Err(_panic) => {
                // The panic hook has logged the message and the place.
                tracing::error!(query = %self.run.id(), "a query operator panicked");
                Err(Error::Panicked { id: self.run.id() })
            }
        };
        match &outcome {
            Ok(batch) => {
                self.run.add(batch.num_rows() as u64, batch_bytes(batch));
                if let Some(work) = &self.work {
                    work.slot.rest();
                }
            }
            Err(error) => self.end(error),
        }
        Some(outcome)
    }

    fn end(&mut self, error: &Error) {
        self.run.failed(error);
        self.work = None;
    }
}

/// Operators are free to disagree with the plan about nullability and metadata; clients are promised the plan's schema.
fn conform(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(schema.clone(), batch.columns().to_vec(), &options)?)
}

impl Stream for QueryStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(work) = &mut this.work else { return Poll::Ready(None) };
        if let Poll::Ready(error) = this.stop.poll_unpin(cx) {
            this.end(&error);
            return Poll::Ready(Some(Err(error)));
        }
        ready!(work.poll_slot(cx));
        // A panic must end this stream with an error, not the connection that carries it.
        match catch_unwind(AssertUnwindSafe(|| work.rows.poll_next_unpin(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(next)) => Poll::Ready(this.item(Ok(next))),
            Err(panic) => Poll::Ready(this.item(Err(panic))),
        }
    }
}

impl fmt::Debug for QueryStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueryStream").field("query_id", &self.run.id()).finish_non_exhaustive()
    }
}
