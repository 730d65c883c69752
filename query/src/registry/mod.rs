//! Which queries run, and which ran.

mod bytes;
mod progress;
mod run;
mod stream;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use skein_model::{QueryId, SessionId};

pub(crate) use bytes::batch_bytes;
pub use progress::Progress;
pub(crate) use run::{Bounds, Run};
pub use stream::QueryStream;

use run::Live;

/// How many finished queries are remembered.
const REMEMBERED: usize = 1000;

/// Where a query is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryState {
    /// Waiting for one of the slots.
    Queued,
    /// Producing rows.
    Running,
    /// Ended after its last row.
    Finished,
    /// Ended by an error.
    Failed,
    /// Ended by its client, or by an administrator.
    Cancelled,
}

impl QueryState {
    /// Its stable name, as in `system.queries`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// One row of `system.queries`.
#[derive(Debug, Clone)]
pub struct QueryInfo {
    /// The run's id.
    pub id: QueryId,
    /// The session it ran in.
    pub session: SessionId,
    /// The statement as it was sent.
    pub sql: Arc<str>,
    /// The name of the principal that sent it.
    pub principal: String,
    /// When it was accepted.
    pub started: DateTime<Utc>,
    /// When it ended; `None` while it runs.
    pub finished: Option<DateTime<Utc>>,
    /// Where it is in its life.
    pub state: QueryState,
    /// Rows handed out (or written) so far.
    pub rows: u64,
    /// Bytes handed out so far, as Arrow arrays in memory.
    pub bytes: u64,
    /// How long it waited for a slot; until now, while it waits.
    pub queued: Duration,
    /// The most memory its operators held at a time so far, in bytes.
    pub memory: u64,
    /// The error it ended with.
    pub error: Option<String>,
}

/// One row of `system.sessions`.
#[derive(Debug, Clone)]
pub struct SessionInfo {
    /// The session's id.
    pub id: SessionId,
    /// The name of its principal.
    pub principal: String,
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it last planned a statement.
    pub last_used: DateTime<Utc>,
    /// Its temporary tables.
    pub temp_tables: u64,
}

/// All runs of a server: the live ones, and a ring of those that ended.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry(Arc<Mutex<Runs>>);

#[derive(Debug, Default)]
struct Runs {
    live: HashMap<QueryId, Arc<Live>>,
    ended: VecDeque<QueryInfo>,
}

impl Registry {
    /// Registers a run; it is taken off when the returned handle goes.
    pub(crate) fn begin(&self, session: SessionId, principal: &str, sql: Arc<str>, bounds: Bounds) -> Run {
        let live = Arc::new(Live::new(session, principal.to_owned(), sql, bounds));
        self.0.lock().live.insert(live.id(), live.clone());
        Run::new(live, self.clone())
    }

    /// Live runs and remembered ones, newest first.
    pub(crate) fn list(&self) -> Vec<QueryInfo> {
        let runs = self.0.lock();
        let mut all: Vec<_> = runs.live.values().map(|live| live.info()).chain(runs.ended.iter().cloned()).collect();
        drop(runs);
        all.sort_by_key(|info| std::cmp::Reverse(info.id));
        all
    }

    /// How many run or wait.
    pub(crate) fn live(&self) -> usize {
        self.0.lock().live.len()
    }

    /// Tells a live run to stop; false when there is none of this id.
    pub(crate) fn cancel(&self, id: QueryId) -> bool {
        let live = self.0.lock().live.get(&id).cloned();
        live.map(|live| live.cancel()).is_some()
    }

    fn end(&self, info: QueryInfo) {
        let mut runs = self.0.lock();
        runs.live.remove(&info.id);
        if runs.ended.len() == REMEMBERED {
            runs.ended.pop_front();
        }
        runs.ended.push_back(info);
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::UnboundedMemoryPool;

    use super::*;
    use crate::engine::Budgets;

    fn bounds() -> Bounds {
        let budgets = Budgets::new(Arc::new(UnboundedMemoryPool::default()), usize::MAX, usize::MAX);
        Bounds { memory: budgets.of_statement("ada", None), time: None }
    }

    #[test]
    fn a_run_is_listed_while_it_lives_and_remembered_after() {
        let registry = Registry::default();
        let run = registry.begin(SessionId::generate(), "ada", "select 1".into(), bounds());
        assert_eq!(registry.list()[0].state, QueryState::Queued);
        run.started();
        run.add(3, 24);
        assert_eq!((registry.list()[0].state, registry.list()[0].rows), (QueryState::Running, 3));
        run.finished();
        drop(run);
        let info = &registry.list()[0];
        assert_eq!((info.state, info.rows, info.bytes), (QueryState::Finished, 3, 24));
        assert!(info.finished.is_some());
    }

    #[test]
    fn a_run_that_is_dropped_was_cancelled() {
        let registry = Registry::default();
        let run = registry.begin(SessionId::generate(), "ada", "select 1".into(), bounds());
        let id = run.id();
        assert!(registry.cancel(id));
        drop(run);
        assert!(!registry.cancel(id));
        assert_eq!(registry.list()[0].state, QueryState::Cancelled);
    }

    #[test]
    fn the_ring_is_bounded() {
        let registry = Registry::default();
        for _ in 0..REMEMBERED + 5 {
            registry.begin(SessionId::generate(), "ada", "select 1".into(), bounds());
        }
        assert_eq!(registry.list().len(), REMEMBERED);
    }
}
