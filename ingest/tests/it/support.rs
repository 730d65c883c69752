//! Catalogs to test over, and short ways to put data in and get it out.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch},
    compute::concat_batches,
    datatypes::SchemaRef,
    util::pretty::pretty_format_batches,
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use skein_catalog::{Actor, At, Catalog, CatalogOptions, Dataset, Entry};
use skein_ingest::*;
use skein_model::TableName;
use skein_storage::{Bucket, BucketConfig, Buckets};
use tempfile::TempDir;
use tokio::sync::watch;

/// A catalog over one bucket.
pub struct World {
    pub catalog: Catalog,
    pub bucket: Bucket,
    _folder: Option<TempDir>,
}

pub fn name(table: &str) -> TableName {
    TableName::in_default_schema(table).unwrap()
}

pub fn target(table: &str, mode: IngestMode) -> IngestTarget {
    IngestTarget { name: name(table), mode, bucket: None }
}

pub fn options(file_name: &str) -> FileOptions {
    FileOptions { file_name: file_name.to_owned(), ..FileOptions::default() }
}

/// The bytes as a body that arrives in pieces of `size`.
pub fn body(bytes: impl Into<Bytes>, size: usize) -> ByteStream {
    let bytes: Bytes = bytes.into();
    let pieces: Vec<_> =
        (0..bytes.len()).step_by(size.max(1)).map(|i| bytes.slice(i..bytes.len().min(i + size))).collect();
    stream::iter(pieces).map(Ok).boxed()
}

pub fn batches(batches: Vec<RecordBatch>) -> BatchStream {
    stream::iter(batches).map(Ok).boxed()
}

pub fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter(columns).unwrap()
}

impl World {
    pub async fn over(bucket: Bucket) -> Self {
        let catalog =
            Catalog::open(Buckets::new(vec![bucket.clone()]).unwrap(), CatalogOptions::default()).await.unwrap();
        Self { catalog, bucket, _folder: None }
    }

    pub async fn memory() -> Self {
        Self::over(Bucket::in_memory("lake")).await
    }

    pub async fn local() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = BucketConfig {
            name: "lake".to_owned(),
            url: folder.path().to_str().unwrap().to_owned(),
            options: BTreeMap::new(),
            read_only: false,
        };
        Self { _folder: Some(folder), ..Self::over(Bucket::open(config).await.unwrap()).await }
    }

    pub async fn both() -> [Self; 2] {
        [Self::memory().await, Self::local().await]
    }

    pub async fn file(
        &self,
        table: &str,
        mode: IngestMode,
        bytes: impl Into<Bytes>,
        options: FileOptions,
    ) -> Result<IngestReport> {
        let (progress, _) = watch::channel(Progress::default());
        let body = body(bytes, 64 << 10);
        ingest_file(&self.catalog, target(table, mode), body, options, &Actor::new("ada"), progress).await
    }

    /// Creates a table from a file.
    pub async fn create(&self, table: &str, bytes: impl Into<Bytes>, options: FileOptions) -> Result<IngestReport> {
        self.file(table, IngestMode::Create, bytes, options).await
    }

    /// What goes wrong when a table is created from a file. Nothing may be left then.
    pub async fn refused(&self, table: &str, bytes: impl Into<Bytes>, options: FileOptions) -> Error {
        let error = self.create(table, bytes, options).await.unwrap_err();
        assert!(self.catalog.resolve_opt(&name(table)).await.unwrap().is_none(), "{table} is visible after: {error}");
        self.nothing_left().await;
        error
    }

    /// Waits for what is cleaned up in the background; fails if an object without an owner stays.
    pub async fn nothing_left(&self) {
        for _ in 0..200 {
            if self.strays().await.is_empty() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("left behind: {:?}", self.strays().await);
    }

    /// Objects of tables that nobody can see, and data files no version refers to.
    pub async fn strays(&self) -> Vec<String> {
        let mut owned = Vec::new();
        let mut folders = Vec::new();
        for (_, entry) in self.catalog.entries().await.unwrap() {
            if let Entry::Dataset(dataset) = entry {
                folders.push(format!("tables/{}/", dataset.id()));
                owned.extend(dataset.referenced_files().await.unwrap().keys().map(|file| dataset.data_key(*file)));
            }
        }
        let objects = self.bucket.list("").await.unwrap().into_iter().map(|o| o.location.to_string());
        objects
            .filter(|key| key.starts_with("_skein/rejects/") || key.starts_with("tables/"))
            .filter(|key| match folders.iter().any(|folder| key.starts_with(folder)) {
                true => key.contains("/data/") && !owned.contains(key),
                false => true,
            })
            .collect()
    }

    pub async fn batches(
        &self,
        table: &str,
        mode: IngestMode,
        schema: SchemaRef,
        stream: BatchStream,
    ) -> Result<IngestReport> {
        let (progress, _) = watch::channel(Progress::default());
        let target = target(table, mode);
        ingest_batches(&self.catalog, target, schema, stream, BatchOptions::default(), &Actor::new("ada"), progress)
            .await
    }

    pub async fn put(&self, table: &str, mode: IngestMode, rows: RecordBatch) -> Result<IngestReport> {
        self.batches(table, mode, rows.schema(), batches(vec![rows])).await
    }

    pub async fn dataset(&self, table: &str) -> Dataset {
        match self.catalog.resolve(&name(table)).await.unwrap() {
            Entry::Dataset(dataset) => dataset,
            _ => panic!("{table} is no dataset"),
        }
    }

    pub async fn schema(&self, table: &str) -> SchemaRef {
        self.dataset(table).await.snapshot(At::Latest).await.unwrap().arrow_schema()
    }

    /// `name: Type` of every column.
    pub async fn columns(&self, table: &str) -> Vec<String> {
        self.schema(table).await.fields().iter().map(|f| format!("{}: {}", f.name(), f.data_type())).collect()
    }

    /// All rows, as the table's Parquet files hold them.
    pub async fn read(&self, table: &str) -> RecordBatch {
        let dataset = self.dataset(table).await;
        let snapshot = dataset.snapshot(At::Latest).await.unwrap();
        let mut all = Vec::new();
        for file in snapshot.files.iter() {
            let bytes = self.bucket.get(&dataset.data_key(file.id)).await.unwrap();
            let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
            all.extend(reader.map(Result::unwrap));
        }
        let rows: u64 = all.iter().map(|b| b.num_rows() as u64).sum();
        assert_eq!(rows, snapshot.rows);
        match all.first() {
            Some(first) => concat_batches(&first.schema(), &all).unwrap(),
            None => RecordBatch::new_empty(Arc::clone(&snapshot.arrow_schema())),
        }
    }

    /// All rows as a table of text.
    pub async fn show(&self, table: &str) -> String {
        pretty_format_batches(&[self.read(table).await]).unwrap().to_string()
    }

    /// One column as text.
    pub async fn column(&self, table: &str, column: &str) -> Vec<String> {
        let rows = self.read(table).await;
        let array = rows.column_by_name(column).unwrap_or_else(|| panic!("no column {column}"));
        (0..array.len())
            .map(|row| {
                if array.is_null(row) {
                    "null".into()
                } else {
                    arrow::util::display::array_value_to_string(array, row).unwrap()
                }
            })
            .collect()
    }
}
