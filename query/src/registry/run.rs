//! One run of a statement, from acceptance to its end.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use skein_model::{QueryId, SessionId};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{QueryInfo, QueryState, Registry};
use crate::Error;

/// What others can see of a run.
#[derive(Debug)]
pub(super) struct Live {
    id: QueryId,
    session: SessionId,
    sql: Arc<str>,
    principal: String,
    started: DateTime<Utc>,
    running: AtomicBool,
    rows: AtomicU64,
    bytes: AtomicU64,
    stop: CancellationToken,
}

impl Live {
    pub(super) fn new(session: SessionId, principal: String, sql: Arc<str>) -> Self {
        Self {
            id: QueryId::generate(),
            session,
            sql,
            principal,
            started: Utc::now(),
            running: AtomicBool::new(false),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            stop: CancellationToken::new(),
        }
    }

    pub(super) fn id(&self) -> QueryId {
        self.id
    }

    pub(super) fn cancel(&self) {
        self.stop.cancel();
    }

    pub(super) fn info(&self) -> QueryInfo {
        let running = self.running.load(Ordering::Relaxed);
        QueryInfo {
            id: self.id,
            session: self.session,
            sql: self.sql.clone(),
            principal: self.principal.clone(),
            started: self.started,
            finished: None,
            state: if running { QueryState::Running } else { QueryState::Queued },
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            error: None,
        }
    }
}

/// How a run ended.
type End = (QueryState, Option<String>);

/// The owner's handle of a run. Dropping it ends the run: as cancelled, unless it was told otherwise.
#[derive(Debug)]
pub(crate) struct Run {
    live: Arc<Live>,
    registry: Registry,
    end: Mutex<Option<End>>,
}

impl Run {
    pub(super) fn new(live: Arc<Live>, registry: Registry) -> Self {
        Self { live, registry, end: Mutex::new(None) }
    }

    pub(crate) fn id(&self) -> QueryId {
        self.live.id
    }

    /// It got a slot.
    pub(crate) fn started(&self) {
        self.live.running.store(true, Ordering::Relaxed);
    }

    /// It produced or wrote this much more.
    pub(crate) fn add(&self, rows: u64, bytes: u64) {
        self.live.rows.fetch_add(rows, Ordering::Relaxed);
        self.live.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// It came to its end.
    pub(crate) fn finished(&self) {
        self.end.lock().get_or_insert((QueryState::Finished, None));
    }

    /// It failed; the first failure counts.
    pub(crate) fn failed(&self, error: &Error) {
        let state = match error {
            Error::Cancelled { .. } => QueryState::Cancelled,
            _ => QueryState::Failed,
        };
        self.end.lock().get_or_insert_with(|| (state, Some(error.to_string())));
    }

    /// Ready when somebody cancels it.
    pub(crate) async fn cancelled(&self) {
        self.live.stop.cancelled().await;
    }

    /// As [`Run::cancelled`], as a value that can be kept.
    pub(super) fn cancellation(&self) -> WaitForCancellationFutureOwned {
        self.live.stop.clone().cancelled_owned()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let (state, error) = self.end.lock().take().unwrap_or((QueryState::Cancelled, None));
        let info = QueryInfo { state, error, finished: Some(Utc::now()), ..self.live.info() };
        let elapsed = (Utc::now() - info.started).num_milliseconds();
        tracing::info!(
            query = %info.id, session = %info.session, principal = info.principal, outcome = state.as_str(),
            rows = info.rows, bytes = info.bytes, elapsed_ms = elapsed, "query ended"
        );
        self.registry.end(info);
    }
}
