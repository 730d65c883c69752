//! The last failures of a bucket, kept in memory for `system.bucket_errors`.

use std::{collections::VecDeque, sync::Arc};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use skein_model::ErrorKind;

/// How many failures a bucket remembers.
const CAPACITY: usize = 256;

/// One failed operation on a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketErrorRecord {
    /// When it failed.
    pub at: DateTime<Utc>,
    /// The bucket's name.
    pub bucket: String,
    /// What was tried: `get`, `put`, `list`, ...
    pub operation: String,
    /// The key or prefix.
    pub key: String,
    /// The kind of failure.
    pub kind: ErrorKind,
    /// The failure, in words.
    pub message: String,
    /// Whether the operation was tried again afterwards.
    pub retried: bool,
}

/// A ring of records: the newest push out the oldest.
#[derive(Debug, Clone, Default)]
pub(crate) struct Journal(Arc<Mutex<VecDeque<BucketErrorRecord>>>);

impl Journal {
    pub(crate) fn record(&self, record: BucketErrorRecord) {
        let mut ring = self.0.lock();
        if ring.len() == CAPACITY {
            ring.pop_front();
        }
        ring.push_back(record);
    }

    /// Oldest first.
    pub(crate) fn records(&self) -> Vec<BucketErrorRecord> {
        self.0.lock().iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_keeps_the_newest() {
        let journal = Journal::default();
        for i in 0..CAPACITY + 10 {
            journal.record(BucketErrorRecord {
                at: DateTime::UNIX_EPOCH,
                bucket: "b".into(),
                operation: "get".into(),
                key: i.to_string(),
                kind: ErrorKind::Unavailable,
                message: "503".into(),
                retried: false,
            });
        }
        let records = journal.records();
        assert_eq!(records.len(), CAPACITY);
        assert_eq!(records[0].key, "10");
    }
}
