//! Versioned documents: everything in the catalog that is not a dataset's log.
//!
//! A document is a row of objects `_skein/docs/<kind>/<id>/<version>.json`, each created once and never changed.
//! Whoever creates the next number first has made the change, so two servers never overwrite each other. Versions that
//! have been out of date for long are removed (see `prune.rs` for why nobody misses them); the newest always stays.

mod cache;
mod envelope;
mod keys;
mod prune;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use serde::{Serialize, de::DeserializeOwned};
use skein_model::Clock;
use skein_storage::{Bucket, PutNew};
use ulid::Ulid;

use self::cache::{Cache, Head, Moment};
pub(crate) use self::envelope::Envelope;
use crate::{Error, Result, persisted};

/// Documents read at the same time by a listing.
const PARALLEL_READS: usize = 16;
const NOT_THERE: &str = "it is listed but cannot be read; it may have been deleted by hand";
/// How often a listing is repeated that shows what is not there.
const LISTINGS: u32 = 5;

/// Small JSON documents, each a row of numbered versions that only grows. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Documents(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bucket: Bucket,
    cache: Cache,
}

impl Documents {
    /// The documents in a bucket. A cached one is served for `refresh` before the bucket is asked for a newer version.
    pub(crate) fn new(bucket: Bucket, refresh: Duration, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner { bucket, cache: Cache::new(refresh, clock) }))
    }

    /// The newest version of a document, or `None` when it does not exist or was deleted.
    ///
    /// `kind` and `id` consist of ASCII letters, digits, `-` and `_`; hash what does not.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for another kind or id, [`Error::Corrupt`] when the document cannot be read as a `T`.
    pub async fn get<T: DeserializeOwned>(&self, kind: &str, id: &str) -> Result<Option<(u64, T)>> {
        let head = self.head(kind, id).await?;
        self.live(kind, id, &head)
    }

    /// As [`Documents::get`], but asks the bucket however young the cached version is.
    ///
    /// # Errors
    /// As [`Documents::get`].
    pub async fn get_latest<T: DeserializeOwned>(&self, kind: &str, id: &str) -> Result<Option<(u64, T)>> {
        let head = self.latest_head(kind, id).await?;
        self.live(kind, id, &head)
    }

    /// Writes the version after `expected_version` and returns its number. `expected_version` 0 means that the document
    /// must not exist (or must have been deleted).
    ///
    /// # Errors
    /// [`Error::Conflict`] when the document is at another version; nothing is written then. [`Error::CommitUnknown`]
    /// when the bucket gave no answer, so that it may have been written.
    pub async fn put<T: Serialize>(&self, kind: &str, id: &str, expected_version: u64, body: &T) -> Result<u64> {
        let body = serde_json::to_value(body)
            .map_err(|e| Error::Internal(format!("a document of kind '{kind}' cannot be written as JSON: {e}")))?;
        self.write(kind, id, expected_version, Some(body)).await
    }

    /// Marks a document as deleted. A later [`Documents::put`] with expected version 0 brings it back.
    ///
    /// # Errors
    /// As [`Documents::put`].
    pub async fn delete(&self, kind: &str, id: &str, expected_version: u64) -> Result<()> {
        if expected_version == 0 {
            return Err(Error::InvalidInput(format!("deleting document {kind}/{id} needs the version it has")));
        }
        self.write(kind, id, expected_version, None).await.map(drop)
    }

    /// All documents of a kind that are not deleted, as `(id, version, body)`, sorted by id.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when one cannot be read as a `T`.
    pub async fn list<T: DeserializeOwned>(&self, kind: &str) -> Result<Vec<(String, u64, T)>> {
        let heads = self.heads(kind).await?;
        let mut found = Vec::with_capacity(heads.len());
        for (id, head) in heads {
            if let Some((version, body)) = self.live(kind, &id, &head)? {
                found.push((id, version, body));
            }
        }
        Ok(found)
    }

    fn live<T: DeserializeOwned>(&self, kind: &str, id: &str, head: &Head) -> Result<Option<(u64, T)>> {
        let Some(body) = head.document.as_ref().and_then(|d| d.body.as_ref()) else { return Ok(None) };
        let body = T::deserialize(body)
            .map_err(|e| persisted::corrupt(&self.0.bucket, &keys::key(kind, id, head.version), &e.to_string()))?;
        Ok(Some((head.version, body)))
    }

    async fn write(&self, kind: &str, id: &str, expected: u64, body: Option<serde_json::Value>) -> Result<u64> {
        keys::check(kind, id)?;
        let head = match self.0.cache.trusted(kind, id).filter(|h| h.version == expected && expected > 0) {
            // If it is out of date, the create below finds that out.
            Some(head) => head,
            None => self.latest_head(kind, id).await?,
        };
        let conflict = |reason: String| Error::Conflict { what: format!("document {kind}/{id}"), reason };
        if head.live_version() != expected {
            return Err(conflict(format!("it is at version {}, not {expected}", head.live_version())));
        }
        let version = head.version + 1;
        let envelope = Envelope::new(kind, id, version, body);
        let bytes = persisted::encode(&envelope)?;
        let now = self.0.cache.now();
        match self.0.bucket.put_new(&keys::key(kind, id, version), bytes).await {
            Ok(PutNew::Created) => {
                self.0.cache.insert(kind, id, Head::of(version, Some(Arc::new(envelope)), now));
                Ok(version)
            }
            Ok(PutNew::Exists) => {
                // What is cached is out of date, whatever its age.
                self.0.cache.forget(kind, id);
                Err(conflict(format!("version {version} was written meanwhile")))
            }
            Err(source @ skein_storage::Error::Ambiguous { .. }) => {
                Err(Error::CommitUnknown { what: format!("document {kind}/{id}"), version, source })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The newest version in the bucket (or in the cache, while it is young enough).
    async fn head(&self, kind: &str, id: &str) -> Result<Head> {
        keys::check(kind, id)?;
        if let Some(head) = self.0.cache.fresh(kind, id) {
            return Ok(head);
        }
        self.latest_head(kind, id).await
    }

    /// The newest version in the bucket.
    async fn latest_head(&self, kind: &str, id: &str) -> Result<Head> {
        keys::check(kind, id)?;
        let now = self.0.cache.now();
        let mut head = match self.0.cache.trusted(kind, id) {
            Some(head) => Head::of(head.version, head.document, now),
            None => self.newest_listed(kind, id, now).await?,
        };
        // A listing may lag behind and a cached version may be old: what counts is that the next one is not there.
        while let Some(document) = self.read(kind, id, head.version + 1).await? {
            head = Head::of(head.version + 1, Some(document), now);
        }
        self.0.cache.insert(kind, id, head.clone());
        Ok(head)
    }

    async fn newest_listed(&self, kind: &str, id: &str, now: Moment) -> Result<Head> {
        let mut attempt = 0;
        loop {
            let objects = self.0.bucket.list(&keys::folder(kind, id)).await?;
            let newest = objects.iter().filter_map(|o| keys::parse(o.location.as_ref())).map(|k| k.version).max();
            let Some(version) = newest else { return Ok(Head::of(0, None, now)) };
            attempt += 1;
            match self.read_listed(kind, id, version, now).await {
                Err(error) if is_worth_another_listing(&error, attempt) => pause(attempt).await,
                outcome => return outcome,
            }
        }
    }

    async fn heads(&self, kind: &str) -> Result<Vec<(String, Head)>> {
        keys::check(kind, "any")?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.listed_heads(kind).await {
                Err(error) if is_worth_another_listing(&error, attempt) => pause(attempt).await,
                outcome => return outcome,
            }
        }
    }

    async fn listed_heads(&self, kind: &str) -> Result<Vec<(String, Head)>> {
        let now = self.0.cache.now();
        let objects = self.0.bucket.list(&keys::kind_folder(kind)).await?;
        let mut newest = BTreeMap::<String, u64>::new();
        for key in objects.iter().filter_map(|o| keys::parse(o.location.as_ref())) {
            let version = newest.entry(key.id.to_owned()).or_default();
            *version = key.version.max(*version);
        }
        let read = |(id, version): (String, u64)| async move {
            if let Some(head) = self.0.cache.any(kind, &id).filter(|h| h.version >= version) {
                return Ok((id, head));
            }
            let head = self.read_listed(kind, &id, version, now).await?;
            self.0.cache.insert(kind, &id, head.clone());
            Ok::<_, Error>((id, head))
        };
        stream::iter(newest).map(read).buffered(PARALLEL_READS).try_collect().await
    }

    async fn read_listed(&self, kind: &str, id: &str, version: u64, now: Moment) -> Result<Head> {
        let missing = || persisted::corrupt(&self.0.bucket, &keys::key(kind, id, version), NOT_THERE);
        let document = self.read(kind, id, version).await?.ok_or_else(missing)?;
        Ok(Head::of(version, Some(document), now))
    }

    async fn read(&self, kind: &str, id: &str, version: u64) -> Result<Option<Arc<Envelope>>> {
        let key = keys::key(kind, id, version);
        let Some(bytes): Option<Bytes> = self.0.bucket.get_opt(&key).await? else { return Ok(None) };
        let envelope: Envelope = persisted::decode(&self.0.bucket, &key, &bytes)?;
        if (envelope.kind.as_str(), envelope.id.as_str(), envelope.version) != (kind, id, version) {
            return Err(persisted::corrupt(&self.0.bucket, &key, "it is another document's; restore it from a backup"));
        }
        Ok(Some(Arc::new(envelope)))
    }
}

/// Whether a listing has shown a version that is not there: it lags behind, or the version was removed because there are
/// newer ones.
fn is_worth_another_listing(error: &Error, attempt: u32) -> bool {
    attempt < LISTINGS && matches!(error, Error::Corrupt { reason, .. } if reason == NOT_THERE)
}

async fn pause(attempt: u32) {
    tokio::time::sleep(Duration::from_millis(20 << attempt)).await;
}

impl Envelope {
    fn new(kind: &str, id: &str, version: u64, body: Option<serde_json::Value>) -> Self {
        Self { format: persisted::FORMAT, kind: kind.to_owned(), id: id.to_owned(), version, writer: Ulid::new(), body }
    }
}

#[cfg(test)]
mod tests {
    use skein_model::{ErrorKind, Kind, SystemClock};

    use super::*;

    fn documents(bucket: &Bucket) -> Documents {
        Documents::new(bucket.clone(), Duration::ZERO, Arc::new(SystemClock))
    }

    #[tokio::test]
    async fn a_document_is_changed_from_the_version_one_knows() {
        let documents = documents(&Bucket::in_memory("b"));
        assert_eq!(documents.get::<String>("note", "a").await.unwrap(), None);
        assert_eq!(documents.put("note", "a", 0, &"one").await.unwrap(), 1);
        assert_eq!(documents.put("note", "a", 1, &"two").await.unwrap(), 2);
        assert_eq!(documents.get("note", "a").await.unwrap(), Some((2, "two".to_owned())));
        for stale in [0, 1, 3] {
            let error = documents.put("note", "a", stale, &"three").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Conflict, "{stale}");
        }
    }

    #[tokio::test]
    async fn a_deleted_document_can_come_back() {
        let documents = documents(&Bucket::in_memory("b"));
        documents.put("note", "a", 0, &"one").await.unwrap();
        documents.delete("note", "a", 1).await.unwrap();
        assert_eq!(documents.get::<String>("note", "a").await.unwrap(), None);
        assert!(documents.list::<String>("note").await.unwrap().is_empty());
        assert_eq!(documents.put("note", "a", 0, &"again").await.unwrap(), 3);
    }

    #[tokio::test]
    async fn two_servers_see_each_others_documents() {
        let bucket = Bucket::in_memory("b");
        let (one, two) = (documents(&bucket), documents(&bucket));
        one.put("note", "a", 0, &"one").await.unwrap();
        assert_eq!(two.get("note", "a").await.unwrap(), Some((1, "one".to_owned())));
        two.put("note", "a", 1, &"two").await.unwrap();
        two.put("note", "b", 0, &"b").await.unwrap();
        assert_eq!(one.put("note", "a", 1, &"lost").await.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(one.get("note", "a").await.unwrap(), Some((2, "two".to_owned())));
        let listed = one.list::<String>("note").await.unwrap();
        assert_eq!(listed, [("a".to_owned(), 2, "two".to_owned()), ("b".to_owned(), 1, "b".to_owned())]);
    }

    #[tokio::test]
    async fn a_conflict_is_learnt_from_even_while_the_cache_is_young() {
        let bucket = Bucket::in_memory("b");
        let hour = Duration::from_secs(3600);
        let (lazy, other) = (Documents::new(bucket.clone(), hour, Arc::new(SystemClock)), documents(&bucket));
        lazy.put("note", "a", 0, &"one").await.unwrap();
        other.put("note", "a", 1, &"two").await.unwrap();
        assert_eq!(lazy.get("note", "a").await.unwrap(), Some((1, "one".to_owned())), "within the hour");
        assert_eq!(lazy.put("note", "a", 1, &"three").await.unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(lazy.get("note", "a").await.unwrap(), Some((2, "two".to_owned())));
    }

    #[tokio::test]
    async fn kinds_and_ids_cannot_become_paths() {
        let documents = documents(&Bucket::in_memory("b"));
        for (kind, id) in [("note", "../x"), ("note", ""), ("a/b", "x"), ("note", "ä"), ("note", &"x".repeat(200))] {
            assert_eq!(documents.put(kind, id, 0, &1).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
    }

    #[tokio::test]
    async fn a_damaged_document_is_named() {
        let bucket = Bucket::in_memory("b");
        bucket.put_new(&keys::key("note", "a", 1), "{\"format\":1,".into()).await.unwrap();
        let error = documents(&bucket).get::<String>("note", "a").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("_skein/docs/note/a/00000000000000000001.json"), "{error}");
    }
}
