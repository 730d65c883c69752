//! How far a build is, and whether it is to end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use skein_catalog::jobs::JobProgress;
use skein_vector::faiss::Stopper;

use crate::{Error, Result};

/// What a build is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Waiting,
    Sampling,
    Training,
    Building,
    Merging,
    Comparing,
    Measuring,
    Storing,
}

impl Phase {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Sampling => "sampling",
            Self::Training => "training",
            Self::Building => "building",
            Self::Merging => "merging",
            Self::Comparing => "comparing",
            Self::Measuring => "measuring",
            Self::Storing => "storing",
        }
    }
}

/// How far a build is; shared by who does it and who tells.
#[derive(Debug)]
pub(super) struct Progress {
    phase: Mutex<Phase>,
    done: AtomicU64,
    total: AtomicU64,
    stop: AtomicBool,
    stopper: Mutex<Option<Stopper>>,
}

impl Default for Progress {
    fn default() -> Self {
        let (done, total, stop, stopper) = Default::default();
        Self { phase: Mutex::new(Phase::Waiting), done, total, stop, stopper }
    }
}

impl Progress {
    /// Begins with a phase in which so many rows are gone through; 0: they are not counted.
    pub(super) fn enter(&self, phase: Phase, rows: u64) {
        *self.phase.lock() = phase;
        self.done.store(0, Ordering::Relaxed);
        self.total.store(rows, Ordering::Relaxed);
    }

    /// So many rows more are done.
    ///
    /// # Errors
    /// `Cancelled` when the work is to end.
    pub(super) fn add(&self, rows: u64) -> Result<()> {
        self.done.fetch_add(rows, Ordering::Relaxed);
        if self.stop.load(Ordering::Relaxed) { Err(Error::Stopped) } else { Ok(()) }
    }

    /// Ends the work.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(stopper) = &*self.stopper.lock() {
            stopper.stop();
        }
    }

    /// What else ends with the work.
    pub(super) fn stops(&self, stopper: Stopper) {
        if self.stop.load(Ordering::Relaxed) {
            stopper.stop();
        }
        *self.stopper.lock() = Some(stopper);
    }

    /// Ends what [`Progress::stops`] was told of last, and not the work.
    pub(super) fn interrupt(&self) {
        if let Some(stopper) = &*self.stopper.lock() {
            stopper.stop();
        }
    }

    /// Whether the work is to end.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    pub(super) fn so_far(&self) -> JobProgress {
        let total = self.total.load(Ordering::Relaxed);
        JobProgress {
            phase: self.phase.lock().as_str().to_owned(),
            done: self.done.load(Ordering::Relaxed),
            total: (total > 0).then_some(total),
            unit: "rows".to_owned(),
        }
    }
}
