//! What the tests of the catalog share.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, reason = "tests, each of which uses a part of this")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use chrono::TimeDelta;
use object_store::memory::InMemory;
use skein_catalog::{
    Actor, Catalog, CatalogOptions, DataFile, Dataset, Entry, NewDataset,
    maintenance::{self, VerifyOptions},
};
use skein_model::{FileId, TableName};
use skein_storage::{Bucket, Buckets, fault::FaultStore};

pub fn ada() -> Actor {
    Actor::new("ada")
}

pub fn name(table: &str) -> TableName {
    TableName::in_default_schema(table).unwrap()
}

pub fn columns(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(names.iter().map(|n| Field::new(*n, DataType::Int64, true)).collect::<Vec<_>>()))
}

pub fn new_dataset(table: &str) -> NewDataset {
    NewDataset { name: name(table), schema: columns(&["a", "b"]), bucket: None, properties: BTreeMap::new() }
}

/// A record of a file that need not exist: the catalog never opens files.
pub fn file(rows: u64) -> DataFile {
    DataFile {
        id: FileId::generate(),
        rows,
        bytes: rows * 10,
        sha256: "0".repeat(64),
        row_groups: 1,
        columns: BTreeMap::new(),
        schema_id: 0,
        deletes: None,
    }
}

/// A server of its own over a bucket.
pub async fn server(bucket: &Bucket, options: CatalogOptions) -> Catalog {
    Catalog::open(Buckets::new(vec![bucket.clone()]).unwrap(), options).await.unwrap()
}

pub async fn catalog() -> Catalog {
    server(&Bucket::in_memory("main"), CatalogOptions::default()).await
}

pub fn faulty() -> (Bucket, Arc<FaultStore>) {
    let store = FaultStore::new(Arc::new(InMemory::new()));
    (Bucket::from_store("main", Arc::clone(&store) as _), store)
}

pub async fn dataset(catalog: &Catalog, table: &str) -> Dataset {
    match catalog.resolve(&name(table)).await.unwrap() {
        Entry::Dataset(dataset) => dataset,
        other => panic!("{other:?}"),
    }
}

/// Collects garbage twice, each time after two days: what was never published is dropped by the first run and removed by the
/// second.
pub async fn collect_all(catalog: &Catalog, advance: impl Fn(TimeDelta)) {
    for _ in 0..2 {
        // What is written in the background is done by then.
        tokio::time::sleep(Duration::from_secs(1)).await;
        advance(TimeDelta::days(2));
        let report = maintenance::gc(catalog, Duration::ZERO, false).await.unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
    }
}

/// Nothing is wrong, and nothing is left that nobody needs.
pub async fn check_tidy(catalog: &Catalog) {
    let report = maintenance::verify(catalog, VerifyOptions::default()).await.unwrap();
    assert_eq!((report.findings, report.pending), (vec![], vec![]), "after garbage collection");
}
