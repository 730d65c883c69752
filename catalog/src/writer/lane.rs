//! A lane encodes a run of neighbouring columns. Lanes work side by side on blocking threads; within a lane everything
//! happens in order. A lane need not wait for the others, so no core idles at the end of a slab.

use std::{
    ops::Range,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::available_parallelism,
};

use arrow::array::ArrayRef;
use parking_lot::Mutex;
use parquet::arrow::arrow_writer::ArrowColumnChunk;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use super::{WriteError, encoder::Encoder};

/// Encoding threads of the whole process: as many as there are cores, however many writers there are.
static ENCODERS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(available_parallelism().map_or(2, Into::into)));

/// Work taken up by one trip to a blocking thread.
const WORK_PER_TRIP: usize = 8;

/// What a lane is asked to do.
enum Work {
    /// Encode rows: for each column of the lane its arrays. The permit frees their memory for others when all lanes are
    /// done with them. `memory` is told what the row group they belong to takes by then.
    Write { columns: Vec<Vec<ArrayRef>>, permit: Arc<OwnedSemaphorePermit>, memory: Arc<AtomicUsize> },
    /// End the row group.
    Close(oneshot::Sender<Vec<ArrowColumnChunk>>),
}

/// What a writer's tasks share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The writer is gone; work that is queued is not worth doing any more.
    pub(super) cancelled: AtomicBool,
    /// The first failure of any task.
    failure: Mutex<Option<WriteError>>,
}

impl Shared {
    /// Keeps the first failure; later ones are mostly its consequences.
    pub(super) fn fail(&self, error: WriteError) {
        self.failure.lock().get_or_insert(error);
    }

    /// The failure that stopped the writer.
    pub(super) fn take_failure(&self) -> WriteError {
        self.failure.lock().take().unwrap_or_else(|| WriteError::Stopped("it failed before".to_owned()))
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }
}

/// A handle on a lane; dropping it lets the lane end.
pub(super) struct Lane {
    columns: Range<usize>,
    queue: mpsc::UnboundedSender<Work>,
    /// Of the row group under way. Each has a counter of its own, so that one that is queued to be closed no longer
    /// counts.
    memory: Arc<AtomicUsize>,
}

impl Lane {
    /// Starts a lane for the table's columns `columns`.
    pub(super) fn start(columns: Range<usize>, encoder: Encoder, shared: Arc<Shared>) -> Self {
        let (queue, work) = mpsc::unbounded_channel();
        tokio::spawn(run(encoder, work, shared));
        Self { columns, queue, memory: Arc::default() }
    }

    /// The table's columns this lane encodes.
    pub(super) fn columns(&self) -> Range<usize> {
        self.columns.clone()
    }

    /// Bytes it holds for the row group under way.
    pub(super) fn memory(&self) -> usize {
        self.memory.load(Ordering::Relaxed)
    }

    /// Queues rows. False: the lane has failed.
    pub(super) fn write(&self, columns: Vec<Vec<ArrayRef>>, permit: Arc<OwnedSemaphorePermit>) -> bool {
        let memory = Arc::clone(&self.memory);
        self.queue.send(Work::Write { columns, permit, memory }).is_ok()
    }

    /// Queues the end of the row group; its chunks come through the channel. `None`: the lane has failed.
    pub(super) fn close(&mut self) -> Option<oneshot::Receiver<Vec<ArrowColumnChunk>>> {
        self.memory = Arc::default();
        let (answer, chunks) = oneshot::channel();
        self.queue.send(Work::Close(answer)).is_ok().then_some(chunks)
    }
}

async fn run(mut encoder: Encoder, mut queue: mpsc::UnboundedReceiver<Work>, shared: Arc<Shared>) {
    let mut work = Vec::with_capacity(WORK_PER_TRIP);
    while queue.recv_many(&mut work, WORK_PER_TRIP).await > 0 {
        let batch = std::mem::take(&mut work);
        // The semaphore is never closed.
        let Ok(_permit) = ENCODERS.acquire().await else { return };
        let stop = Arc::clone(&shared);
        let trip = tokio::task::spawn_blocking(move || -> Result<Encoder, WriteError> {
            for item in batch {
                if stop.is_cancelled() {
                    return Err(WriteError::Stopped("it was dropped".to_owned()));
                }
                perform(&mut encoder, item)?;
            }
            Ok(encoder)
        });
        encoder = match trip.await {
            Ok(Ok(encoder)) => encoder,
            Ok(Err(error)) => return shared.fail(error),
            Err(error) => return shared.fail(WriteError::Stopped(format!("an encoding task ended: {error}"))),
        };
    }
}

fn perform(encoder: &mut Encoder, work: Work) -> Result<(), WriteError> {
    match work {
        Work::Write { columns, permit, memory } => {
            encoder.write(&columns)?;
            memory.store(encoder.memory(), Ordering::Relaxed);
            drop(columns);
            drop(permit);
        }
        Work::Close(answer) => {
            // Nobody waits any more when the writer was dropped.
            let _ = answer.send(encoder.close()?);
        }
    }
    Ok(())
}
