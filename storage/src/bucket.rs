//! One bucket.

use std::{fmt, sync::Arc};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{
    Error as StoreError, GetOptions, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, memory::InMemory, path::Path,
};
use url::Url;

use crate::{
    BucketConfig, BucketErrorRecord, Error, ProbeReport, Result,
    journal::Journal,
    open,
    probe::probe,
    retry::{RetryPolicy, Retrying, ShortRead, is_transient},
};

/// How often a create is tried before its outcome counts as unknown.
const CREATE_ATTEMPTS: u32 = 6;

/// A named place on object storage. Cheap to clone.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use skein_storage::{Bucket, PutNew};
/// let bucket = Bucket::in_memory("lake");
/// assert_eq!(bucket.put_new("a/b", "mine".into()).await.unwrap(), PutNew::Created);
/// assert_eq!(bucket.put_new("a/b", "theirs".into()).await.unwrap(), PutNew::Exists);
/// assert_eq!(bucket.get("a/b").await.unwrap(), "mine");
/// # });
/// ```
#[derive(Clone)]
pub struct Bucket(Arc<Inner>);

struct Inner {
    name: String,
    url: String,
    store: Retrying,
    journal: Journal,
    /// A bucket the configuration closed is never opened by a probe.
    closed: bool,
    read_only: ArcSwapOption<String>,
}

/// What [`Bucket::put_new`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutNew {
    /// The object did not exist; it does now, with these bytes.
    Created,
    /// Another writer's object is there; nothing was changed.
    Exists,
}

impl fmt::Debug for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bucket").field("name", &self.0.name).field("url", &self.0.url).finish_non_exhaustive()
    }
}

impl Bucket {
    /// Opens a bucket and probes whether it can be written safely. A bucket that cannot, or that is out of reach at
    /// the moment, is opened read-only: [`Bucket::writable`] says why, and a later [`Bucket::probe`] may open it.
    ///
    /// # Errors
    /// [`Error::Config`] when the configuration itself cannot work.
    pub async fn open(config: BucketConfig) -> Result<Self> {
        let (store, policy) = open::build(&config)?;
        let bucket = Self::assemble(&config.name, &config.url, store, policy, config.read_only);
        if !config.read_only {
            bucket.probe().await?;
        }
        Ok(bucket)
    }

    /// An empty bucket in this process's memory.
    pub fn in_memory(name: &str) -> Self {
        Self::assemble(name, "memory:", Arc::new(InMemory::new()), RetryPolicy::local(), false)
    }

    /// A bucket over any store, taken to be writable without a probe. For tests and embedding.
    pub fn from_store(name: &str, store: Arc<dyn ObjectStore>) -> Self {
        Self::assemble(name, "custom:", store, RetryPolicy::local(), false)
    }

    fn assemble(name: &str, url: &str, store: Arc<dyn ObjectStore>, policy: RetryPolicy, closed: bool) -> Self {
        let journal = Journal::default();
        let reason = closed.then(|| "its configuration says read_only = true".to_owned());
        Self(Arc::new(Inner {
            name: name.to_owned(),
            url: url.to_owned(),
            store: Retrying::new(name, store, journal.clone(), policy),
            journal,
            closed,
            read_only: ArcSwapOption::from_pointee(reason),
        }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The URL it was configured with.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Whether it may be written.
    ///
    /// # Errors
    /// [`Error::ReadOnly`], which says why not.
    pub fn writable(&self) -> Result<()> {
        match self.0.read_only.load_full() {
            None => Ok(()),
            Some(reason) => Err(Error::ReadOnly { bucket: self.0.name.clone(), reason: reason.as_ref().clone() }),
        }
    }

    /// The store, rooted at the bucket's URL, durable and retrying. Whoever writes through it asks
    /// [`Bucket::writable`] first.
    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.0.store.clone())
    }

    /// `skein-bucket://<name>/`: the URL under which a query engine registers [`Bucket::store`].
    pub fn store_url(&self) -> Url {
        let text = format!("skein-bucket://{}/", self.0.name);
        // Names are checked on opening; a test bucket with an odd name gets an odd but valid URL.
        Url::parse(&text).unwrap_or_else(|_| fallback_url())
    }

    /// Reads an object.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it does not exist; [`Error::Store`] when it cannot be read.
    pub async fn get(&self, key: &str) -> Result<Bytes> {
        let missing = || Error::NotFound { bucket: self.0.name.clone(), key: key.to_owned() };
        self.get_opt(key).await?.ok_or_else(missing)
    }

    /// Reads an object that may not exist.
    ///
    /// # Errors
    /// [`Error::Store`] when it cannot be read, [`Error::ShortRead`] when the store returned a part of it.
    pub async fn get_opt(&self, key: &str) -> Result<Option<Bytes>> {
        let path = self.path(key)?;
        let store = &self.0.store;
        let attempts = store.policy().attempts;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let failure = match store.get_opts(&path, GetOptions::default()).await {
                Err(StoreError::NotFound { .. }) => return Ok(None),
                // The store itself has tried often enough.
                Err(source) => return Err(self.failed("get", key, source)),
                Ok(result) => match result.bytes().await {
                    Ok(bytes) => return Ok(Some(bytes)),
                    Err(source) if is_transient(&source) => self.failed("get", key, source),
                    Err(source) => return Err(self.failed("get", key, source)),
                },
            };
            if attempt >= attempts {
                return Err(failure);
            }
            tokio::time::sleep(store.policy().pause_after(attempt)).await;
        }
    }

