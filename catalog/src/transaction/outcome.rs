//! What became of a transaction: one object, created once, that says whether it was committed or given up.
//!
//! Entries of logs and names that belong to a transaction count only when its outcome says that it was committed. Whoever
//! cannot wait for one that stands still creates the outcome `aborted`; of that and the committer's own, one comes first.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use skein_storage::{Bucket, PutNew};
use ulid::Ulid;

use crate::{Error, Result, persisted};

/// How long a writer waits for a transaction that is about to be committed before it gives it up.
const PATIENCE: Duration = Duration::from_secs(2);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);
/// Outcomes kept in memory. They never change.
const REMEMBERED: u64 = 100_000;

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All of it counts, since this time.
    Committed { at: DateTime<Utc> },
    /// None of it counts.
    Aborted,
}

/// What stands in `_skein/txn/<transaction>.json`. It must stay as long as anything names the transaction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Record {
    format: u32,
    transaction: Ulid,
    outcome: Said,
    at: DateTime<Utc>,
    /// Unlike any other attempt's.
    writer: Ulid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    Committed,
    Aborted,
}

impl Record {
    fn new(transaction: Ulid, outcome: Outcome, now: DateTime<Utc>) -> Self {
        let (outcome, at) = match outcome {
            Outcome::Committed { at } => (Said::Committed, at),
            Outcome::Aborted => (Said::Aborted, now),
        };
        Self { format: persisted::FORMAT, transaction, outcome, at, writer: Ulid::new() }
    }

    fn outcome(&self) -> Outcome {
        match self.outcome {
            Said::Committed => Outcome::Committed { at: self.at },
            Said::Aborted => Outcome::Aborted,
        }
    }
}

/// The outcomes of transactions, in the default bucket.
#[derive(Debug, Clone)]
pub(crate) struct Outcomes {
    home: Bucket,
    known: moka::sync::Cache<Ulid, Outcome>,
    patience: Duration,
}

impl Outcomes {
    pub(crate) fn new(home: Bucket) -> Self {
        Self { home, known: moka::sync::Cache::new(REMEMBERED), patience: PATIENCE }
    }

    /// What became of it; `None` while that is open.
    pub(crate) async fn of(&self, transaction: Ulid) -> Result<Option<Outcome>> {
        if let Some(outcome) = self.known.get(&transaction) {
            return Ok(Some(outcome));
        }
        let key = key(transaction);
        let Some(bytes) = self.home.get_opt(&key).await? else { return Ok(None) };
        let record: Record = persisted::decode(&self.home, &key, &bytes)?;
        if record.transaction != transaction {
            return Err(persisted::corrupt(&self.home, &key, "it is another one's; restore it from a backup"));
        }
        Ok(Some(self.remember(transaction, record.outcome())))
    }

    /// Decides it this way, unless it is decided already. Returns what it is then.
    ///
    /// # Errors
    /// [`skein_storage::Error::Ambiguous`] when it may be decided so by now, or later, and may not.
    pub(crate) async fn decide(&self, transaction: Ulid, outcome: Outcome, now: DateTime<Utc>) -> Result<Outcome> {
        let bytes = persisted::encode(&Record::new(transaction, outcome, now))?;
        match self.home.put_new(&key(transaction), bytes).await? {
            PutNew::Created => Ok(self.remember(transaction, outcome)),
            PutNew::Exists => self.of(transaction).await?.ok_or_else(|| {
                Error::Internal(format!("the outcome of transaction {transaction} was there and is gone"))
            }),
        }
    }

    /// Waits for it to be decided, and after a while gives it up.
    pub(crate) async fn settle(&self, transaction: Ulid, now: DateTime<Utc>) -> Result<Outcome> {
        let started = tokio::time::Instant::now();
        let mut pause = Duration::from_millis(2);
        loop {
            if let Some(outcome) = self.of(transaction).await? {
                return Ok(outcome);
            }
            if started.elapsed() >= self.patience {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        tracing::warn!(%transaction, "a transaction stood still while it was committed and is given up");
        self.decide(transaction, Outcome::Aborted, now).await
    }

    fn remember(&self, transaction: Ulid, outcome: Outcome) -> Outcome {
        self.known.insert(transaction, outcome);
        outcome
    }
}

/// Whether these bytes say what became of a transaction; for the fuzz targets.
pub(crate) fn is_outcome(bucket: &Bucket, key: &str, bytes: &[u8]) -> bool {
    persisted::decode::<Record>(bucket, key, bytes).is_ok()
}

fn key(transaction: Ulid) -> String {
    format!("_skein/txn/{transaction}.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden;

    fn outcomes() -> Outcomes {
        Outcomes::new(Bucket::in_memory("home"))
    }

    #[test]
    fn the_format_is_the_one_on_file() {
        let record = Record {
            format: 1,
            transaction: "01JC0000000000000000000099".parse().unwrap(),
            outcome: Said::Committed,
            at: "2026-01-02T03:04:05.678Z".parse().unwrap(),
            writer: "01JC0000000000000000000098".parse().unwrap(),
        };
        golden::check("transaction", &record);
        golden::check("transaction_aborted", &Record { outcome: Said::Aborted, ..record });
    }

    #[tokio::test]
    async fn the_first_decision_stands() {
        let (outcomes, id, now) = (outcomes(), Ulid::new(), Utc::now());
        assert_eq!(outcomes.of(id).await.unwrap(), None);
        let committed = Outcome::Committed { at: now };
        assert_eq!(outcomes.decide(id, committed, now).await.unwrap(), committed);
        assert_eq!(outcomes.decide(id, Outcome::Aborted, now).await.unwrap(), committed);
        let other = Outcomes::new(outcomes.home.clone());
        assert_eq!(other.settle(id, now).await.unwrap(), committed, "another server reads it");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_stands_still_is_given_up() {
        let (outcomes, id, now) = (outcomes(), Ulid::new(), Utc::now());
        assert_eq!(outcomes.settle(id, now).await.unwrap(), Outcome::Aborted);
        assert_eq!(outcomes.decide(id, Outcome::Committed { at: now }, now).await.unwrap(), Outcome::Aborted);
    }
}
