//! What is kept, what was wanted, and what has to go when there is no room.

use std::{
    cmp::Reverse,
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
                    hot.push(HotFile { file, columns: found, live: None });
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

    /// Whether `bytes` more fit into `capacity`, once others have gone that may go: first what has held most memory for the longest time
    /// without being used.
    pub(super) fn make_room(&mut self, dataset: DatasetId, bytes: u64, capacity: u64) -> bool {
        self.make_room_at(Instant::now(), dataset, bytes, capacity)
    }

    fn make_room_at(&mut self, now: Instant, dataset: DatasetId, bytes: u64, capacity: u64) -> bool {
        if self.bytes + bytes <= capacity {
            return true;
        }
        let pinned = self.is_pinned(dataset);
        let mut may_go: Vec<_> = self
            .columns
            .iter()
            .filter(|(_, kept)| !self.is_pinned(kept.dataset))
            .map(|(key, kept)| (now.saturating_duration_since(kept.used), key.clone(), kept.column.bytes))
            .filter(|(idle, ..)| pinned || *idle >= RECENT)
            .collect();
        let most: u64 = may_go.iter().map(|(_, _, bytes)| bytes).sum();
        if (self.bytes - most) + bytes > capacity {
            return false;
        }
        may_go.sort_by_key(|(idle, _, bytes)| Reverse(idle.as_millis().saturating_mul(u128::from(*bytes))));
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

    /// The datasets of which anything is known.
    pub(super) fn known(&self) -> HashSet<DatasetId> {
        let kept = self.columns.values().map(|kept| kept.dataset);
        kept.chain(self.datasets.keys().copied()).chain(self.wanted.keys().map(|(id, _)| *id)).collect()
    }

    /// Lets go of all that is known of a dataset, also if it is pinned.
    pub(super) fn forget(&mut self, dataset: DatasetId) {
        self.retain(dataset, |_, _| false);
        self.datasets.remove(&dataset);
        self.wanted.retain(|(id, _), _| *id != dataset);
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

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;
    use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, UnboundedMemoryPool};

    use super::*;

    const CAPACITY: u64 = 1000;

    /// A store with columns of so many bytes, each in a file of its own, and each used a second later than the one before.
    struct Fixture {
        store: Store,
        dataset: DatasetId,
        files: Vec<FileId>,
        /// When the last one was used.
        last: Instant,
    }

    fn key() -> ColumnKey {
        (1, DataType::Int64)
    }

    impl Fixture {
        fn new(columns: &[u64]) -> Self {
            let mut fixture = Self {
                store: Store::default(),
                dataset: DatasetId::generate(),
                files: Vec::new(),
                last: Instant::now(),
            };
            columns.iter().for_each(|bytes| fixture.add(fixture.dataset, *bytes));
            fixture
        }

        fn add(&mut self, dataset: DatasetId, bytes: u64) {
            let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
            let memory = MemoryConsumer::new("test").register(&pool);
            let file = FileId::generate();
            self.store.insert(dataset, file, key(), Column { chunks: Vec::new(), bytes, _memory: memory });
            self.last += Duration::from_secs(1);
            self.store.columns.get_mut(&(file, key())).unwrap().used = self.last;
            self.files.push(file);
        }

        /// Makes room for some other dataset when the last one has not been used for so long.
        fn room(&mut self, idle: Duration, bytes: u64) -> bool {
            self.store.make_room_at(self.last + idle, DatasetId::generate(), bytes, CAPACITY)
        }

        /// Which of the columns are there.
        fn kept(&self) -> Vec<usize> {
            (0..self.files.len()).filter(|at| self.store.has(self.files[*at], &key())).collect()
        }

        fn evictions(&self) -> u64 {
            self.store.list().iter().map(|(_, of)| of.evictions).sum()
        }
    }

    #[test]
    fn what_was_used_longest_ago_makes_room_and_no_more_than_is_needed() {
        let mut cache = Fixture::new(&[250; 4]);
        // Used again, the first is the youngest.
        cache.store.columns.get_mut(&(cache.files[0], key())).unwrap().used = cache.last + Duration::from_secs(1);
        assert!(cache.room(2 * RECENT, 300));
        assert_eq!(cache.kept(), [0, 3]);
        assert_eq!((cache.store.bytes, cache.evictions()), (500, 2));
        assert!(cache.room(2 * RECENT, 500), "there is room already");
        assert_eq!(cache.kept(), [0, 3]);
    }

    #[test]
    fn one_large_column_goes_before_many_small_ones_that_are_a_little_older() {
        let mut cache = Fixture::new(&[20, 20, 20, 20, 900, 20]);
        assert!(cache.room(2 * RECENT, 100));
        assert_eq!(cache.kept(), [0, 1, 2, 3, 5]);
        assert_eq!(cache.evictions(), 1);
    }

    #[test]
    fn what_was_used_lately_stays() {
        let mut cache = Fixture::new(&[400, 600]);
        assert!(!cache.room(RECENT / 2, 100));
        assert_eq!(cache.kept(), [0, 1]);
        // One second more, and the first is old enough.
        assert!(cache.room(RECENT - Duration::from_secs(1), 100));
        assert_eq!(cache.kept(), [1]);
    }

    #[test]
    fn pinned_columns_stay_until_they_are_unpinned() {
        let mut cache = Fixture::new(&[600, 300]);
        let dataset = cache.dataset;
        assert!(!cache.store.pin(dataset) && cache.store.pin(dataset));
        assert!(!cache.room(1000 * RECENT, 200));
        cache.add(DatasetId::generate(), 100);
        assert!(!cache.room(1000 * RECENT, 200), "nothing goes where it would not be enough");
        assert_eq!(cache.kept(), [0, 1, 2]);
        assert!(cache.room(1000 * RECENT, 100));
        assert_eq!(cache.kept(), [0, 1]);
        assert!(cache.store.unpin(dataset) && !cache.store.unpin(dataset));
        assert!(cache.room(1000 * RECENT, 200));
        assert_eq!(cache.kept(), [1]);
    }

    #[test]
    fn nothing_stays_of_a_dataset_that_is_forgotten() {
        let mut cache = Fixture::new(&[400]);
        let (forgotten, other) = (cache.dataset, DatasetId::generate());
        cache.store.pin(forgotten);
        cache.add(other, 300);
        assert!(!cache.store.wants(other, &[key()]) && !cache.store.wants(DatasetId::generate(), &[key()]));
        assert_eq!(cache.store.known().len(), 3);
        cache.store.forget(forgotten);
        assert_eq!((cache.kept(), cache.store.bytes), (vec![1], 300));
        assert!(!cache.store.is_pinned(forgotten) && !cache.store.known().contains(&forgotten));
        assert!(cache.store.wants(other, &[key()]), "what is known of others stays");
    }

    #[test]
    fn a_pinned_dataset_takes_the_place_of_what_was_used_just_now() {
        let mut cache = Fixture::new(&[500, 500]);
        let pinned = DatasetId::generate();
        cache.store.pin(pinned);
        assert!(cache.store.make_room_at(cache.last, pinned, 400, CAPACITY));
        assert_eq!(cache.kept(), [1]);
    }

    #[test]
    fn what_is_larger_than_the_cache_is_not_taken_and_pushes_nothing_out() {
        let mut cache = Fixture::new(&[500, 500]);
        assert!(!cache.room(1000 * RECENT, CAPACITY + 1));
        assert_eq!((cache.kept(), cache.evictions()), (vec![0, 1], 0));
        assert!(cache.room(1000 * RECENT, CAPACITY));
        assert_eq!((cache.kept(), cache.store.bytes), (vec![], 0));
    }
}
