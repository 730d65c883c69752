//! Tries again what failed for a moment, and writes every failure into the bucket's journal.

use std::{
    fmt,
    future::Future,
    io,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::Utc;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
    path::Path,
};

use crate::{
    BucketErrorRecord,
    error::{advice, cause, has_no_place, io_error, said, store_error_kind},
    journal::Journal,
};

/// How often and how patiently an operation is repeated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetryPolicy {
    /// Attempts in all, at least 1.
    pub(crate) attempts: u32,
    /// The pause after the first attempt; it doubles, with jitter.
    pub(crate) pause: Duration,
    /// How long a bucket that was out of reach is left alone before it is probed again.
    pub(crate) reprobe: Duration,
}

/// How long somebody is kept waiting by a store that does not answer before the last failure is the answer. What is
/// under way when this is over is waited for: a request to a store of the cloud has a time limit of its own.
const PATIENCE: Duration = Duration::from_secs(15);

/// When an operation was begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience(Instant);

impl Patience {
    /// Whether it must not be tried once more.
    pub(crate) fn is_over(self) -> bool {
        self.0.elapsed() > PATIENCE
    }
}

impl RetryPolicy {
    /// For stores in the same machine: what fails there mostly fails for good.
    pub(crate) const fn local() -> Self {
        Self { attempts: 4, pause: Duration::from_millis(5), reprobe: Duration::from_millis(100) }
    }

    /// For stores whose client repeats each request already: one more chance, for whole bodies.
    pub(crate) const fn cloud() -> Self {
        Self { attempts: 2, pause: Duration::from_millis(200), reprobe: Duration::from_secs(5) }
    }

    /// Begins an operation.
    pub(crate) fn start(self) -> Patience {
        Patience(Instant::now())
    }

    /// The pause after attempt number `attempt`, counted from 0.
    pub(crate) fn pause_after(&self, attempt: u32) -> Duration {
        self.pause.saturating_mul(1 << attempt.min(10)).mul_f64(rand::random_range(0.5..1.5))
    }
}

/// Whether trying again may help: not after a definite answer, and not after an error of the local system that is
/// there to stay (no space, no permission). Whatever is not known to be definite counts as passing: a request may still
/// be on its way.
pub(crate) fn is_transient(error: &Error) -> bool {
    use io::ErrorKind as K;
    match error {
        Error::Generic { .. } if has_no_place(error) => false,
        Error::Generic { .. } => io_error(error).is_none_or(|e| {
            !matches!(
                e.kind(),
                K::StorageFull
                    | K::QuotaExceeded
                    | K::FileTooLarge
                    | K::ReadOnlyFilesystem
                    | K::PermissionDenied
                    | K::NotFound
                    | K::NotADirectory
                    | K::IsADirectory
                    | K::AlreadyExists
                    | K::InvalidInput
                    | K::InvalidFilename
                    | K::Unsupported
            )
        }),
        Error::JoinError { .. } => true,
        _ => false,
    }
}

/// A store that repeats what may be repeated safely. Creates are never repeated here: whoever calls for one must
/// look at what is there before trying again (see [`crate::Bucket::put_new`]).
#[derive(Debug, Clone)]
pub(crate) struct Retrying {
    bucket: Arc<str>,
    inner: Arc<dyn ObjectStore>,
    journal: Journal,
    policy: RetryPolicy,
}

impl Retrying {
    pub(crate) fn new(bucket: &str, inner: Arc<dyn ObjectStore>, journal: Journal, policy: RetryPolicy) -> Self {
        Self { bucket: bucket.into(), inner, journal, policy }
    }

    pub(crate) fn policy(&self) -> RetryPolicy {
        self.policy
    }

    /// Runs `work` until it succeeds, fails for good, or was tried often enough.
    pub(crate) async fn repeat<T, F>(
        &self,
        operation: &'static str,
        key: &str,
        mut work: impl FnMut() -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let patience = self.policy.start();
        let mut attempt = 0;
        loop {
            let error = match work().await {
                Ok(value) => return Ok(value),
                Err(error) => placed(error),
            };
            let again = attempt + 1 < self.policy.attempts && is_transient(&error) && !patience.is_over();
            self.record(operation, key, &error, again);
            if !again {
                return Err(error);
            }
            tokio::time::sleep(self.policy.pause_after(attempt)).await;
            attempt += 1;
        }
    }

