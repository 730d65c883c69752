//! What is kept, what was wanted, and what has to go when there is no room.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::{Duration, Instant},
};

use datafusion::datasource::listing::PartitionedFile;
use skein_model::{DatasetId, FileId, Version};

use super::{CacheUse, Column, ColumnKey, HotFile, file_id};

/// What was used this lately makes no room for what is not pinned.
const RECENT: Duration = Duration::from_secs(60);
/// How long it is remembered that columns were wanted, or that there was no room for them.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Sets of columns that are remembered.
const MAX_WANTED: usize = 10_000;

type Key = (FileId, ColumnKey);

#[derive(Debug, Default)]
pub(super) struct Store {
    columns: HashMap<Key, Kept>,
    bytes: u64,
    datasets: HashMap<DatasetId, Counts>,
    wanted: HashMap<(DatasetId, u64), Want>,
    loading: HashSet<(DatasetId, u64)>,
}

#[derive(Debug)]
struct Kept {
    column: Arc<Column>,
    dataset: DatasetId,
    used: Instant,
}

#[derive(Debug, Default)]
struct Counts {
    pinned: bool,
    /// The newest version that was read.
    newest: Version,
    hits: u64,
    misses: u64,
    loads: u64,
    evictions: u64,
}

#[derive(Debug)]
struct Want {
    last: Instant,
    /// There was no room: not before then.
    not_before: Option<Instant>,
}

fn set(columns: &[ColumnKey]) -> u64 {
    let mut hasher = DefaultHasher::new();
    columns.hash(&mut hasher);
    hasher.finish()
}

impl Store {
    pub(super) fn split(
        &mut self,
        dataset: DatasetId,
        files: Vec<PartitionedFile>,
        columns: &[ColumnKey],
    ) -> (Vec<HotFile>, Vec<PartitionedFile>) {
        let (mut hot, mut cold) = (Vec::new(), Vec::new());
        let now = Instant::now();
        for file in files {
            let found = file_id(&file).and_then(|id| {
                columns
                    .iter()
                    .map(|column| self.columns.get(&(id, column.clone())).map(|kept| kept.column.clone()))
                    .collect()
            });
            match found {
                Some(found) => {
                    for column in columns {
                        let key = file_id(&file).map(|id| (id, column.clone()));
                        if let Some(kept) = key.and_then(|key| self.columns.get_mut(&key)) {
                            kept.used = now;
                        }
                    }
                    hot.push(HotFile { file, columns: found });
                }
                None => cold.push(file),
            }
        }
        let counts = self.datasets.entry(dataset).or_default();
        counts.hits += hot.len() as u64;
        counts.misses += cold.len() as u64;
        (hot, cold)
    }

    pub(super) fn wants(&mut self, dataset: DatasetId, columns: &[ColumnKey]) -> bool {
        let (key, now) = ((dataset, set(columns)), Instant::now());
        if self.loading.contains(&key) {
            return false;
        }
        if self.is_pinned(dataset) {
            return true;
        }
        if self.wanted.len() >= MAX_WANTED {
            self.wanted.retain(|_, want| now.saturating_duration_since(want.last) < REMEMBERED);
        }
        if self.wanted.len() >= MAX_WANTED {
            return false;
        }
        let Some(want) = self.wanted.get_mut(&key) else {
            self.wanted.insert(key, Want { last: now, not_before: None });
            return false;
        };
        let lately = now.saturating_duration_since(want.last) < REMEMBERED;
        want.last = now;
        lately && want.not_before.is_none_or(|then| then <= now)
    }

    /// False when they are being decoded already.
    pub(super) fn begin_load(&mut self, dataset: DatasetId, columns: &[ColumnKey]) -> bool {
        self.loading.insert((dataset, set(columns)))
    }

    /// `done` is false when there was no room.
    pub(super) fn end_load(&mut self, dataset: DatasetId, columns: &[ColumnKey], done: bool) {
        let key = (dataset, set(columns));
        self.loading.remove(&key);
        if !done {
            let now = Instant::now();
            self.wanted.insert(key, Want { last: now, not_before: Some(now + REMEMBERED) });
        }
    }

