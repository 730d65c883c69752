//! The space of expired versions comes back, and nothing else goes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use std::{sync::Arc, time::Duration};

use arrow::array::{Int64Array, RecordBatch};
use chrono::{TimeDelta, Utc};
use skein_catalog::{
    At, Catalog, CatalogOptions, Change, DataFile, Dataset, Expired, Operation, Retention,
    maintenance::{FindingKind, gc, verify},
    writer::{DatasetWriter, WriterOptions},
};
use skein_model::{ErrorKind, Kind, ManualClock};
use skein_storage::Bucket;
use support::{ada, columns, server};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const NEWEST: Retention = Retention { keep_versions: Some(1), keep_age: None };

/// A server over a bucket in memory, and a clock that can be moved past the grace time.
struct Lab {
    bucket: Bucket,
    catalog: Catalog,
    clock: ManualClock,
}

impl Lab {
    async fn new() -> Self {
        let (bucket, clock) = (Bucket::in_memory("lab"), ManualClock::new(Utc::now()));
        let options = CatalogOptions { clock: Arc::new(clock.clone()), ..CatalogOptions::default() };
        Self { catalog: server(&bucket, options).await, bucket, clock }
    }

    /// A dataset with one file per stretch of numbers, each of its own version.
    async fn dataset(&self, stretches: &[std::ops::Range<i64>]) -> Dataset {
        let new = skein_catalog::NewDataset { schema: columns(&["n"]), ..support::new_dataset("t") };
        let dataset = self.catalog.create_dataset(new, &ada()).await.unwrap();
        for numbers in stretches {
            let files = write(&dataset, numbers.clone()).await;
            dataset.commit(Change::append(files), &ada()).await.unwrap();
        }
        dataset
    }

    /// Two days pass.
    fn later(&self) {
        self.clock.advance(TimeDelta::days(2));
    }
}

/// Files that are not committed yet.
async fn write(dataset: &Dataset, numbers: std::ops::Range<i64>) -> Vec<DataFile> {
    let schema = dataset.snapshot(At::Latest).await.unwrap().schema.clone();
    let batch = RecordBatch::try_new(columns(&["n"]), vec![Arc::new(Int64Array::from_iter_values(numbers))]).unwrap();
    let mut writer = DatasetWriter::new(dataset, schema, WriterOptions::default());
    writer.write(batch).await.unwrap();
    writer.finish().await.unwrap()
}

/// Bytes of all data files and deletion vectors in the bucket.
async fn bytes(lab: &Lab) -> u64 {
    let objects = lab.bucket.list("tables").await.unwrap();
    let is_file = |key: &str| key.contains("/data/") || key.contains("/deletes/");
    objects.iter().filter(|object| is_file(object.location.as_ref())).map(|object| object.size).sum()
}

/// What waits for garbage collection, when nothing else is wrong.
async fn pending(lab: &Lab) -> Vec<(FindingKind, String)> {
    let report = verify(&lab.catalog, Default::default()).await.unwrap();
    assert_eq!(report.findings, []);
    report.pending.into_iter().map(|found| (found.kind, found.key)).collect()
}

async fn delete(dataset: &Dataset, row: u32) {
    let file = dataset.snapshot(At::Latest).await.unwrap().files[0].clone();
    let former = dataset.read_deletes(&file).await.unwrap();
    let deletes = dataset.write_deletes(&file, &former, &[row].into_iter().collect()).await.unwrap();
    let change = Change { operation: Operation::Delete, deletes: vec![deletes], ..Change::append(Vec::new()) };
    dataset.commit(change, &ada()).await.unwrap();
}

async fn replace(dataset: &Dataset, files: Vec<DataFile>) {
    let change = Change { operation: Operation::Replace, ..Change::append(files) };
    dataset.commit(change, &ada()).await.unwrap();
}

/// Version 4 replaced two files by one, 5 and 6 deleted a row each.
async fn six_versions(lab: &Lab) -> Dataset {
    let dataset = lab.dataset(&[0..10_000, 10_000..20_000]).await;
    replace(&dataset, write(&dataset, 0..100).await).await;
    delete(&dataset, 0).await;
    delete(&dataset, 1).await;
    dataset
}

