//! What is known about documents without asking the bucket. A version never changes, so a cached one can only be
//! out of date, never wrong.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::envelope::Envelope;

/// Documents kept in memory.
const CAPACITY: u64 = 100_000;

/// The newest known version of a document; version 0 when there is none.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) version: u64,
    pub(super) document: Option<Arc<Envelope>>,
    checked: Instant,
}

impl Head {
    pub(super) fn of(version: u64, document: Option<Arc<Envelope>>) -> Self {
        Self { version, document, checked: Instant::now() }
    }

    pub(super) fn checked_now(&self) -> Self {
        Self { checked: Instant::now(), ..self.clone() }
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
}

impl Cache {
    pub(super) fn new(refresh: Duration) -> Self {
        Self { heads: moka::sync::Cache::new(CAPACITY), refresh }
    }

    /// A head that is young enough to be served as it is.
    pub(super) fn fresh(&self, kind: &str, id: &str) -> Option<Head> {
        self.any(kind, id).filter(|head| head.checked.elapsed() < self.refresh)
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
            old.filter(|old| old.version > head.version).unwrap_or(head)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_version_never_replaces_a_newer_one() {
        let cache = Cache::new(Duration::from_secs(60));
        cache.insert("k", "a", Head::of(2, None));
        cache.insert("k", "a", Head::of(1, None));
        assert_eq!(cache.fresh("k", "a").unwrap().version, 2);
        assert!(Cache::new(Duration::ZERO).fresh("k", "a").is_none());
    }
}
