//! A log that somebody has written to do harm: an error names the object, and what is before it can still be read.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use serde_json::{Value, json};
use skein_catalog::{At, CatalogOptions, Change, Error};
use skein_model::{ErrorKind, FileId, Kind};
use skein_storage::Bucket;
use support::{ada, dataset, file, new_dataset, server};

#[tokio::test]
async fn numbers_that_overflow_are_a_corrupt_log() {
    for (rows, bytes) in [(u64::MAX, 10), (1, u64::MAX - 9), (i64::MAX.unsigned_abs(), 10)] {
        let bucket = Bucket::in_memory("main");
        let catalog = server(&bucket, CatalogOptions::default()).await;
        let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
        table.commit(Change::append(vec![file(1)]), &ada()).await.unwrap();
        let key = |version: u64| format!("tables/{}/log/{version:020}.json", table.id());
        let mut entry: Value = serde_json::from_slice(&bucket.get(&key(2)).await.unwrap()).unwrap();
        entry["info"]["version"] = json!(3);
        entry["info"]["files"] = json!(2);
        entry["info"]["rows"] = json!(rows.wrapping_add(1));
        entry["info"]["bytes"] = json!(bytes.wrapping_add(10));
        let added = &mut entry["added"][0];
        (added["id"], added["rows"], added["bytes"]) = (json!(FileId::generate()), json!(rows), json!(bytes));
        bucket.put_new(&key(3), serde_json::to_vec(&entry).unwrap().into()).await.unwrap();

        let cold = dataset(&server(&bucket, CatalogOptions::default()).await, "t").await;
        for reader in [&table, &cold] {
            let error = reader.snapshot(At::Latest).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            let Error::Corrupt { key: found, reason, .. } = &error else { panic!("{error}") };
            assert_eq!(*found, key(3), "{error}");
            assert!(reason.contains("more than can be counted"), "{error}");
            assert!(reader.commit(Change::append(vec![file(1)]), &ada()).await.is_err());
        }
    }
}
