//! One object on its way to the bucket: a single put when it is small, else a multipart upload.

use bytes::Bytes;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload, path::Path};
use skein_storage::Bucket;
use tokio::task::JoinSet;

use super::WriteError;

/// An object that is being written. Nothing is visible under its key before [`Upload::complete`].
pub(super) struct Upload {
    bucket: Bucket,
    key: String,
    multipart: Option<Box<dyn MultipartUpload>>,
    parts: JoinSet<object_store::Result<()>>,
    max_in_flight: usize,
}

impl Upload {
    pub(super) fn new(bucket: Bucket, key: String, max_in_flight: usize) -> Self {
        Self { bucket, key, multipart: None, parts: JoinSet::new(), max_in_flight }
    }

    /// Sends a full part; waits while too many are under way.
    pub(super) async fn put_part(&mut self, part: Bytes) -> Result<(), WriteError> {
        while self.parts.len() >= self.max_in_flight {
            self.join_part().await?;
        }
        let future = match &mut self.multipart {
            Some(multipart) => multipart.put_part(part.into()),
            None => {
                let path = Path::from(self.key.as_str());
                let multipart = self.bucket.store().put_multipart(&path).await.map_err(|e| self.error("put", e))?;
                self.multipart.insert(multipart).put_part(part.into())
            }
        };
        self.parts.spawn(future);
        Ok(())
    }

    /// Sends what is left and makes the object visible.
    pub(super) async fn complete(&mut self, rest: Bytes) -> Result<(), WriteError> {
        if self.multipart.is_none() {
            let path = Path::from(self.key.as_str());
            let put = self.bucket.store().put(&path, PutPayload::from_bytes(rest)).await;
            return put.map(drop).map_err(|e| self.error("put", e));
        }
        if !rest.is_empty() {
            self.put_part(rest).await?;
        }
        while !self.parts.is_empty() {
            self.join_part().await?;
        }
        if let Some(multipart) = &mut self.multipart {
            let done = multipart.complete().await;
            done.map_err(|e| self.error("put", e))?;
        }
        Ok(())
    }

    /// Takes everything back, the finished object too. Best effort: garbage collection finds what is left.
    pub(super) async fn abort(mut self) {
        self.parts.shutdown().await;
        if let Some(mut multipart) = self.multipart.take()
            && let Err(error) = multipart.abort().await
        {
            tracing::warn!(bucket = self.bucket.name(), key = %self.key, %error, "could not abort an upload");
        }
        // A put or complete that failed may have taken effect all the same.
        if let Err(error) = self.bucket.delete(&self.key).await {
            tracing::warn!(bucket = self.bucket.name(), key = %self.key, %error, "could not remove an unfinished file");
        }
    }

    async fn join_part(&mut self) -> Result<(), WriteError> {
        match self.parts.join_next().await {
            Some(Ok(outcome)) => outcome.map_err(|e| self.error("put", e)),
            Some(Err(error)) => Err(WriteError::Stopped(format!("an upload task ended: {error}"))),
            None => Ok(()),
        }
    }

    fn error(&self, operation: &'static str, source: object_store::Error) -> WriteError {
        let bucket = self.bucket.name().to_owned();
        WriteError::Store(skein_storage::Error::Store {
            bucket,
            operation,
            key: self.key.clone(),
            source: source.into(),
        })
    }
}
