//! The threads that local models compute on.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tokio::sync::{Semaphore, oneshot};

use crate::{Error, Purpose, Result};

/// A fixed number of threads, shared by all local models of a process.
///
/// The libraries below (candle, gemm) divide their work among the threads of the pool they are called in, so no others are started. Work of passages waits
/// outside until a thread is free for it, and queries do not: a query is next, however long the list of passages is.
#[derive(Debug)]
pub struct Compute {
    pool: rayon::ThreadPool,
    passages: Arc<Semaphore>,
    threads: usize,
}

impl Compute {
    /// Starts the threads; None: as many as there are processors.
    ///
    /// # Errors
    /// [`Error::Invalid`] for 0 or more than 1024 threads, or when the system refuses them.
    pub fn new(threads: Option<usize>) -> Result<Arc<Self>> {
        let threads = threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        if threads == 0 || threads > 1024 {
            return Err(Error::Invalid(format!("{threads} threads cannot be: 1 to 1024 can")));
        }
        let pool =
            rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("skein-embed-{i}")).build();
        let pool =
            pool.map_err(|e| Error::Invalid(format!("{threads} threads for local models could not be started: {e}")))?;
        Ok(Arc::new(Self { pool, passages: Arc::new(Semaphore::new(threads)), threads }))
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Runs one piece of work. Once begun it ends, though nobody may wait for it any more.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        purpose: Purpose,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = match purpose {
            Purpose::Query => None,
            Purpose::Passage => {
                Some(self.passages.clone().acquire_owned().await.map_err(|e| Error::Internal(e.to_string()))?)
            }
        };
        let (answer, done) = oneshot::channel();
        self.pool.spawn(move || {
            // A panic that leaves a thread of the pool ends the process.
            let result = catch_unwind(AssertUnwindSafe(work));
            let result = result
                .unwrap_or_else(|_| Err(Error::Internal("a local model panicked; the log has the place".to_owned())));
            drop(permit);
            // Nobody waits: the caller has gone.
            let _ = answer.send(result);
        });
        done.await.map_err(|_| Error::Internal("a local model's work was lost".to_owned()))?
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use super::*;

    #[tokio::test]
    async fn a_query_does_not_wait_for_all_passages() {
        let compute = Compute::new(Some(1)).unwrap();
        let (go, gate) = mpsc::channel::<()>();
        let first = tokio::spawn({
            let compute = compute.clone();
            async move {
                compute.run(Purpose::Passage, move || gate.recv().map_err(|e| Error::Internal(e.to_string()))).await
            }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let (order, done) = mpsc::channel();
        let later = |purpose, name: &'static str| {
            let (compute, order) = (compute.clone(), order.clone());
            tokio::spawn(async move {
                compute.run(purpose, move || order.send(name).map_err(|e| Error::Internal(e.to_string()))).await
            })
        };
        let passages = [later(Purpose::Passage, "passage"), later(Purpose::Passage, "passage")];
        tokio::time::sleep(Duration::from_millis(50)).await;
        let query = later(Purpose::Query, "query");
        tokio::time::sleep(Duration::from_millis(50)).await;
        go.send(()).unwrap();
        first.await.unwrap().unwrap();
        query.await.unwrap().unwrap();
        for passage in passages {
            passage.await.unwrap().unwrap();
        }
        assert_eq!(done.try_iter().collect::<Vec<_>>(), ["query", "passage", "passage"]);
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_thread_goes_on() {
        let compute = Compute::new(Some(1)).unwrap();
        let lost = compute.run::<()>(Purpose::Query, || panic!("for the test")).await.unwrap_err();
        assert!(lost.to_string().contains("panicked"), "{lost}");
        assert_eq!(compute.run(Purpose::Passage, || Ok(1)).await.unwrap(), 1);
    }

    #[test]
    fn there_has_to_be_a_thread() {
        assert!(Compute::new(Some(0)).unwrap_err().to_string().starts_with("0 threads cannot be"));
    }
}
