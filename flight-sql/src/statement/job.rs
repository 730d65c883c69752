//! A query that runs before its client comes for the rows: as a whole, or in pieces, each of which is there when it has its first rows.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use arrow::array::RecordBatch;
use futures::StreamExt;
use parking_lot::Mutex;
use skein_model::ErrorKind;
use skein_query::{Part, Plan, Progress, QueryStream};
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use super::{Running, RunningQuery};
use crate::{Error, Result};

/// How long a query runs, or waits with its first rows, for a client that asks no more.
pub(crate) const ABANDONED: Duration = Duration::from_secs(30);

/// What is to run.
#[derive(Debug)]
pub(crate) struct Work {
    pub plan: Plan,
    /// The parts that the rows are divided into, in order; none for a query that runs as a whole.
    pub parts: Vec<Part>,
    /// How many of them, from the first, the client knows of: they run when it comes for them.
    pub told: usize,
    /// How many are at work at the same time, before their first rows.
    pub at_once: usize,
}

/// What a client that asks is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told {
    /// How many pieces, from the first, can be fetched.
    pub ready: usize,
    /// How much of everything has been read, from 0 to 1, where that is known.
    pub progress: Option<f64>,
}

/// A query, or a part of one, whose first rows have been read.
#[derive(Debug)]
pub(crate) struct Opened {
    /// `None` when there are no rows.
    pub first: Option<RecordBatch>,
    pub rest: QueryStream,
    pub listed: RunningQuery,
}

/// A query that runs so.
#[derive(Debug)]
pub(super) struct Job {
    id: String,
    pieces: Vec<Arc<Piece>>,
    asked: Mutex<Instant>,
    /// Why it failed, until somebody is told.
    failed: Mutex<Option<Error>>,
    reached: watch::Sender<Reached>,
    task: Mutex<Option<AbortHandle>>,
}

/// How far it has come.
#[derive(Debug, Default)]
struct Reached {
    /// How many pieces, from the first, are there.
    ready: usize,
    /// No more will be.
    is_over: bool,
}

#[derive(Debug)]
struct Piece {
    /// `None`: the whole.
    part: Option<Part>,
    /// How much of everything it is; all pieces together are 1.
    share: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// For its turn, or for a slot.
    Waiting,
    /// Before its first rows.
    Working(Option<Progress>),
    /// Its first rows are there, and the rest comes as it is read.
    Ready(Option<Progress>, Box<Opened>),
    /// The rows are with the client, or nobody waits for them any more.
    Gone(Option<Progress>),
}

