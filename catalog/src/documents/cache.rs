//! What is known about documents without asking the bucket. A version never changes, so a cached one can only be
//! out of date, never wrong.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use skein_model::Clock;

use super::envelope::Envelope;

/// Documents kept in memory.
const CAPACITY: u64 = 100_000;
/// Longer than this nothing is built on what was seen. Old versions are removed when they are out of date for longer than
/// [`crate::maintenance::MIN_GRACE`], which is many times this: whoever looks for the version after one that is
/// trusted still finds it, if it was ever written.
pub(super) const TRUST: Duration = Duration::from_secs(10 * 60);

/// The newest known version of a document; version 0 when there is none.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) version: u64,
    pub(super) document: Option<Arc<Envelope>>,
    checked: Moment,
}

/// A point in time by two clocks: one stands still while a machine sleeps, the other can be set back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    steady: Instant,
    date: DateTime<Utc>,
}

impl Head {
    /// A version that was the newest at this moment.
    pub(super) fn of(version: u64, document: Option<Arc<Envelope>>, checked: Moment) -> Self {
        Self { version, document, checked }
    }

    /// Its version, or 0 when it was deleted.
    pub(super) fn live_version(&self) -> u64 {
        self.document.as_ref().filter(|d| d.body.is_some()).map_or(0, |_| self.version)
    }
}

#[derive(Debug)]
pub(super) struct Cache {
    heads: moka::sync::Cache<(String, String), Head>,
    refresh: Duration,
    clock: Arc<dyn Clock>,
}

impl Cache {
    pub(super) fn new(refresh: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { heads: moka::sync::Cache::new(CAPACITY), refresh, clock }
    }

    pub(super) fn now(&self) -> Moment {
        Moment { steady: Instant::now(), date: self.clock.now() }
    }

    fn age(&self, head: &Head) -> Duration {
        let by_date = (self.clock.now() - head.checked.date).to_std().unwrap_or_default();
        head.checked.steady.elapsed().max(by_date)
    }

    /// A head that is young enough to be served as it is.
    pub(super) fn fresh(&self, kind: &str, id: &str) -> Option<Head> {
        self.any(kind, id).filter(|head| head.checked.steady.elapsed() < self.refresh)
    }

    /// A head that may be out of date, but not by so much that the version after it could have been removed.
    pub(super) fn trusted(&self, kind: &str, id: &str) -> Option<Head> {
        self.any(kind, id).filter(|head| self.age(head) < TRUST)
    }

    pub(super) fn any(&self, kind: &str, id: &str) -> Option<Head> {
        self.heads.get(&(kind.to_owned(), id.to_owned()))
    }

    pub(super) fn forget(&self, kind: &str, id: &str) {
        self.heads.invalidate(&(kind.to_owned(), id.to_owned()));
    }

    /// Keeps the newer of two versions: a slow reader must not undo what a writer has just put here.
    pub(super) fn insert(&self, kind: &str, id: &str, head: Head) {
        self.heads.entry((kind.to_owned(), id.to_owned())).and_upsert_with(|old| {
            let old = old.map(moka::Entry::into_value);
            let newer = |old: &Head| (old.version, old.checked.steady) > (head.version, head.checked.steady);
            old.filter(newer).unwrap_or(head)
        });
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use skein_model::{ManualClock, SystemClock};

    use super::*;

    #[test]
    fn an_older_version_never_replaces_a_newer_one() {
        let cache = |refresh| Cache::new(refresh, Arc::new(SystemClock));
        let minute = cache(Duration::from_secs(60));
        let now = minute.now();
        minute.insert("k", "a", Head::of(2, None, now));
        minute.insert("k", "a", Head::of(1, None, now));
        assert_eq!(minute.fresh("k", "a").unwrap().version, 2);
        assert!(cache(Duration::ZERO).fresh("k", "a").is_none());
    }

    #[test]
    fn trust_ends_by_either_clock() {
        let clock = ManualClock::new(Utc::now());
        let cache = Cache::new(Duration::ZERO, Arc::new(clock.clone()));
        cache.insert("k", "a", Head::of(2, None, cache.now()));
        clock.advance(TimeDelta::minutes(9));
        assert!(cache.trusted("k", "a").is_some());
        clock.advance(TimeDelta::minutes(2));
        assert!(cache.trusted("k", "a").is_none());
        clock.advance(TimeDelta::hours(-1));
        assert!(cache.trusted("k", "a").is_some(), "a clock that was set back says nothing");
    }
}