    async fn once<T>(&self, operation: &'static str, key: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        work.await.map_err(placed).inspect_err(|e| self.record(operation, key, e, false))
    }

    /// The store without retries and records.
    pub(crate) fn inner(&self) -> &dyn ObjectStore {
        self.inner.as_ref()
    }

    /// Reads an object. The error is the store's own.
    pub(crate) async fn read(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        let mut result =
            self.repeat("get", location.as_ref(), || self.inner.get_opts(location, options.clone())).await?;
        // A store that keeps its objects below a prefix answers with the whole key.
        result.meta.location = location.clone();
        Ok(if head { result } else { checked(result) })
    }

    /// Creates an object, in one attempt. The error is the store's own.
    pub(crate) async fn create(&self, location: &Path, bytes: Bytes) -> Result<()> {
        let put = self.inner.put_opts(location, bytes.into(), PutMode::Create.into());
        self.once("put", location.as_ref(), put).await.map(drop)
    }

    /// The error as those see it who use the store directly: what says nothing about the object in question names the
    /// bucket and says what to do.
    fn named(&self, operation: &'static str, key: &str) -> impl Fn(Error) -> Error + use<> {
        let (bucket, key) = (Arc::clone(&self.bucket), key.to_owned());
        move |error| match error {
            Error::Generic { .. } | Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                Error::Generic { store: "bucket", source: Box::new(failure(&bucket, operation, &key, error)) }
            }
            error => error,
        }
    }

    /// Answers that are part of normal work are not failures.
    fn record(&self, operation: &'static str, key: &str, error: &Error, retried: bool) {
        use Error as E;
        if matches!(
            error,
            E::NotFound { .. } | E::AlreadyExists { .. } | E::Precondition { .. } | E::NotModified { .. }
        ) {
            return;
        }
        let (kind, message) = (store_error_kind(error), said(error) + advice(error));
        tracing::warn!(bucket = %self.bucket, operation, key, %kind, retried, error = message, "bucket operation failed");
        self.journal.record(BucketErrorRecord {
            at: Utc::now(),
            bucket: self.bucket.to_string(),
            operation: operation.to_owned(),
            key: key.to_owned(),
            kind,
            message,
            retried,
        });
    }

    fn recorded<T: Send + 'static>(
        &self,
        operation: &'static str,
        key: String,
        stream: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let this = self.clone();
        let named = self.named(operation, &key);
        stream
            .map_err(move |error| {
                let error = placed(error);
                this.record(operation, &key, &error, false);
                named(error)
            })
            .boxed()
    }
}

impl fmt::Display for Retrying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// A bucket that does not exist at the store is no empty bucket: that an object is not found there says nothing.
fn placed(error: Error) -> Error {
    match error {
        Error::NotFound { .. } if has_no_place(&error) => Error::Generic { store: "store", source: Box::new(error) },
        error => error,
    }
}

/// What this crate makes of a store's error.
pub(crate) fn failure(bucket: &str, operation: &'static str, key: &str, source: Error) -> crate::Error {
    let (bucket, key) = (bucket.to_owned(), key.to_owned());
    match cause::<ShortRead>(&source) {
        Some(ShortRead { expected, actual }) => {
            crate::Error::ShortRead { bucket, key, expected: *expected, actual: *actual }
        }
        None => crate::Error::Store { bucket, operation, key, source: Box::new(source) },
    }
}

fn prefix_text(prefix: Option<&Path>) -> String {
    prefix.map(ToString::to_string).unwrap_or_default()
}

/// A store returned less than it was asked for. That must not pass as data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{actual} of {expected} bytes came back")]
pub(crate) struct ShortRead {
    pub(crate) expected: u64,
    pub(crate) actual: u64,
}

impl From<ShortRead> for Error {
    fn from(short: ShortRead) -> Self {
        Self::Generic { store: "short read", source: Box::new(short) }
    }
}

fn check_lengths(ranges: &[Range<u64>], parts: Vec<Bytes>) -> Result<Vec<Bytes>> {
    for (range, part) in ranges.iter().zip(&parts) {
        let (expected, actual) = (range.end - range.start, part.len() as u64);
        if actual != expected {
            return Err(ShortRead { expected, actual }.into());
        }
    }
    Ok(parts)
}

