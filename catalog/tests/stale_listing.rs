//! A bucket whose listings show what was there a while ago: nothing is lost, nothing is taken for garbage that is needed, and
//! nothing is called damaged that is whole.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use std::{sync::Arc, time::Duration};

use arrow::array::{Int64Array, RecordBatch};
use chrono::{TimeDelta, Utc};
use futures::TryStreamExt;
use object_store::{ObjectStore, memory::InMemory};
use skein_catalog::{
    At, Catalog, CatalogOptions, Change, DataFile, Dataset, NewDataset, Operation, Removed, Retention,
    maintenance::{VerifyOptions, gc, verify},
    writer::{DatasetWriter, WriterOptions},
};
use skein_model::{Clock as _, ErrorKind, Kind, ManualClock};
use skein_storage::{Bucket, Buckets, fault::FaultStore};
use support::{ada, check_tidy, collect_all, columns, dataset, file, new_dataset};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How many of the newest changes listings leave out. The last: all of them.
const LAGS: [usize; 4] = [1, 4, 9, 1_000_000];

/// Names in one bucket, and data in one whose listings lag. Names have a test of their own.
struct Lab {
    there: Arc<InMemory>,
    data: Arc<FaultStore>,
    buckets: Buckets,
    clock: ManualClock,
}

impl Lab {
    fn new(lag: usize) -> Self {
        let there = Arc::new(InMemory::new());
        let data = FaultStore::new(Arc::clone(&there) as _);
        data.lag_listings(lag);
        let bucket = Bucket::from_store("data", Arc::clone(&data) as _);
        let buckets = Buckets::new(vec![Bucket::in_memory("names"), bucket]).unwrap();
        Self { there, data, buckets, clock: ManualClock::new(Utc::now()) }
    }

    /// A server that knows nothing yet, and writes a checkpoint of every other version.
    async fn server(&self) -> Catalog {
        let clock = Arc::new(self.clock.clone());
        let options = CatalogOptions { clock, checkpoint_every: 2, ..CatalogOptions::default() };
        Catalog::open(self.buckets.clone(), options).await.unwrap()
    }

    async fn create(&self) -> Dataset {
        let new = NewDataset { bucket: Some("data".to_owned()), schema: columns(&["n"]), ..new_dataset("t") };
        self.server().await.create_dataset(new, &ada()).await.unwrap()
    }

    /// The table, as a server finds it that has not seen it before.
    async fn cold(&self) -> Dataset {
        dataset(&self.server().await, "t").await
    }

    /// What is in the bucket, whatever its listings show.
    async fn count(&self, part: &str) -> usize {
        let all: Vec<_> = self.there.list(None).try_collect().await.unwrap();
        all.iter().filter(|object| object.location.as_ref().contains(part)).count()
    }

