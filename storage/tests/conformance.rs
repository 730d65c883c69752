//! What every bucket must do, whatever it is made of: memory, a local folder, and the S3-compatible store that
//! `SKEIN_TEST_S3_ENDPOINT` names (bucket `skein-test`, any credentials). `scripts/with-s3 COMMAND` starts one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures::future::join_all;
use object_store::{ObjectStoreExt, PutMode, path::Path};
use rstest::rstest;
use skein_model::{ErrorKind, Kind};
use skein_storage::{Bucket, BucketConfig, PutNew};
use tempfile::TempDir;

#[derive(Debug, Clone, Copy)]
enum Made {
    InMemory,
    Local,
    S3,
}

/// The folder of a local bucket lives as long as the test.
struct Fixture {
    bucket: Bucket,
    _folder: Option<TempDir>,
}

async fn open(url: &str, options: &[(&str, &str)]) -> Bucket {
    let options: BTreeMap<_, _> = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Bucket::open(BucketConfig { name: "test".into(), url: url.into(), options, read_only: false }).await.unwrap()
}

/// Never skips: a store that was not tested must not look like one that passed.
fn s3_endpoint() -> String {
    std::env::var("SKEIN_TEST_S3_ENDPOINT").expect(
        "SKEIN_TEST_S3_ENDPOINT is not set, and these tests need an S3-compatible store with a bucket 'skein-test'; run \
         'make test-rust', or 'scripts/with-s3 cargo test' (after scripts/setup), which start one",
    )
}

async fn fixture(made: Made) -> Fixture {
    match made {
        Made::InMemory => Fixture { bucket: open("memory:", &[]).await, _folder: None },
        Made::Local => {
            let folder = tempfile::tempdir().unwrap();
            let url = url::Url::from_directory_path(folder.path()).unwrap();
            Fixture { bucket: open(url.join("a b").unwrap().as_str(), &[]).await, _folder: Some(folder) }
        }
        Made::S3 => {
            let url = format!("s3://skein-test/{}", ulid::Ulid::new());
            Fixture { bucket: open_s3(&url).await, _folder: None }
        }
    }
}

async fn open_s3(url: &str) -> Bucket {
    let endpoint = s3_endpoint();
    let options = [
        ("endpoint", endpoint.as_str()),
        ("allow_http", "true"),
        ("path_style", "true"),
        ("region", "us-east-1"),
        ("access_key_id", "test"),
        ("secret_access_key", "test"),
    ];
    open(url, &options).await
}

/// Runs a check on every sort of bucket.
macro_rules! conformance {
    ($(#[$doc:meta])* async fn $name:ident($bucket:ident: &Bucket) $body:block) => {
        $(#[$doc])*
        #[rstest]
        #[case::memory(Made::InMemory)]
        #[case::local(Made::Local)]
        #[case::s3(Made::S3)]
        #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $name(#[case] made: Made) {
            let fixture = fixture(made).await;
            let $bucket = &fixture.bucket;
            $body
        }
    };
}

conformance! {
    async fn a_fresh_bucket_is_writable_and_empty(bucket: &Bucket) {
        bucket.writable().unwrap();
        assert!(bucket.list("").await.unwrap().is_empty(), "the probe cleans up");
        assert!(bucket.errors().is_empty());
    }
}

conformance! {
    async fn what_was_written_is_read(bucket: &Bucket) {
        let big = Bytes::from(vec![7_u8; 3 << 20]);
        assert_eq!(bucket.put_new("x/big", big.clone()).await.unwrap(), PutNew::Created);
        assert_eq!(bucket.put_new("x/empty", Bytes::new()).await.unwrap(), PutNew::Created);
        assert_eq!(bucket.get("x/big").await.unwrap(), big);
        assert_eq!(bucket.get("x/empty").await.unwrap(), Bytes::new());
        let meta = bucket.store().head(&Path::from("x/big")).await.unwrap();
        assert_eq!((meta.location.as_ref(), meta.size), ("x/big", 3 << 20));
    }
}

conformance! {
    async fn what_is_missing_is_said_to_be_missing(bucket: &Bucket) {
        assert_eq!(bucket.get_opt("no/such").await.unwrap(), None);
        let error = bucket.get("no/such").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("no/such") && error.to_string().contains("test"), "{error}");
        bucket.delete("no/such").await.unwrap();
        assert!(bucket.list("no").await.unwrap().is_empty());
        assert!(bucket.errors().is_empty(), "nothing failed");
    }
}

conformance! {
    async fn of_racing_creators_exactly_one_wins(bucket: &Bucket) {
        for round in 0..8 {
            let key = format!("race/{round}");
            let results = join_all((0..8).map(|i| {
                let (bucket, key) = (bucket.clone(), key.clone());
                tokio::spawn(async move { bucket.put_new(&key, Bytes::from(format!("writer {i}"))).await.unwrap() })
            })).await;
            let winners: Vec<_> = (0..8).filter(|i| *results[*i].as_ref().unwrap() == PutNew::Created).collect();
            assert_eq!(winners.len(), 1);
            assert_eq!(bucket.get(&key).await.unwrap(), format!("writer {}", winners[0]));
        }
    }
}

