//! What workers tell the coordinator of a statement while it runs: how many rows their scans have read.
//!
//! The library collects metrics when a statement has ended. The calls that bring its tasks are open until then, and have a message for loads of
//! partitions, which only plans that are sized while they run make use of. Ours are for a partition that there is not.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use datafusion_distributed::WorkerToCoordinatorMsg;
use parking_lot::Mutex;
use prost::Message;

use super::TaskOptions;
use crate::{Engine, engine::Budget};

/// A partition that there is not.
const NOWHERE: usize = usize::MAX;

/// `worker.WorkerToCoordinatorMsg`, as far as it is needed here.
#[derive(Clone, PartialEq, Message)]
struct Report {
    #[prost(message, optional, tag = "2")]
    load: Option<Load>,
}

/// `worker.LoadInfo`.
#[derive(Clone, PartialEq, Message)]
struct Load {
    #[prost(uint64, tag = "1")]
    partition: u64,
    #[prost(uint64, tag = "8")]
    rows_pulled_from_leaf: u64,
}

/// The rows that a report tells of; `None` for any other message.
pub(super) fn rows_in(message: &WorkerToCoordinatorMsg) -> Option<u64> {
    match message {
        WorkerToCoordinatorMsg::LoadInfo(load) if load.partition == NOWHERE => Some(load.rows_pulled_from_leaf as u64),
        _ => None,
    }
}

/// A statement's part in a worker, shared by its tasks there.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) memory: Arc<Budget>,
    /// Rows that its scans have read and that nobody was told of.
    untold: AtomicU64,
}

impl Share {
    /// A scan has read so many rows more.
    pub(super) fn has_read(&self, rows: usize) {
        self.untold.fetch_add(rows as u64, Ordering::Relaxed);
    }
}

/// The statements that a worker runs tasks of.
#[derive(Debug, Clone, Default)]
pub struct Shares(Arc<Mutex<HashMap<String, Weak<Share>>>>);

impl Shares {
    pub(super) fn of(&self, statement: &TaskOptions, engine: &Engine) -> Arc<Share> {
        let mut shares = self.0.lock();
        if let Some(share) = shares.get(&statement.query).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let memory = engine.budgets().of_statement(&statement.user, Some(statement.memory));
        let share = Arc::new(Share { memory, untold: AtomicU64::new(0) });
        shares.insert(statement.query.clone(), Arc::downgrade(&share));
        share
    }

    /// What is new to the coordinator of a statement, which it is to be told in a call that brought it a task: a message of the worker service.
    pub fn report(&self, query: &str) -> Option<Vec<u8>> {
        let share = self.0.lock().get(query).and_then(Weak::upgrade)?;
        let rows = share.untold.swap(0, Ordering::Relaxed);
        let load = Load { partition: NOWHERE as u64, rows_pulled_from_leaf: rows };
        (rows > 0).then(|| Report { load: Some(load) }.encode_to_vec())
    }
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::UnboundedMemoryPool;
    use datafusion_distributed::LoadInfo;

    use super::*;
    use crate::engine::Budgets;

    #[test]
    fn what_was_read_is_told_once() {
        let budgets = Budgets::new(Arc::new(UnboundedMemoryPool::default()), usize::MAX, usize::MAX);
        let share = Arc::new(Share { memory: budgets.of_statement("ada", None), untold: AtomicU64::new(0) });
        let shares = Shares::default();
        shares.0.lock().insert("one".to_owned(), Arc::downgrade(&share));
        assert!(shares.report("one").is_none());
        share.has_read(3);
        share.has_read(4);
        assert!(shares.report("another").is_none());
        let load = Report::decode(shares.report("one").unwrap().as_slice()).unwrap().load.unwrap();
        assert_eq!((load.partition, load.rows_pulled_from_leaf), (NOWHERE as u64, 7));
        assert!(shares.report("one").is_none());
        share.has_read(1);
        drop(share);
        assert!(shares.report("one").is_none(), "its tasks have ended");
    }

    #[test]
    fn reports_are_told_from_what_else_is_said() {
        let load = |partition| {
            WorkerToCoordinatorMsg::LoadInfo(LoadInfo { partition, rows_pulled_from_leaf: 5, ..LoadInfo::default() })
        };
        assert_eq!(rows_in(&load(NOWHERE)), Some(5));
        assert_eq!(rows_in(&load(0)), None);
        assert_eq!(rows_in(&WorkerToCoordinatorMsg::LoadInfoEos), None);
    }
}
