//! One run of a statement, from acceptance to its end.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use skein_model::{QueryId, SessionId};
use tokio_util::sync::CancellationToken;

use super::{QueryInfo, QueryState, Registry};
use crate::{Error, engine::Budget};

/// What a run may use.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// Its memory.
    pub(crate) memory: Arc<Budget>,
    /// How long it may take.
    pub(crate) time: Option<Duration>,
}

/// What others can see of a run.
#[derive(Debug)]
pub(super) struct Live {
    id: QueryId,
    session: SessionId,
    sql: Arc<str>,
    principal: String,
    started: DateTime<Utc>,
    began: Instant,
    /// When it got its slot, after `began`.
    running: OnceLock<Duration>,
    rows: AtomicU64,
    bytes: AtomicU64,
    /// Rows that scans on other servers have read.
    read_elsewhere: Arc<AtomicU64>,
    bounds: Bounds,
    stop: CancellationToken,
}

impl Live {
    pub(super) fn new(session: SessionId, principal: String, sql: Arc<str>, bounds: Bounds) -> Self {
        Self {
            id: QueryId::generate(),
            session,
            sql,
            principal,
            started: Utc::now(),
            began: Instant::now(),
            running: OnceLock::new(),
            rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            read_elsewhere: Arc::default(),
            bounds,
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
        let running = self.running.get();
        QueryInfo {
            id: self.id,
            session: self.session,
            sql: self.sql.clone(),
            principal: self.principal.clone(),
            started: self.started,
            finished: None,
            state: if running.is_some() { QueryState::Running } else { QueryState::Queued },
            rows: self.rows.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            queued: running.copied().unwrap_or_else(|| self.began.elapsed()),
            memory: self.bounds.memory.peak() as u64,
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
        self.live.running.get_or_init(|| self.live.began.elapsed());
    }

    /// It produced or wrote this much more.
    pub(crate) fn add(&self, rows: u64, bytes: u64) {
        self.live.rows.fetch_add(rows, Ordering::Relaxed);
        self.live.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts the rows that scans on other servers have read for it.
    pub(crate) fn read_elsewhere(&self) -> &Arc<AtomicU64> {
        &self.live.read_elsewhere
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

    /// The memory it may use.
    pub(crate) fn memory(&self) -> Arc<Budget> {
        self.live.bounds.memory.clone()
    }

    /// How long it may still take.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        self.live.bounds.time.map(|limit| limit.saturating_sub(self.live.began.elapsed()))
    }

    /// Ready when somebody cancels it or its time is over, with the reason.
    pub(crate) fn stopped(&self) -> impl Future<Output = Error> + Send + use<> {
        let (live, stop) = (Arc::clone(&self.live), self.live.stop.clone());
        async move {
            let over = async {
                match live.bounds.time {
                    Some(limit) => {
                        tokio::time::sleep(limit.saturating_sub(live.began.elapsed())).await;
                        limit
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => Error::Cancelled { id: live.id },
                limit = over => Error::TimedOut { id: live.id, limit },
            }
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let (state, error) = self.end.lock().take().unwrap_or((QueryState::Cancelled, None));
        let info = QueryInfo { state, error, finished: Some(Utc::now()), ..self.live.info() };
        let elapsed = (Utc::now() - info.started).num_milliseconds();
        tracing::info!(
            query = %info.id, session = %info.session, principal = info.principal, outcome = state.as_str(),
            rows = info.rows, bytes = info.bytes, memory = info.memory, elapsed_ms = elapsed, "query ended"
        );
        self.registry.end(info);
    }
}
