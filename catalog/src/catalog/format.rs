//! The persisted mark of a bucket that is Skein's: `_skein/format.json`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use skein_storage::{Bucket, Buckets};
use ulid::Ulid;

use crate::{Result, persisted};

const KEY: &str = "_skein/format.json";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct BucketFormat {
    format: u32,
    created_at: DateTime<Utc>,
    created_by: String,
    writer: Ulid,
}

/// Refuses buckets of a newer format and marks empty ones. A bucket other than the default that is out of reach is left
/// alone: its tables fail when they are used, and the others work.
pub(super) async fn check_all(buckets: &Buckets, now: DateTime<Utc>) -> Result<()> {
    for (i, bucket) in buckets.all().iter().enumerate() {
        match check(bucket, now).await {
            Err(crate::Error::Storage(error)) if i > 0 => {
                tracing::warn!(bucket = bucket.name(), %error, "bucket is out of reach");
            }
            outcome => outcome?,
        }
    }
    Ok(())
}

async fn check(bucket: &Bucket, now: DateTime<Utc>) -> Result<()> {
    if let Some(bytes) = bucket.get_opt(KEY).await? {
        persisted::decode::<BucketFormat>(bucket, KEY, &bytes)?;
        return Ok(());
    }
    if bucket.writable().is_err() {
        return Ok(());
    }
    let created_by = concat!("skein ", env!("CARGO_PKG_VERSION")).to_owned();
    let mark = BucketFormat { format: persisted::FORMAT, created_at: now, created_by, writer: Ulid::new() };
    // Another server may be first; the mark is the same.
    bucket.put_new(KEY, persisted::encode(&mark)?).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use skein_model::{ErrorKind, Kind};

    use super::*;
    use crate::{Catalog, CatalogOptions, golden};

    #[test]
    fn the_format_is_the_one_on_file() {
        let mark = BucketFormat {
            format: 1,
            created_at: "2026-01-02T03:04:05Z".parse().unwrap(),
            created_by: "skein 0.1.0".into(),
            writer: "01JC0000000000000000000003".parse().unwrap(),
        };
        golden::check("format", &mark);
    }

    #[tokio::test]
    async fn a_bucket_of_a_newer_skein_is_refused() {
        let bucket = Bucket::in_memory("future");
        bucket.put_new(KEY, r#"{"format":2,"shape":"unknown"}"#.into()).await.unwrap();
        let buckets = Buckets::new(vec![bucket]).unwrap();
        let error = Catalog::open(buckets, CatalogOptions::default()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unimplemented);
        assert!(error.to_string().contains("newer Skein"), "{error}");
    }

    #[tokio::test]
    async fn opening_twice_is_fine() {
        let buckets = Buckets::new(vec![Bucket::in_memory("b")]).unwrap();
        for _ in 0..2 {
            Catalog::open(buckets.clone(), CatalogOptions::default()).await.unwrap();
        }
    }
}
