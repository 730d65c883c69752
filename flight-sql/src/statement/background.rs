//! Queries that run while their client asks how far they are, until it comes for the rows.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use skein_query::Part;

use super::{
    Running,
    job::{Job, Opened, Told, Work},
};
use crate::Result;

/// The queries that run so, by statement id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Background(Arc<Mutex<HashMap<String, Arc<Job>>>>);

impl Background {
    /// Starts a query, unless it runs already.
    pub(crate) fn start(&self, id: &str, work: Work, running: &Running) {
        let mut jobs = self.0.lock();
        if jobs.contains_key(id) {
            return;
        }
        let job = Arc::new(Job::new(id, &work));
        let (this, running) = (self.clone(), running.clone());
        let task = tokio::spawn({
            let job = Arc::clone(&job);
            async move {
                tokio::select! {
                    () = job.run(work, &running) => job.wait_for_client().await,
                    () = job.wait_for_client() => (),
                }
                this.forget(&job);
            }
        });
        job.ends_with(task.abort_handle());
        jobs.insert(id.to_owned(), job);
    }

    /// Waits until `wanted` of its pieces, from the first, have their first rows, at most for `patience`; `None` when no such query runs.
    ///
    /// # Errors
    /// The query's own. They are told once; the next to ask starts it again.
    pub(crate) async fn ask(&self, id: &str, wanted: usize, patience: Duration) -> Option<Result<Told>> {
        let job = self.of(id)?;
        let told = job.ask(wanted, patience).await;
        if told.is_err() {
            self.forget(&job);
        }
        Some(told)
    }

    /// The rows of a query, or of one part of it, once they are there, or its error. `None` when no such query runs or they were taken: then
    /// whoever wants them runs it again.
    ///
    /// # Errors
    /// The query's own.
    pub(crate) async fn take(&self, id: &str, part: Option<&Part>) -> Option<Result<Opened>> {
        let job = self.of(id)?;
        let taken = job.take(part).await;
        if job.is_over() {
            self.forget(&job);
        }
        taken
    }

    /// Ends a query before its rows are fetched; false when no such query runs.
    pub(crate) fn cancel(&self, id: &str) -> bool {
        let Some(job) = self.of(id) else { return false };
        self.forget(&job);
        true
    }

    fn of(&self, id: &str) -> Option<Arc<Job>> {
        self.0.lock().get(id).cloned()
    }

    /// Ends a query, unless another one runs under its id by now.
    fn forget(&self, job: &Arc<Job>) {
        let mut jobs = self.0.lock();
        if jobs.get(job.id()).is_some_and(|other| Arc::ptr_eq(other, job)) {
            jobs.remove(job.id());
        }
        drop(jobs);
        job.end();
    }
}
