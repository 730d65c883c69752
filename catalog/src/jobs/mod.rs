//! Long work that survives a restart: a job is a document that says what is to be done, who does it and how far they are.
//!
//! Any server on the buckets may create a job, and any may do it. A server [claims](Jobs::claim) a job by writing the document's
//! next version, so one of them gets it. While it works it [reports](Jobs::progress), which also says that it is alive; a job
//! whose owner has not been heard of for longer than a lease is given to the next one that asks. What a job does is up to
//! its kind: this module knows how it goes, not what it is.

mod claim;
mod format;
mod progress;
mod queue;
mod retention;
#[cfg(test)]
mod testing;

use std::sync::Arc;

pub(crate) use format::KIND;
pub use format::{Job, JobProgress, JobState};
pub use progress::{JobEnd, Standing};
pub use queue::NewJob;
use skein_model::Clock;

use crate::Documents;

/// The jobs of a catalog. Cheap to clone.
///
/// ```no_run
/// # use std::time::Duration;
/// # use skein_catalog::{Actor, Catalog, jobs::{JobEnd, JobProgress, NewJob, Standing}};
/// # use ulid::Ulid;
/// # async fn example(catalog: Catalog) -> skein_catalog::Result<()> {
/// let (jobs, server, lease) = (catalog.jobs(), Ulid::new(), Duration::from_secs(60));
/// let new = NewJob { kind: "index.build".into(), subject: "public.docs_hnsw".into(), arguments: serde_json::json!({}) };
/// jobs.create(new, &Actor::new("ada")).await?;
/// if let Some(job) = jobs.claim_next(server, &["index.build"], lease).await? {
///     let half = JobProgress { done: 50, total: Some(100), ..JobProgress::default() };
///     let end = match jobs.progress(&job, half).await? {
///         Standing::Go => JobEnd::Succeeded(serde_json::json!({"vectors": 100})),
///         Standing::CancelRequested => JobEnd::Cancelled,
///         Standing::Lost => return Ok(()),
///     };
///     jobs.finish(&job, end).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Jobs {
    documents: Documents,
    clock: Arc<dyn Clock>,
}

impl Jobs {
    pub(crate) fn new(documents: Documents, clock: Arc<dyn Clock>) -> Self {
        Self { documents, clock }
    }
}
