//! The hot cache: columns of data files, decoded, in memory.
//!
//! A data file never changes, so what was decoded of one stays right; an append adds files and a removal leaves some out, and neither makes
//! anything here wrong. What is kept is one column of one file, deleted rows too: a deletion vector is applied as the rows are read. A scan takes the files of which it has all columns from here and reads the
//! others; those are then decoded in the background, when their dataset is pinned or when the same columns were wanted before.

mod column;
mod load;
mod source;
mod store;

use std::{collections::HashSet, sync::Arc};

use arrow::datatypes::DataType;
use datafusion::{
    datasource::listing::PartitionedFile,
    execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation},
};
use parking_lot::Mutex;
use skein_catalog::Snapshot;
use skein_model::{DatasetId, FileId};

use self::store::Store;
use super::reader::DataFileId;

pub(super) use self::{
    column::{Column, HotFile},
    load::{Loader, Wanted},
    source::Scan,
};
pub(crate) use source::HotSource;

/// A column of a dataset, as it is decoded: its field id and its type inside the engine.
pub(super) type ColumnKey = (i32, DataType);

/// What one dataset has in the cache, and what became of its scans.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheUse {
    /// Whether it stays.
    pub pinned: bool,
    /// Its files of which something is kept.
    pub files: u64,
    /// Bytes kept.
    pub bytes: u64,
    /// Files that scans found here.
    pub hits: u64,
    /// Files that scans had to read.
    pub misses: u64,
    /// Files that were decoded for the cache.
    pub loads: u64,
    /// Columns of files that had to make room.
    pub evictions: u64,
}

/// Decoded columns, up to a number of bytes. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct HotCache {
    capacity: u64,
    pool: Arc<dyn MemoryPool>,
    store: Arc<Mutex<Store>>,
    /// One file is decoded at a time: statements come first.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl HotCache {
    /// A cache of at most `capacity` bytes, which are reserved in `pool` as they are used. With 0 it keeps nothing.
    pub(crate) fn new(capacity: u64, pool: Arc<dyn MemoryPool>) -> Self {
        Self { capacity, pool, store: Arc::default(), turn: Arc::default() }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.capacity > 0
    }

    /// Most bytes it holds.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// What each dataset has here.
    pub(crate) fn list(&self) -> Vec<(DatasetId, CacheUse)> {
        self.store.lock().list()
    }

    /// Whether it was pinned before.
    pub(crate) fn pin(&self, dataset: DatasetId) -> bool {
        self.store.lock().pin(dataset)
    }

    /// From here on it makes room like others. False when it was not pinned.
    pub(crate) fn unpin(&self, dataset: DatasetId) -> bool {
        self.store.lock().unpin(dataset)
    }

    /// The datasets of which anything is kept or remembered.
    pub(crate) fn known(&self) -> HashSet<DatasetId> {
        self.store.lock().known()
    }

    /// Keeps nothing of a dataset any more, also if it is pinned.
    pub(crate) fn forget(&self, dataset: DatasetId) {
        self.store.lock().forget(dataset);
    }

    /// A snapshot is going to be read. Files and columns that have left a pinned dataset would stay here for ever; with its newest version they go.
    pub(super) fn saw(&self, dataset: DatasetId, snapshot: &Snapshot, columns: impl FnOnce() -> HashSet<ColumnKey>) {
        if !self.is_on() {
            return;
        }
        let mut store = self.store.lock();
        if store.is_pinned(dataset) && store.is_newer(dataset, snapshot.version) {
            let live: HashSet<FileId> = snapshot.files.iter().map(|file| file.id).collect();
            let columns = columns();
            store.retain(dataset, |file, column| live.contains(&file) && columns.contains(column));
        }
    }

    /// Files of which all `columns` are here, and the others.
    pub(super) fn split(
        &self,
        dataset: DatasetId,
        files: Vec<PartitionedFile>,
        columns: &[ColumnKey],
    ) -> (Vec<HotFile>, Vec<PartitionedFile>) {
        self.store.lock().split(dataset, files, columns)
    }

    /// Whether it is worth while to decode `columns` of a dataset for the next scan: it is pinned, or they were wanted before.
    pub(super) fn wants(&self, dataset: DatasetId, columns: &[ColumnKey]) -> bool {
        self.store.lock().wants(dataset, columns)
    }

    fn reservation(&self) -> MemoryReservation {
        MemoryConsumer::new("hot cache").register(&self.pool)
    }
}

/// Which data file this is, if all of it is read.
fn file_id(file: &PartitionedFile) -> Option<FileId> {
    file.extension::<DataFileId>().filter(|_| file.range.is_none()).map(|id| id.0)
}
