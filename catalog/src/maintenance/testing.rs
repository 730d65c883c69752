//! A local bucket whose files tests can damage.

use std::{ops::Range, path::PathBuf, sync::Arc};

use arrow::array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use chrono::{TimeDelta, Utc};
use skein_model::{ManualClock, TableName};
use skein_storage::{Bucket, BucketConfig, Buckets};
use tempfile::TempDir;

use crate::{
    Actor, At, Catalog, CatalogOptions, Change, Dataset, NewDataset,
    writer::{DatasetWriter, WriterOptions},
};

/// A catalog over one local bucket, and a clock that can be moved past the grace time.
pub(super) struct Lab {
    pub(super) folder: TempDir,
    pub(super) bucket: Bucket,
    pub(super) catalog: Catalog,
    pub(super) clock: ManualClock,
    pub(super) actor: Actor,
}

impl Lab {
    pub(super) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = BucketConfig {
            name: "lab".to_owned(),
            url: format!("file://{}", folder.path().display()),
            options: std::collections::BTreeMap::new(),
            read_only: false,
        };
        let bucket = Bucket::open(config).await.unwrap();
        let clock = ManualClock::new(Utc::now());
        let options = CatalogOptions { clock: Arc::new(clock.clone()), ..CatalogOptions::default() };
        let buckets = Buckets::new(vec![bucket.clone()]).unwrap();
        let catalog = Catalog::open(buckets, options).await.unwrap();
        Self { folder, bucket, catalog, clock, actor: Actor::new("tester") }
    }

    /// A dataset with one file per batch, each of its own version.
    pub(super) async fn dataset(&self, name: &str, batches: &[RecordBatch]) -> Dataset {
        let dataset = self.catalog.create_dataset(self.new_dataset(name), &self.actor).await.unwrap();
        for batch in batches {
            self.append(&dataset, batch).await;
        }
        dataset
    }

    pub(super) fn new_dataset(&self, name: &str) -> NewDataset {
        NewDataset {
            name: TableName::in_default_schema(name).unwrap(),
            schema: numbers(0..0).schema(),
            bucket: None,
            properties: std::collections::BTreeMap::new(),
        }
    }

    pub(super) async fn append(&self, dataset: &Dataset, batch: &RecordBatch) {
        let files = write(dataset, batch).await;
        dataset.commit(Change::append(files), &self.actor).await.unwrap();
    }

    /// Where an object of the bucket is on disk.
    pub(super) fn path(&self, key: &str) -> PathBuf {
        self.folder.path().join(key)
    }

    /// The keys below a prefix.
    pub(super) async fn keys(&self, prefix: &str) -> Vec<String> {
        self.bucket.list(prefix).await.unwrap().into_iter().map(|meta| meta.location.to_string()).collect()
    }

    /// Two days pass.
    pub(super) fn later(&self) {
        self.clock.advance(TimeDelta::days(2));
    }
}

/// Files of `dataset` that are not committed yet.
pub(super) async fn write(dataset: &Dataset, batch: &RecordBatch) -> Vec<crate::DataFile> {
    let schema = dataset.snapshot(At::Latest).await.unwrap().schema.clone();
    let mut writer = DatasetWriter::new(dataset, schema, WriterOptions::default());
    writer.write(batch.clone()).await.unwrap();
    writer.finish().await.unwrap()
}

/// A batch with one column of numbers.
pub(super) fn numbers(range: Range<i64>) -> RecordBatch {
    let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from_iter_values(range))]).unwrap()
}