conformance! {
    async fn writing_the_same_bytes_again_counts_as_ours(bucket: &Bucket) {
        assert_eq!(bucket.put_new("k", "mine".into()).await.unwrap(), PutNew::Created);
        assert_eq!(bucket.put_new("k", "mine".into()).await.unwrap(), PutNew::Created);
        assert_eq!(bucket.put_new("k", "theirs".into()).await.unwrap(), PutNew::Exists);
    }
}

conformance! {
    async fn listings_are_sorted_and_stay_within_the_prefix(bucket: &Bucket) {
        for key in ["t/3", "t/1", "t/2/x", "tt/9", "u"] {
            bucket.put_new(key, "x".into()).await.unwrap();
        }
        let keys = |objects: Vec<object_store::ObjectMeta>| -> Vec<String> {
            objects.into_iter().map(|o| o.location.to_string()).collect()
        };
        assert_eq!(keys(bucket.list("t").await.unwrap()), ["t/1", "t/2/x", "t/3"]);
        assert_eq!(keys(bucket.list_after("t", "t/1").await.unwrap()), ["t/2/x", "t/3"]);
        assert_eq!(bucket.list("").await.unwrap().len(), 5);
        bucket.delete("t/1").await.unwrap();
        assert_eq!(keys(bucket.list("t").await.unwrap()), ["t/2/x", "t/3"]);
    }
}

conformance! {
    async fn uploads_in_parts_appear_when_they_are_complete(bucket: &Bucket) {
        let store = bucket.store();
        let key = Path::from("data/file.parquet");
        let part = Bytes::from(vec![1_u8; 5 << 20]);
        let mut upload = store.put_multipart(&key).await.unwrap();
        upload.put_part(part.clone().into()).await.unwrap();
        upload.put_part("end".into()).await.unwrap();
        assert_eq!(bucket.get_opt("data/file.parquet").await.unwrap(), None);
        upload.complete().await.unwrap();
        assert_eq!(bucket.get("data/file.parquet").await.unwrap().len(), part.len() + 3);

        let mut abandoned = store.put_multipart(&Path::from("data/other")).await.unwrap();
        abandoned.put_part("x".into()).await.unwrap();
        abandoned.abort().await.unwrap();
        assert_eq!(bucket.list("data").await.unwrap().len(), 1);
    }
}

conformance! {
    async fn ranges_are_read_exactly(bucket: &Bucket) {
        bucket.put_new("r", "0123456789".into()).await.unwrap();
        let ranges = bucket.store().get_ranges(&Path::from("r"), &[0..3, 7..10]).await.unwrap();
        assert_eq!(ranges, ["012", "789"]);
        assert!(bucket.store().get_ranges(&Path::from("r"), &[0..1, 8..20]).await.is_err(), "never short");
    }
}

conformance! {
    async fn copies_and_overwrites_are_whole(bucket: &Bucket) {
        let store = bucket.store();
        let (a, b) = (Path::from("c/a"), Path::from("c/b"));
        store.put(&a, "one".into()).await.unwrap();
        store.copy(&a, &b).await.unwrap();
        store.put(&a, "two".into()).await.unwrap();
        assert_eq!(bucket.get("c/a").await.unwrap(), "two");
        assert_eq!(bucket.get("c/b").await.unwrap(), "one");
        let create = store.put_opts(&a, "three".into(), PutMode::Create.into()).await;
        assert!(matches!(create, Err(object_store::Error::AlreadyExists { .. })));
    }
}

conformance! {
    async fn odd_keys_are_refused_or_kept(bucket: &Bucket) {
        for key in ["a/../b", "a//b", "./a"] {
            assert_eq!(bucket.get_opt(key).await.unwrap_err().kind(), ErrorKind::InvalidInput, "{key}");
        }
        bucket.put_new("odd/ä b%20c#x", "x".into()).await.unwrap();
        assert_eq!(bucket.get("odd/ä b%20c#x").await.unwrap(), "x");
        assert_eq!(bucket.list("odd").await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_bucket_that_the_store_does_not_have_is_not_an_empty_one() {
    let bucket = open_s3("s3://no-such-bucket/x").await;
    for error in [
        bucket.get_opt("k").await.unwrap_err(),
        bucket.list("k").await.unwrap_err(),
        bucket.put_new("k", "v".into()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains("create that bucket at the store"), "{error}");
    }
}

#[tokio::test]
async fn a_local_bucket_outlives_its_handle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/bucket");
    let url = path.to_str().unwrap();
    open(url, &[]).await.put_new("k", "v".into()).await.unwrap();
    assert_eq!(open(url, &[]).await.get("k").await.unwrap(), "v");
}

#[tokio::test]
async fn a_bucket_that_is_configured_read_only_is_read() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("k"), "v").unwrap();
    let url = folder.path().to_str().unwrap().to_owned();
    let config = BucketConfig { name: "ro".into(), url, options: BTreeMap::new(), read_only: true };
    let bucket = Bucket::open(config).await.unwrap();
    assert_eq!(bucket.get("k").await.unwrap(), "v");
    let error = bucket.put_new("k2", "v".into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.to_string().contains("read_only = true"), "{error}");
    assert!(bucket.delete("k").await.is_err());
    assert!(bucket.probe().await.is_err(), "a probe writes, so it is forbidden too");
    assert_eq!(Arc::new(folder).path().read_dir().unwrap().count(), 1);
}
