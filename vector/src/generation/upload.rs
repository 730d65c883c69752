//! A local file on its way to the bucket: one create when it is small, else a multipart upload.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use object_store::{ObjectStoreExt, path::Path as Key};
use skein_model::{ErrorKind, Kind};
use skein_storage::{Bucket, PutNew};
use tokio::task::JoinSet;

use super::{Written, chunks::Reader};
use crate::{Error, Result};

/// Bytes of a part. Stores want all parts but the last to be of one size.
const PART: u64 = 16 << 20;
/// Parts that an object may have; stores of the cloud allow 10,000.
const MAX_PARTS: u64 = 9_000;
/// Parts under way at a time.
const IN_FLIGHT: usize = 4;
/// How often an upload is begun. A build may have taken hours, so a connection that breaks must not be its end.
const ATTEMPTS: u32 = 3;

/// Uploads a file under a key that nobody else writes to. After an error something may be left under the key.
pub(super) async fn upload(bucket: &Bucket, key: &str, path: &Path) -> Result<Written> {
    upload_in_parts(bucket, key, path, PART).await
}

async fn upload_in_parts(bucket: &Bucket, key: &str, path: &Path, part: u64) -> Result<Written> {
    bucket.writable()?;
    let mut attempt = 1;
    loop {
        match once(bucket, key, path, part).await {
            Err(error) if error.kind() == ErrorKind::Unavailable && attempt < ATTEMPTS => {
                tracing::warn!(bucket = bucket.name(), key, %error, attempt, "an upload is begun again");
                tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

async fn once(bucket: &Bucket, key: &str, path: &Path, part: u64) -> Result<Written> {
    let (mut file, size) = Reader::open(path).await?;
    if size <= part {
        let bytes = file.next(size.saturating_add(1)).await?;
        return match bucket.put_new(key, bytes).await? {
            PutNew::Created => file.finish(),
            PutNew::Exists => Err(skein_catalog::Error::AlreadyExists { what: "object", name: key.to_owned() }.into()),
        };
    }
    let part = part.max(size.div_ceil(MAX_PARTS));
    multipart(bucket, key, &mut file, part).await?;
    let written = file.finish()?;
    if written.bytes != size {
        return Err(Error::Internal(format!("'{}' was changed while it was uploaded", path.display())));
    }
    Ok(written)
}

async fn multipart(bucket: &Bucket, key: &str, file: &mut Reader, part: u64) -> Result<()> {
    let failed = |source| store_error(bucket, "put", key, source);
    let mut upload = bucket.store().put_multipart(&Key::from(key)).await.map_err(failed)?;
    let mut parts = JoinSet::new();
    let mut bytes = 0;
    let outcome = async {
        loop {
            let chunk: Bytes = file.next(part).await?;
            let is_last = (chunk.len() as u64) < part;
            bytes += chunk.len() as u64;
            if !chunk.is_empty() {
                parts.spawn(upload.put_part(chunk.into()));
            }
            while parts.len() >= if is_last { 1 } else { IN_FLIGHT } {
                joined(parts.join_next().await).map_err(failed)?;
            }
            if is_last {
                return complete(bucket, key, &mut upload, bytes).await;
            }
        }
    }
    .await;
    if outcome.is_err() {
        parts.shutdown().await;
        if let Err(error) = upload.abort().await {
            tracing::debug!(bucket = bucket.name(), key, %error, "could not abort an upload");
        }
    }
    outcome
}

async fn complete(
    bucket: &Bucket,
    key: &str,
    upload: &mut Box<dyn object_store::MultipartUpload>,
    bytes: u64,
) -> Result<()> {
    let Err(source) = upload.complete().await else { return Ok(()) };
    // The answer may be lost and the object there; it appears whole or not at all.
    match bucket.store().head(&Key::from(key)).await {
        Ok(found) if found.size == bytes => Ok(()),
        _ => Err(store_error(bucket, "put", key, source)),
    }
}

fn joined(part: Option<Result<object_store::Result<()>, tokio::task::JoinError>>) -> object_store::Result<()> {
    match part {
        Some(Err(source)) => Err(object_store::Error::JoinError { source }),
        Some(Ok(outcome)) => outcome,
        None => Ok(()),
    }
}

/// What a bucket's store returned, as an error that names the object.
pub(super) fn store_error(bucket: &Bucket, operation: &'static str, key: &str, source: object_store::Error) -> Error {
    let (bucket, key) = (bucket.name().to_owned(), key.to_owned());
    skein_storage::Error::Store { bucket, operation, key, source: source.into() }.into()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf, sync::Arc};

    use object_store::memory::InMemory;
    use sha2::{Digest, Sha256};
    use skein_storage::fault::{Fault, FaultStore, Op};

    use super::{super::hex, *};

    fn file(folder: &tempfile::TempDir, bytes: usize) -> (PathBuf, Vec<u8>) {
        let content: Vec<u8> = (0..bytes).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let path = folder.path().join("file");
        fs::write(&path, &content).unwrap();
        (path, content)
    }

    #[tokio::test]
    async fn files_of_any_size_arrive_whole() {
        let folder = tempfile::tempdir().unwrap();
        let bucket = Bucket::in_memory("main");
        for bytes in [0, 1, 9, 10, 11, 20, 95, 100] {
            let (path, content) = file(&folder, bytes);
            let key = format!("k/{bytes}");
            let written = upload_in_parts(&bucket, &key, &path, 10).await.unwrap();
            assert_eq!(bucket.get(&key).await.unwrap(), content, "{bytes}");
            let sha256 = hex(&Sha256::digest(&content));
            assert_eq!(written, Written { bytes: content.len() as u64, sha256 });
        }
    }

    #[tokio::test]
    async fn lost_answers_and_broken_connections_are_got_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = FaultStore::new(Arc::new(InMemory::new()));
        let bucket = Bucket::from_store("main", Arc::clone(&store) as _);
        let (path, content) = file(&folder, 95);
        for (op, fault) in [
            (Op::Part, Fault::Unavailable),
            (Op::Part, Fault::LostAnswer),
            (Op::Complete, Fault::Unavailable),
            (Op::Complete, Fault::LostAnswer),
        ] {
            store.schedule(op, [Some(fault)]);
            upload_in_parts(&bucket, "k", &path, 10).await.unwrap();
            assert_eq!(bucket.get("k").await.unwrap(), content, "{op:?} {fault:?}");
            bucket.delete("k").await.unwrap();
        }
        store.schedule(Op::Create, [Some(Fault::LostAnswer)]);
        upload_in_parts(&bucket, "k", &path, 100).await.unwrap();
        assert_eq!(bucket.get("k").await.unwrap(), content);
    }

    #[tokio::test]
    async fn a_store_that_stays_away_or_is_full_is_an_error_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let store = FaultStore::new(Arc::new(InMemory::new()));
        let bucket = Bucket::from_store("main", Arc::clone(&store) as _);
        let (path, _) = file(&folder, 95);
        for (fault, kind) in
            [(Fault::Unavailable, ErrorKind::Unavailable), (Fault::OutOfSpace, ErrorKind::ResourceExhausted)]
        {
            store.always(Op::Part, fault);
            let error = upload_in_parts(&bucket, "k", &path, 10).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(bucket.get_opt("k").await.unwrap().is_none());
        }
    }
}