    /// Checkpoints are written in the background.
    async fn until_checkpoints(&self, count: usize) {
        while self.count(".checkpoint.json").await < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    fn later(&self) {
        self.clock.advance(TimeDelta::days(2));
    }
}

/// A file of one row that nobody refers to yet.
async fn write(dataset: &Dataset) -> DataFile {
    let schema = dataset.snapshot(At::Latest).await.unwrap().schema.clone();
    let batch = RecordBatch::try_new(columns(&["n"]), vec![Arc::new(Int64Array::from(vec![1]))]).unwrap();
    let mut writer = DatasetWriter::new(dataset, schema, WriterOptions::default());
    writer.write(batch).await.unwrap();
    writer.finish().await.unwrap().remove(0)
}

/// Every version that can be read has all its files.
async fn check_whole(dataset: &Dataset) {
    let newest = dataset.snapshot(At::Latest).await.unwrap().version;
    for version in dataset.oldest_version().await.unwrap()..=newest {
        let snapshot = dataset.snapshot(At::Version(version)).await.unwrap();
        for file in snapshot.files.iter() {
            let found = dataset.bucket().get_opt(&dataset.data_key(file.id)).await.unwrap();
            assert_eq!(
                found.map(|bytes| bytes.len() as u64),
                Some(file.bytes),
                "file {} of version {version}",
                file.id
            );
        }
    }
}

#[tokio::test]
async fn every_version_is_found_by_every_reader_and_made_once() {
    for lag in LAGS {
        let lab = Lab::new(lag);
        let writers = [lab.create().await, lab.cold().await];
        let start = lab.clock.now();
        for version in 2..=12_u64 {
            lab.clock.advance(TimeDelta::minutes(1));
            let change = Change { idempotency_key: Some(format!("load {version}")), ..Change::append(vec![file(1)]) };
            // Each knows nothing of what the other has committed but what the bucket says.
            let committed =
                writers[usize::from(version.is_multiple_of(2))].commit(change.clone(), &ada()).await.unwrap();
            assert_eq!((committed.version, committed.duplicate), (version, false), "lag {lag}");
            let cold = lab.cold().await;
            for reader in [&writers[0], &writers[1], &cold] {
                let newest = reader.snapshot(At::Latest).await.unwrap();
                assert_eq!((newest.version, newest.rows), (version, version - 1), "lag {lag}");
            }
            let again = lab.cold().await.commit(change, &ada()).await.unwrap();
            assert_eq!((again.version, again.duplicate), (version, true), "lag {lag}");
        }
        lab.until_checkpoints(6).await;
        for version in (1..=12).rev() {
            let time = start + TimeDelta::minutes(i64::try_from(version).unwrap() - 1);
            for at in [At::Version(version), At::Timestamp(time)] {
                let snapshot = lab.cold().await.snapshot(at).await.unwrap();
                assert_eq!((snapshot.version, snapshot.rows), (version, version - 1), "lag {lag}, {at:?}");
            }
        }
        assert_eq!(lab.cold().await.history().await.unwrap().len(), 12);
        let verified = verify(&lab.server().await, VerifyOptions::default()).await.unwrap();
        let damaged = verified.findings.iter().filter(|found| found.key.contains("/log/"));
        assert_eq!(damaged.count(), 0, "lag {lag}: {:?}", verified.findings);
    }
}

/// Versions are made, given up and collected, again and again, by servers that come and go.
#[tokio::test(start_paused = true)]
async fn garbage_collection_removes_nothing_that_is_needed() {
    for lag in LAGS {
        let lab = Lab::new(lag);
        let warm = lab.create().await;
        for round in 0..6 {
            // Files are given up together with those of the same millisecond.
            tokio::time::sleep(Duration::from_millis(3)).await;
            for _ in 0..3 {
                let change = Change::append(vec![write(&warm).await]);
                warm.commit(change, &ada()).await.unwrap();
            }
            // Some are replaced by one, as a compaction does.
            let seen = warm.snapshot(At::Latest).await.unwrap();
            let merged = seen.files.iter().take(3);
            let (removed, rows) =
                (merged.clone().map(|file| Removed::from(file.as_ref())), merged.map(|file| file.rows));
            let (removed, rows) = (removed.collect(), rows.sum());
            let merged = DataFile { rows, ..write(&warm).await };
            let compact = Change { operation: Operation::Compact, removed, ..Change::append(vec![merged]) };
            let change = Change { read_version: Some(seen.version), ..compact };
            warm.commit(change, &ada()).await.unwrap();
            // A write that is under way, and one that never ends.
            let (running, _abandoned) = (write(&warm).await, write(&warm).await);
            let kept = 1 + round % 3;
            let retention = Retention { keep_versions: Some(kept), keep_age: None };
            lab.cold().await.expire(retention, false, &ada()).await.unwrap();
            for step in 0..3 {
                let report = gc(&lab.server().await, DAY, false).await.unwrap();
                assert_eq!(report.problems, Vec::<String>::new(), "lag {lag}");
                for reader in [&warm, &lab.cold().await] {
                    check_whole(reader).await;
                }
                if step == 0 {
                    // Once the clock has jumped, what was written just now looks as if it took days.
                    match warm.commit(Change::append(vec![running.clone()]), &ada()).await {
                        Ok(_) => {}
                        Err(error) => assert!(round > 0 && error.kind() == ErrorKind::Conflict, "lag {lag}: {error}"),
                    }
                }
                lab.later();
            }
            let found = verify(&lab.server().await, VerifyOptions { deep: true, table: None }).await.unwrap().findings;
            let damaged: Vec<_> = found.iter().filter(|found| !found.detail.contains("no version refers")).collect();
            assert!(damaged.is_empty(), "lag {lag}: {damaged:?}");
        }
        let rows = lab.cold().await.snapshot(At::Latest).await.unwrap().rows;
        // What listings did not show for so long goes when they do.
        lab.data.lag_listings(0);
        let (files, clock) = (lab.count("/data/").await, lab.clock.clone());
        let server = lab.server().await;
        collect_all(&server, |by| clock.advance(by)).await;
        check_tidy(&server).await;
        check_whole(&lab.cold().await).await;
        assert_eq!(lab.cold().await.snapshot(At::Latest).await.unwrap().rows, rows);
        assert!(lag < 1000 || lab.count("/data/").await < files, "nothing was collected before");
    }
}

/// A listing that shows checkpoints that are gone, and none of those that are there.
#[tokio::test]
async fn checkpoints_that_are_only_listed_are_done_without() {
    let lab = Lab::new(0);
    let warm = lab.create().await;
    let append = async || warm.commit(Change::append(vec![file(1)]), &ada()).await.unwrap().version;
    for _ in 0..5 {
        append().await;
    }
    lab.until_checkpoints(3).await;
    // Listings stand still from here on.
    lab.data.lag_listings(1_000_000);
    for _ in 0..6 {
        append().await;
    }
    lab.until_checkpoints(6).await;
    let stale: Vec<_> = lab.buckets.get("data").unwrap().list("tables").await.unwrap();
    let listed: Vec<_> = stale.iter().filter(|object| object.location.as_ref().contains("checkpoint")).collect();
    assert_eq!(listed.len(), 3);
    for object in listed {
        lab.buckets.get("data").unwrap().delete(object.location.as_ref()).await.unwrap();
    }
    for version in [3, 6, 7, 12] {
        let snapshot = lab.cold().await.snapshot(At::Version(version)).await.unwrap();
        assert_eq!((snapshot.version, snapshot.rows), (version, version - 1));
    }
    assert_eq!(lab.cold().await.snapshot(At::Latest).await.unwrap().version, 12);
    assert_eq!(append().await, 13);
}

/// A dropped table goes as a whole, the record of the drop last, also where some of it is not shown for a while.
#[tokio::test(start_paused = true)]
async fn a_dropped_table_goes_in_the_end_and_its_successor_stays() {
    for lag in LAGS {
        let lab = Lab::new(lag);
        let former = lab.create().await;
        former.commit(Change::append(vec![write(&former).await]), &ada()).await.unwrap();
        lab.server().await.drop(former.name(), None, &ada()).await.unwrap();
        let table = lab.create().await;
        table.commit(Change::append(vec![write(&table).await]), &ada()).await.unwrap();
        for _ in 0..4 {
            lab.later();
            let report = gc(&lab.server().await, DAY, false).await.unwrap();
            assert_eq!(report.problems, Vec::<String>::new(), "lag {lag}");
            check_whole(&lab.cold().await).await;
            assert_eq!(lab.cold().await.snapshot(At::Latest).await.unwrap().rows, 1, "lag {lag}");
        }
        lab.data.lag_listings(0);
        let clock = lab.clock.clone();
        let server = lab.server().await;
        collect_all(&server, |by| clock.advance(by)).await;
        check_tidy(&server).await;
        assert_eq!(lab.count(&former.id().to_string()).await, 0, "lag {lag}");
    }
}