#[tokio::test]
async fn space_comes_back_after_the_grace_time() {
    let lab = Lab::new().await;
    let dataset = six_versions(&lab).await;
    lab.later();
    assert_eq!(gc(&lab.catalog, DAY, false).await.unwrap().removed, [], "all of it can be read");
    let expired = dataset.expire(NEWEST, false, &ada()).await.unwrap();
    assert_eq!(expired, Expired { version: Some(7), oldest: 6, count: 5 });
    let waiting = pending(&lab).await;
    assert_eq!(waiting.len(), 3, "two replaced files and the first deletion vector: {waiting:?}");
    assert!(waiting.iter().all(|(kind, _)| *kind == FindingKind::Expired));
    let before = bytes(&lab).await;
    // All of it is old, but somebody may have begun to read it just before.
    assert_eq!(gc(&lab.catalog, DAY, false).await.unwrap().removed, []);
    let begun = dataset.snapshot(At::Pinned(3)).await.unwrap();
    for file in begun.files.iter() {
        assert!(lab.bucket.get_opt(&dataset.data_key(file.id)).await.unwrap().is_some());
    }
    lab.later();
    let report = gc(&lab.catalog, DAY, false).await.unwrap();
    let mut removed: Vec<_> = report.removed.iter().map(|garbage| garbage.key.clone()).collect();
    removed.sort();
    assert_eq!(removed, waiting.into_iter().map(|(_, key)| key).collect::<Vec<_>>());
    let after = bytes(&lab).await;
    assert_eq!(before - after, report.bytes);
    assert!(after * 10 < before, "{before} bytes before, {after} after");
    assert_eq!(pending(&lab).await, []);

    let cold = support::dataset(&server(&lab.bucket, CatalogOptions::default()).await, "t").await;
    for dataset in [&dataset, &cold] {
        let snapshot = dataset.snapshot(At::Version(6)).await.unwrap();
        assert_eq!((snapshot.rows, dataset.read_deletes(&snapshot.files[0]).await.unwrap().len()), (98, 2));
        assert_eq!(dataset.snapshot(At::Version(5)).await.unwrap_err().kind(), ErrorKind::NotFound);
    }
    dataset.commit(Change::append(write(&dataset, 0..5).await), &ada()).await.unwrap();
}

#[tokio::test]
async fn a_file_that_a_readable_version_shares_with_expired_ones_stays() {
    let lab = Lab::new().await;
    let dataset = lab.dataset(&[0..10, 10..20, 20..30]).await;
    delete(&dataset, 3).await;
    lab.later();
    dataset.expire(NEWEST, false, &ada()).await.unwrap();
    lab.later();
    assert_eq!(gc(&lab.catalog, DAY, false).await.unwrap().removed, []);
    assert_eq!((pending(&lab).await, dataset.snapshot(At::Latest).await.unwrap().rows), (vec![], 29));
}

#[tokio::test]
async fn what_a_dry_run_lists_is_what_goes() {
    let lab = Lab::new().await;
    let dataset = six_versions(&lab).await;
    lab.later();
    let two = Retention { keep_versions: Some(2), ..NEWEST };
    assert_eq!(dataset.expire(two, true, &ada()).await.unwrap(), Expired { version: None, oldest: 5, count: 4 });
    assert_eq!(dataset.snapshot(At::Version(2)).await.unwrap().rows, 10_000, "nothing was given up");
    dataset.expire(two, false, &ada()).await.unwrap();
    lab.later();
    let would: Vec<_> = gc(&lab.catalog, DAY, true).await.unwrap().removed;
    let did: Vec<_> = gc(&lab.catalog, DAY, false).await.unwrap().removed;
    assert_eq!((would.len(), would), (2, did));
    assert_eq!(dataset.snapshot(At::Version(5)).await.unwrap().rows, 99);
}

/// The versions that have a checkpoint.
async fn checkpoints(lab: &Lab) -> Vec<u64> {
    let keys = lab.bucket.list("tables").await.unwrap().into_iter().map(|object| object.location.to_string());
    let version = |key: String| key.strip_suffix(".checkpoint.json")?.rsplit('/').next()?.parse().ok();
    let mut versions: Vec<u64> = keys.filter_map(version).collect();
    versions.sort_unstable();
    versions
}

#[tokio::test]
async fn checkpoints_of_expired_versions_go_and_the_log_stays_whole() {
    let lab = Lab::new().await;
    let options = CatalogOptions { checkpoint_every: 2, ..lab.catalog.options().clone() };
    let lab = Lab { catalog: server(&lab.bucket, options).await, ..lab };
    let dataset = lab.dataset(&[0..1, 1..2, 2..3, 3..4, 4..5, 5..6, 6..7]).await;
    while checkpoints(&lab).await != [2, 4, 6, 8] {
        // They are written in the background.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    lab.later();
    assert_eq!(gc(&lab.catalog, DAY, false).await.unwrap().removed, [], "all versions can be read");
    let three = Retention { keep_versions: Some(3), ..NEWEST };
    assert_eq!(dataset.expire(three, false, &ada()).await.unwrap().oldest, 6);
    assert_eq!(pending(&lab).await.len(), 2, "version 6 is read from its own checkpoint");
    assert_eq!(gc(&lab.catalog, DAY, false).await.unwrap().removed, [], "somebody may read the others still");
    lab.later();
    let would = gc(&lab.catalog, DAY, true).await.unwrap().removed;
    assert_eq!((gc(&lab.catalog, DAY, false).await.unwrap().removed, would.len()), (would, 2));
    assert_eq!((checkpoints(&lab).await, pending(&lab).await), (vec![6, 8], vec![]));

    let cold = support::dataset(&server(&lab.bucket, CatalogOptions::default()).await, "t").await;
    assert_eq!((cold.history().await.unwrap().len(), cold.snapshot(At::Version(7)).await.unwrap().rows), (9, 6));
    assert_eq!(cold.snapshot(At::Pinned(3)).await.unwrap().rows, 2, "the entries are there");
    assert_eq!(cold.snapshot(At::Version(3)).await.unwrap_err().kind(), ErrorKind::NotFound);
}