impl Job {
    pub(super) fn new(id: &str, work: &Work) -> Self {
        let piece = |part: Option<&Part>, share, state| {
            Arc::new(Piece { part: part.cloned(), share, state: Mutex::new(state) })
        };
        let shares = shares(&work.parts);
        let pieces: Vec<_> = match work.parts.as_slice() {
            [] => vec![piece(None, 1.0, State::Waiting)],
            parts => (parts.iter().zip(shares).enumerate())
                .map(|(n, (part, share))| {
                    piece(Some(part), share, if n < work.told { State::Gone(None) } else { State::Waiting })
                })
                .collect(),
        };
        let job = Self {
            id: id.to_owned(),
            pieces,
            asked: Mutex::new(Instant::now()),
            failed: Mutex::default(),
            reached: watch::Sender::default(),
            task: Mutex::default(),
        };
        job.count();
        job
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The task that works on it, which [`Job::end`] ends.
    pub(super) fn ends_with(&self, task: AbortHandle) {
        *self.task.lock() = Some(task);
    }

    /// Runs the pieces in order, `at_once` of them at a time, each until it has its first rows.
    pub(super) async fn run(&self, work: Work, running: &Running) {
        let mut waiting: VecDeque<_> = self.pieces.iter().filter(|piece| !piece.is_there()).collect();
        // Dropping it ends them.
        let mut at_work = JoinSet::new();
        loop {
            while at_work.len() < work.at_once.max(1) {
                let Some(piece) = waiting.pop_front() else { break };
                let (piece, plan, running) = (Arc::clone(piece), work.plan.clone(), running.clone());
                let id = self.id.clone();
                at_work.spawn(async move { piece.open(&plan, &id, &running).await });
            }
            match at_work.join_next().await {
                None => return,
                Some(Ok(Ok(()))) => self.count(),
                Some(Ok(Err(error))) => return self.fail(error),
                Some(Err(error)) => {
                    tracing::error!(statement = self.id, %error, "a polled statement ended unexpectedly");
                    let message =
                        "the statement ended unexpectedly, which the server's log says more about; send it again";
                    return self.fail(Error::server(ErrorKind::Internal, message));
                }
            }
        }
    }

    /// Returns when the client has not asked for too long.
    pub(super) async fn wait_for_client(&self) {
        loop {
            let since = self.asked.lock().elapsed();
            match ABANDONED.checked_sub(since) {
                Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
                _ => return,
            }
        }
    }

    /// Waits until `wanted` pieces from the first are there, at most for `patience`.
    ///
    /// # Errors
    /// The query's own, told once.
    pub(super) async fn ask(&self, wanted: usize, patience: Duration) -> Result<Told> {
        self.touch();
        let mut reached = self.reached.subscribe();
        // Either way what is there now is told.
        let _ = tokio::time::timeout(patience, reached.wait_for(|it| it.is_over || it.ready >= wanted)).await;
        self.touch();
        match self.failed.lock().take() {
            Some(error) => Err(error),
            None => Ok(Told { ready: self.reached.borrow().ready, progress: self.progress() }),
        }
    }

    /// The rows of the piece for `part`, unless they were taken. A client that comes early waits as it would without having asked.
    ///
    /// # Errors
    /// Those of a query that runs as a whole. A part tells its own when it is run again.
    pub(super) async fn take(&self, part: Option<&Part>) -> Option<Result<Opened>> {
        let piece = self.pieces.iter().find(|piece| piece.part.as_ref() == part)?;
        self.touch();
        let _ = self.reached.subscribe().wait_for(|it| it.is_over || piece.is_there()).await;
        self.touch();
        match piece.take() {
            Some(opened) => Some(Ok(opened)),
            None if part.is_none() => self.failed.lock().take().map(Err),
            None => None,
        }
    }

    /// Whether there is nothing left to ask it for.
    pub(super) fn is_over(&self) -> bool {
        self.failed.lock().is_none() && self.pieces.iter().all(|piece| piece.is_gone())
    }

    /// Ends its work, and lets go of the rows that nobody has come for.
    pub(super) fn end(&self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
        self.pieces.iter().for_each(|piece| drop(piece.take()));
        self.reached.send_modify(|reached| reached.is_over = true);
    }

    fn fail(&self, error: Error) {
        *self.failed.lock() = Some(error);
        self.pieces.iter().for_each(|piece| drop(piece.take()));
        self.reached.send_modify(|reached| reached.is_over = true);
    }

    fn touch(&self) {
        *self.asked.lock() = Instant::now();
    }

    fn count(&self) {
        let ready = self.pieces.iter().take_while(|piece| piece.is_there()).count();
        self.reached.send_modify(|reached| reached.ready = ready);
    }

    fn progress(&self) -> Option<f64> {
        let read: Option<f64> = self.pieces.iter().map(|piece| Some(piece.fraction()? * piece.share)).sum();
        // Sums of shares are a little off.
        read.map(|read| read.clamp(0.0, 1.0))
    }
}

impl Piece {
    /// Runs it until it has its first rows, or has ended without any.
    async fn open(&self, plan: &Plan, id: &str, running: &Running) -> Result<()> {
        let mut rest = match &self.part {
            None => plan.execute().await?,
            Some(part) => plan.execute_part(part, id).await?,
        };
        let listed = running.add(id, rest.query_id());
        let progress = rest.progress();
        if !self.reach(State::Working(progress.clone())) {
            return Ok(());
        }
        let first = rest.next().await.transpose()?;
        self.reach(State::Ready(progress, Box::new(Opened { first, rest, listed })));
        Ok(())
    }

    /// False when nobody waits for it any more.
    fn reach(&self, state: State) -> bool {
        let mut now = self.state.lock();
        let is_waited_for = !matches!(*now, State::Gone(_));
        if is_waited_for {
            *now = state;
        }
        is_waited_for
    }

    /// Its rows, if they are there; either way it is gone from here on.
    fn take(&self) -> Option<Opened> {
        let mut state = self.state.lock();
        let progress = match &*state {
            State::Waiting => None,
            State::Working(progress) | State::Ready(progress, _) | State::Gone(progress) => progress.clone(),
        };
        match std::mem::replace(&mut *state, State::Gone(progress)) {
            State::Ready(_, opened) => Some(*opened),
            State::Waiting | State::Working(_) | State::Gone(_) => None,
        }
    }

    fn is_there(&self) -> bool {
        matches!(*self.state.lock(), State::Ready(..) | State::Gone(_))
    }

    fn is_gone(&self) -> bool {
        matches!(*self.state.lock(), State::Gone(_))
    }

    /// How much of it has been read.
    fn fraction(&self) -> Option<f64> {
        let known = match &*self.state.lock() {
            State::Waiting => Some(0.0),
            State::Working(progress) | State::Ready(progress, _) | State::Gone(progress) => {
                progress.as_ref().and_then(Progress::fraction)
            }
        };
        // How much a part reads is always known while it reads: it has ended, or there is nothing in it to read.
        known.or_else(|| self.part.is_some().then_some(1.0))
    }
}

/// How much of everything each part is.
#[allow(clippy::cast_precision_loss, reason = "a fraction of bytes, to be shown")]
fn shares(parts: &[Part]) -> Vec<f64> {
    let bytes = |part: &Part| part.to().saturating_sub(part.from()) as f64;
    let all: f64 = parts.iter().map(bytes).sum();
    parts.iter().map(|part| if all > 0.0 { bytes(part) / all } else { 0.0 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_counts_as_much_as_its_bytes() {
        assert_eq!(shares(&[Part::new(0, 100), Part::new(100, 400)]), [0.25, 0.75]);
        assert_eq!(shares(&[Part::new(0, 0)]), [0.0]);
    }
}
