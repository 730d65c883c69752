//! How a catalog behaves, and who acts on it.

use std::{sync::Arc, time::Duration};

use skein_model::{Clock, SystemClock};

/// How a catalog behaves.
#[derive(Debug, Clone)]
pub struct CatalogOptions {
    /// How old a cached head of a dataset or document may be before the bucket is asked again. Zero: always ask.
    pub refresh: Duration,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// How old an unreferenced file must be before garbage collection removes it.
    pub gc_grace: Duration,
    /// The least number of versions between two checkpoints of a dataset's log.
    pub checkpoint_every: u64,
}

impl Default for CatalogOptions {
    fn default() -> Self {
        Self {
            refresh: Duration::ZERO,
            clock: Arc::new(SystemClock),
            gc_grace: Duration::from_secs(24 * 60 * 60),
            checkpoint_every: 50,
        }
    }
}

/// Who makes a change, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The principal's name.
    pub principal: String,
    /// Why, if given.
    pub reason: Option<String>,
}

impl Actor {
    /// An actor that gives no reason.
    pub fn new(principal: impl Into<String>) -> Self {
        Self { principal: principal.into(), reason: None }
    }
}
