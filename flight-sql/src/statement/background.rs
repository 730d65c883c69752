//! Queries that run while their client asks how far they are, until it comes for the rows.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use arrow::array::RecordBatch;
use futures::StreamExt;
use parking_lot::Mutex;
use skein_query::{Plan, Progress, QueryStream};
use tokio::sync::watch;

use super::{Running, RunningQuery};
use crate::{Error, Result};

/// How long a query runs, or waits with its first rows, for a client that asks no more.
pub(crate) const ABANDONED: Duration = Duration::from_secs(30);

/// The queries that run so, by statement id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Background(Arc<Mutex<HashMap<String, Arc<Job>>>>);

/// One of them.
#[derive(Debug)]
pub(crate) struct Job {
    state: Mutex<State>,
    asked: Mutex<Instant>,
    ended: watch::Sender<bool>,
    task: Mutex<Option<tokio::task::AbortHandle>>,
}

#[derive(Debug)]
enum State {
    /// Waiting for a slot.
    Queued,
    /// Before its first rows.
    Working(Progress),
    /// Its first rows are there, and the rest comes as it is read.
    Ready(Box<Opened>),
    Failed(Error),
    /// The rows are with the client, or the error was told.
    Gone,
}

/// A query whose first rows have been read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub first: Option<RecordBatch>,
    pub rest: QueryStream,
    pub listed: RunningQuery,
}

/// What a client that asks is told.
#[derive(Debug)]
pub(crate) enum Told {
    /// Not there yet; from 0 to 1, where that is known.
    Working(Option<f64>),
    /// The rows can be fetched.
    Ready,
}

impl Background {
    /// Starts a query, unless it runs already.
    pub(crate) fn start(&self, id: &str, plan: Plan, running: &Running) {
        let mut jobs = self.0.lock();
        if jobs.contains_key(id) {
            return;
        }
        let job = Arc::new(Job {
            state: Mutex::new(State::Queued),
            asked: Mutex::new(Instant::now()),
            ended: watch::Sender::new(false),
            task: Mutex::new(None),
        });
        jobs.insert(id.to_owned(), Arc::clone(&job));
        drop(jobs);
        let (this, id, running) = (self.clone(), id.to_owned(), running.clone());
        let task = tokio::spawn({
            let job = Arc::clone(&job);
            async move {
                tokio::select! {
                    () = job.run(plan, &id, running) => job.wait_for_client().await,
                    () = job.wait_for_client() => (),
                }
                this.0.lock().remove(&id);
                job.ended.send_replace(true);
            }
        });
        *job.task.lock() = Some(task.abort_handle());
    }

    /// Waits until there is something to tell, at most for `patience`; `None` when no such query runs.
    ///
    /// # Errors
    /// The query's own. They are told once.
    pub(crate) async fn ask(&self, id: &str, patience: Duration) -> Option<Result<Told>> {
        let job = self.0.lock().get(id).cloned()?;
        *job.asked.lock() = Instant::now();
        let mut ended = job.ended.subscribe();
        // Either way what is there now is told.
        let _ = tokio::time::timeout(patience, ended.wait_for(|ended| *ended)).await;
        *job.asked.lock() = Instant::now();
        let mut state = job.state.lock();
        Some(match &*state {
            State::Queued => Ok(Told::Working(Some(0.0))),
            State::Working(progress) => Ok(Told::Working(progress.fraction())),
            State::Ready(_) => Ok(Told::Ready),
            State::Gone => Ok(Told::Ready),
            State::Failed(_) => match std::mem::replace(&mut *state, State::Gone) {
                State::Failed(error) => Err(error),
                _ => Ok(Told::Ready),
            },
        })
    }

    /// The rows of a query that has some, or its error; the next to come runs it again.
    ///
    /// # Errors
    /// The query's own.
    pub(crate) async fn take(&self, id: &str) -> Option<Result<Opened>> {
        let job = self.0.lock().get(id).cloned()?;
        // A client that comes early waits as it would without having asked.
        let _ = job.ended.subscribe().wait_for(|ended| *ended).await;
        self.0.lock().remove(id);
        let taken = std::mem::replace(&mut *job.state.lock(), State::Gone);
        if let Some(task) = job.task.lock().take() {
            task.abort();
        }
        match taken {
            State::Ready(opened) => Some(Ok(*opened)),
            State::Failed(error) => Some(Err(error)),
            State::Queued | State::Working(_) | State::Gone => None,
        }
    }

    /// Ends a query before its rows are fetched; false when no such query runs.
    pub(crate) fn cancel(&self, id: &str) -> bool {
        let Some(job) = self.0.lock().remove(id) else { return false };
        if let Some(task) = job.task.lock().take() {
            task.abort();
        }
        *job.state.lock() = State::Gone;
        job.ended.send_replace(true);
        true
    }
}

impl Job {
    async fn run(&self, plan: Plan, id: &str, running: Running) {
        let ended = match self.open(plan, id, running).await {
            Ok(opened) => State::Ready(Box::new(opened)),
            Err(error) => State::Failed(error),
        };
        *self.state.lock() = ended;
        self.ended.send_replace(true);
    }

    async fn open(&self, plan: Plan, id: &str, running: Running) -> Result<Opened> {
        let mut rest = plan.execute().await?;
        let listed = running.add(id, rest.query_id());
        if let Some(progress) = rest.progress() {
            *self.state.lock() = State::Working(progress);
        }
        let first = rest.next().await.transpose()?;
        Ok(Opened { first, rest, listed })
    }

    /// Returns when the client has not asked for too long.
    async fn wait_for_client(&self) {
        loop {
            let since = self.asked.lock().elapsed();
            match ABANDONED.checked_sub(since) {
                Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
                _ => return,
            }
        }
    }
}