/// A body that fails at its end when it has fewer bytes than were announced. Files check that themselves.
fn checked(mut result: GetResult) -> GetResult {
    let expected = result.range.end - result.range.start;
    if let GetResultPayload::Stream(body) = result.payload {
        let end = futures::stream::once(std::future::ready(None));
        let counted = body.map(Some).chain(end).scan(0, move |actual, item| {
            std::future::ready(Some(match item {
                Some(Ok(bytes)) => {
                    *actual += bytes.len() as u64;
                    Some(Ok(bytes))
                }
                None if *actual < expected => Some(Err(ShortRead { expected, actual: *actual }.into())),
                other => other,
            }))
        });
        result.payload = GetResultPayload::Stream(counted.filter_map(std::future::ready).boxed());
    }
    result
}

#[async_trait]
impl ObjectStore for Retrying {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let put = || self.inner.put_opts(location, payload.clone(), options.clone());
        let outcome = match options.mode {
            PutMode::Overwrite => self.repeat("put", location.as_ref(), put).await,
            PutMode::Create | PutMode::Update(_) => self.once("put", location.as_ref(), put()).await,
        };
        outcome.map_err(self.named("put", location.as_ref()))
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let start = || self.inner.put_multipart_opts(location, options.clone());
        let started = self.repeat("start upload", location.as_ref(), start).await;
        let inner = started.map_err(self.named("start upload", location.as_ref()))?;
        Ok(Box::new(RecordedUpload { inner, key: location.to_string(), store: self.clone() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let named = self.named("get", location.as_ref());
        let mut result = self.read(location, options).await.map_err(&named)?;
        if let GetResultPayload::Stream(body) = result.payload {
            result.payload = GetResultPayload::Stream(body.map_err(named).boxed());
        }
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let read = || async { check_lengths(ranges, self.inner.get_ranges(location, ranges).await?) };
        self.repeat("get", location.as_ref(), read).await.map_err(self.named("get", location.as_ref()))
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.recorded("delete", String::new(), self.inner.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.recorded("list", prefix_text(prefix), self.inner.list(prefix))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.recorded("list", prefix_text(prefix), self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let text = prefix_text(prefix);
        let listed = self.repeat("list", &text, || self.inner.list_with_delimiter(prefix)).await;
        listed.map_err(self.named("list", &text))
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let copy = || self.inner.copy_opts(from, to, options.clone());
        let outcome = match options.mode {
            CopyMode::Overwrite => self.repeat("copy", to.as_ref(), copy).await,
            CopyMode::Create => self.once("copy", to.as_ref(), copy()).await,
        };
        outcome.map_err(self.named("copy", to.as_ref()))
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let renamed = self.once("rename", to.as_ref(), self.inner.rename_opts(from, to, options)).await;
        renamed.map_err(self.named("rename", to.as_ref()))
    }
}

/// An upload whose failures are recorded.
#[derive(Debug)]
struct RecordedUpload {
    inner: Box<dyn MultipartUpload>,
    key: String,
    store: Retrying,
}

#[async_trait]
impl MultipartUpload for RecordedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = self.inner.put_part(data);
        let (store, key) = (self.store.clone(), self.key.clone());
        Box::pin(async move { store.once("upload part", &key, part).await.map_err(store.named("upload part", &key)) })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (store, key) = (self.store.clone(), self.key.clone());
        let done = store.once("complete upload", &key, self.inner.complete()).await;
        done.map_err(store.named("complete upload", &key))
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Generic { store: "test", source: source.into() }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert!(is_transient(&generic("503")));
        assert!(is_transient(&generic(io::Error::from(io::ErrorKind::TimedOut))));
        assert!(!is_transient(&generic(io::Error::from(io::ErrorKind::StorageFull))));
        assert!(!is_transient(&generic(io::Error::from(io::ErrorKind::PermissionDenied))));
        assert!(!is_transient(&Error::NotFound { path: "k".into(), source: "404".into() }));
    }

    #[test]
    fn pauses_grow() {
        let policy = RetryPolicy::local();
        assert!(policy.pause_after(4) > policy.pause_after(0));
    }
}