    /// Creates an object, never overwriting one. `bytes` must be unlike any other writer's (carry an id of the
    /// attempt): when the store's answer is lost, what is found under the key tells who won.
    ///
    /// # Errors
    /// [`Error::ReadOnly`]; [`Error::Store`] when the object was certainly not created; [`Error::Ambiguous`] when no
    /// attempt got an answer, so that it may have been.
    pub async fn put_new(&self, key: &str, bytes: Bytes) -> Result<PutNew> {
        self.writable()?;
        let path = self.path(key)?;
        let mut attempt = 0;
        // An attempt got no answer: its request may still be on its way, and no later refusal takes it back.
        let mut unclear = false;
        loop {
            let put = self.0.store.put_opts(&path, bytes.clone().into(), PutMode::Create.into()).await;
            let source = match put {
                Ok(_) => return Ok(PutNew::Created),
                Err(source) => source,
            };
            if certainly_refused(&source) {
                return Err(self.not_created(key, source, unclear));
            }
            let taken = matches!(source, StoreError::AlreadyExists { .. } | StoreError::Precondition { .. });
            match self.get_opt(key).await {
                Ok(Some(found)) if found != bytes => return Ok(PutNew::Exists),
                Ok(Some(_)) if taken => return Ok(PutNew::Created),
                // Ours is there but the store did not say so: the next attempt makes it durable and certain.
                Ok(Some(_)) => {}
                Ok(None) if !taken && !is_transient(&source) => return Err(self.not_created(key, source, unclear)),
                // "Already exists" and yet not there: S3's retryable 409, or an object that was deleted meanwhile.
                Ok(None) | Err(_) => {}
            }
            attempt += 1;
            unclear |= !taken;
            if attempt == CREATE_ATTEMPTS {
                return Err(self.not_created(key, source, true));
            }
            tokio::time::sleep(self.0.store.policy().pause_after(attempt)).await;
        }
    }

    fn not_created(&self, key: &str, source: StoreError, unclear: bool) -> Error {
        if unclear {
            return Error::Ambiguous { bucket: self.0.name.clone(), key: key.to_owned(), source: Box::new(source) };
        }
        self.failed("create", key, source)
    }

    /// All objects below a prefix (a folder, not a part of a name), sorted by key.
    ///
    /// # Errors
    /// [`Error::Store`] when the store cannot be listed.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        let path = self.path(prefix)?;
        let list = || self.0.store.list(Some(&path)).try_collect::<Vec<_>>();
        self.0.store.repeat("list", prefix, list).await.map(sorted).map_err(|e| self.failed("list", prefix, e))
    }

    /// The objects below a prefix whose key sorts after `offset_key`, sorted by key.
    ///
    /// # Errors
    /// As [`Bucket::list`].
    pub async fn list_after(&self, prefix: &str, offset_key: &str) -> Result<Vec<ObjectMeta>> {
        let (path, offset) = (self.path(prefix)?, self.path(offset_key)?);
        let list = || self.0.store.list_with_offset(Some(&path), &offset).try_collect::<Vec<_>>();
        self.0.store.repeat("list", prefix, list).await.map(sorted).map_err(|e| self.failed("list", prefix, e))
    }

    /// Deletes an object; that it is gone already is no error.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] and [`Error::Store`].
    pub async fn delete(&self, key: &str) -> Result<()> {
        self.writable()?;
        let path = self.path(key)?;
        match self.0.store.repeat("delete", key, || self.0.store.delete(&path)).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.failed("delete", key, source)),
        }
    }

    /// Races several creators of one object against each other, and opens or closes the bucket for writing by the
    /// outcome. What it wrote is removed again.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] when the configuration forbids writing.
    pub async fn probe(&self) -> Result<ProbeReport> {
        if self.0.closed {
            self.writable()?;
        }
        let report = probe(&self.0.store).await;
        if let Some(reason) = &report.reason {
            tracing::warn!(bucket = %self.0.name, reason, "bucket is read-only");
        }
        self.0.read_only.store(report.reason.clone().map(Arc::new));
        Ok(report)
    }

    /// The recent failures, oldest first.
    pub fn errors(&self) -> Vec<BucketErrorRecord> {
        self.0.journal.records()
    }

    fn path(&self, key: &str) -> Result<Path> {
        Path::parse(key).map_err(|e| Error::InvalidKey {
            bucket: self.0.name.clone(),
            key: key.to_owned(),
            reason: e.to_string(),
        })
    }

    fn failed(&self, operation: &'static str, key: &str, source: StoreError) -> Error {
        let (bucket, key) = (self.0.name.clone(), key.to_owned());
        match std::error::Error::source(&source).and_then(|cause| cause.downcast_ref::<ShortRead>()) {
            Some(ShortRead { expected, actual }) => {
                Error::ShortRead { bucket, key, expected: *expected, actual: *actual }
            }
            None => Error::Store { bucket, operation, key, source: Box::new(source) },
        }
    }
}

fn sorted(mut objects: Vec<ObjectMeta>) -> Vec<ObjectMeta> {
    objects.sort_by(|a, b| a.location.cmp(&b.location));
    objects
}

/// Answers that leave no doubt: the request was understood and not carried out.
fn certainly_refused(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::NotFound { .. }
            | StoreError::InvalidPath { .. }
            | StoreError::NotSupported { .. }
            | StoreError::NotImplemented { .. }
            | StoreError::PermissionDenied { .. }
            | StoreError::Unauthenticated { .. }
            | StoreError::UnknownConfigurationKey { .. }
    )
}

fn fallback_url() -> Url {
    #[allow(clippy::expect_used, reason = "a constant that parses")]
    Url::parse("skein-bucket://unnamed/").expect("constant URL")
}
