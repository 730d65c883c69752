//! How many statements run at once. The others wait in the order they came, and only so many may wait.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{Error, Result, registry::Run};

/// A bounded FIFO queue in front of a fixed number of slots.
#[derive(Debug)]
pub(crate) struct Slots {
    free: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_waiting: usize,
}

/// Counts a waiter for as long as it waits, also when its future is dropped.
struct Waiter<'a>(&'a AtomicUsize);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slots {
    pub(super) fn new(slots: usize, max_waiting: usize) -> Self {
        let free = Arc::new(Semaphore::new(slots.clamp(1, Semaphore::MAX_PERMITS)));
        Self { free, waiting: AtomicUsize::new(0), max_waiting }
    }

    /// Waits for a slot. Tokio's semaphore is fair, so slots are given out in the order they were asked for.
    pub(crate) async fn acquire(&self, run: &Run) -> Result<OwnedSemaphorePermit> {
        if let Ok(permit) = self.free.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiter = Waiter(&self.waiting);
        if waiting >= self.max_waiting {
            return Err(Error::QueueFull { waiting });
        }
        tokio::select! {
            permit = self.free.clone().acquire_owned() => {
                // The semaphore is never closed; if it were, the statement could not run.
                permit.map_err(|_| Error::QueueFull { waiting })
            }
            () = run.cancelled() => Err(Error::Cancelled { id: run.id() }),
        }
    }
}
