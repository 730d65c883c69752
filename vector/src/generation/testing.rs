//! A bucket with generations that tests can damage.

use std::{fs, path::PathBuf, sync::Arc};

use chrono::Utc;
use object_store::{ObjectStoreExt, memory::InMemory, path::Path as Key};
use skein_model::{DatasetId, FileId, GenerationId, IndexId};
use skein_storage::{Bucket, fault::FaultStore};
use tempfile::TempDir;

use super::{GenerationKey, Generations, Library, Manifest, NewGeneration, RowMap, RowMapBuilder, keys};
use crate::{IndexKind, IndexSpec, Metric, Result};

pub(super) struct Lab {
    pub(super) store: Arc<FaultStore>,
    pub(super) bucket: Bucket,
    pub(super) generations: Generations,
    pub(super) folder: TempDir,
    pub(super) index: IndexId,
    pub(super) dataset: DatasetId,
    pub(super) rows: Arc<RowMap>,
}

impl Lab {
    pub(super) fn new() -> Self {
        let store = FaultStore::new(Arc::new(InMemory::new()));
        let bucket = Bucket::from_store("main", Arc::clone(&store) as _);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("built"), "vectors ".repeat(1_000)).unwrap();
        Self {
            store,
            generations: Generations::new(bucket.clone()),
            bucket,
            folder,
            index: IndexId::generate(),
            dataset: DatasetId::generate(),
            rows: Arc::new(rows()),
        }
    }

    /// What an index library has written.
    pub(super) fn built(&self) -> PathBuf {
        self.folder.path().join("built")
    }

    pub(super) fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// The generation that a build has made.
    pub(super) fn new_generation(&self) -> NewGeneration {
        NewGeneration {
            key: GenerationKey { dataset: self.dataset, index: self.index, generation: GenerationId::generate() },
            dataset_version: 4,
            field_id: 2,
            dimension: 2,
            spec: IndexSpec::new(IndexKind::Flat, Metric::L2),
            factory: "Flat".to_owned(),
            library: Library { name: "faiss".to_owned(), version: "1.12.0".to_owned() },
            nulls: 2,
            build_seconds: 0.25,
            memory_bytes: 8_000,
            recall: Vec::new(),
            created_by: "ada".to_owned(),
            created_at: Utc::now(),
        }
    }

    pub(super) async fn write(&self) -> Result<Manifest> {
        self.generations.write(self.new_generation(), &self.built(), &self.rows).await
    }

    /// Changes an object of a generation.
    pub(super) async fn damage(&self, key: GenerationKey, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let object = keys::object(key.index, key.generation, name);
        let mut bytes = self.bucket.get(&object).await.unwrap().to_vec();
        change(&mut bytes);
        self.replace(key, name, &bytes).await;
    }

    pub(super) async fn replace(&self, key: GenerationKey, name: &str, bytes: &[u8]) {
        let object = Key::from(keys::object(key.index, key.generation, name));
        self.bucket.store().put(&object, bytes.to_vec().into()).await.unwrap();
    }

    /// The keys below `indexes/`.
    pub(super) async fn keys(&self) -> Vec<String> {
        self.bucket.list("indexes").await.unwrap().into_iter().map(|meta| meta.location.to_string()).collect()
    }
}

/// Of three files: all rows, none, and some.
fn rows() -> RowMap {
    let mut builder = RowMapBuilder::new();
    builder.file(FileId::generate(), 100_000).unwrap();
    builder.add_range(0..100_000).unwrap();
    builder.file(FileId::generate(), 3).unwrap();
    builder.file(FileId::generate(), 10).unwrap();
    builder.add([1, 2, 9]).unwrap();
    builder.finish()
}