    pub(super) fn has(&self, file: FileId, column: &ColumnKey) -> bool {
        self.columns.contains_key(&(file, column.clone()))
    }

    /// Whether `bytes` more fit into `capacity`, once others have gone that may go.
    pub(super) fn make_room(&mut self, dataset: DatasetId, bytes: u64, capacity: u64) -> bool {
        if self.bytes + bytes <= capacity {
            return true;
        }
        let (now, pinned) = (Instant::now(), self.is_pinned(dataset));
        let mut may_go: Vec<_> = self
            .columns
            .iter()
            .filter(|(_, kept)| !self.is_pinned(kept.dataset))
            .filter(|(_, kept)| pinned || now.saturating_duration_since(kept.used) >= RECENT)
            .map(|(key, kept)| (kept.used, key.clone(), kept.column.bytes))
            .collect();
        let most: u64 = may_go.iter().map(|(_, _, bytes)| bytes).sum();
        if (self.bytes - most) + bytes > capacity {
            return false;
        }
        may_go.sort_by_key(|(used, ..)| *used);
        for (_, key, _) in may_go {
            if self.bytes + bytes <= capacity {
                break;
            }
            if let Some(dataset) = self.remove(&key) {
                self.datasets.entry(dataset).or_default().evictions += 1;
            }
        }
        true
    }

    /// Keeps a column, for which there is room.
    pub(super) fn insert(&mut self, dataset: DatasetId, file: FileId, column: ColumnKey, decoded: Column) {
        self.remove(&(file, column.clone()));
        self.bytes += decoded.bytes;
        self.columns.insert((file, column), Kept { column: Arc::new(decoded), dataset, used: Instant::now() });
    }

    pub(super) fn loaded(&mut self, dataset: DatasetId) {
        self.datasets.entry(dataset).or_default().loads += 1;
    }

    pub(super) fn pin(&mut self, dataset: DatasetId) -> bool {
        std::mem::replace(&mut self.datasets.entry(dataset).or_default().pinned, true)
    }

    pub(super) fn unpin(&mut self, dataset: DatasetId) -> bool {
        self.datasets.get_mut(&dataset).is_some_and(|counts| std::mem::take(&mut counts.pinned))
    }

    /// Whether no newer version of the dataset has been read.
    pub(super) fn is_newer(&mut self, dataset: DatasetId, version: Version) -> bool {
        let newest = &mut self.datasets.entry(dataset).or_default().newest;
        let is_newer = version > *newest;
        *newest = version.max(*newest);
        is_newer
    }

    pub(super) fn is_pinned(&self, dataset: DatasetId) -> bool {
        self.datasets.get(&dataset).is_some_and(|counts| counts.pinned)
    }

    pub(super) fn retain(&mut self, dataset: DatasetId, live: impl Fn(FileId, &ColumnKey) -> bool) {
        let gone: Vec<_> = self
            .columns
            .iter()
            .filter(|((file, column), kept)| kept.dataset == dataset && !live(*file, column))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &Key) -> Option<DatasetId> {
        let kept = self.columns.remove(key)?;
        self.bytes -= kept.column.bytes;
        Some(kept.dataset)
    }

    pub(super) fn list(&self) -> Vec<(DatasetId, CacheUse)> {
        let mut files: HashMap<DatasetId, (HashSet<FileId>, u64)> = HashMap::new();
        for ((file, _), kept) in &self.columns {
            let (of_dataset, bytes) = files.entry(kept.dataset).or_default();
            of_dataset.insert(*file);
            *bytes += kept.column.bytes;
        }
        let of = |(id, counts): (&DatasetId, &Counts)| {
            let (files, bytes) = files.get(id).map_or((0, 0), |(files, bytes)| (files.len() as u64, *bytes));
            let Counts { pinned, hits, misses, loads, evictions, .. } = *counts;
            (*id, CacheUse { pinned, files, bytes, hits, misses, loads, evictions })
        };
        let mut list: Vec<_> = self.datasets.iter().map(of).collect();
        list.sort_by_key(|(id, _)| *id);
        list
    }
}
