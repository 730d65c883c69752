//! The engine: what all sessions of a server share.

mod memory;
mod runtime;
mod shared_slots;
mod slots;
mod stores;

use std::sync::{Arc, OnceLock, Weak};

use datafusion::{
    execution::{SessionStateBuilder, runtime_env::RuntimeEnv, session_state::SessionState},
    prelude::SessionConfig,
};
use parking_lot::Mutex;
use skein_catalog::{At, Catalog, Dataset, Entry};
use skein_model::{DEFAULT_CATALOG, DEFAULT_SCHEMA, DatasetId, Principal, QueryId, SessionId, TableName};

pub(crate) use self::{
    memory::{Budget, Budgets},
    runtime::within as runtime_within,
    shared_slots::Slot,
};
use self::{
    shared_slots::SharedSlots,
    slots::{Limits, Slots},
};
use crate::{
    EngineConfig, Error, QueryInfo, Result, Session, SessionInfo,
    compact::Compactions,
    distributed::{self, Cluster, Shares, Worker, WorkerInfo},
    functions,
    registry::Registry,
    rules,
    scan::{CacheUse, HotCache, RemoteFiles, SnapshotCache, SnapshotTable},
    search::{Builds, Indexes, SearchOptions},
};

/// What all sessions of a server share: the catalog, the memory pool, caches, the registry of queries. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    catalog: Catalog,
    config: EngineConfig,
    runtime: Arc<RuntimeEnv>,
    budgets: Budgets,
    /// A session's state starts as a copy of this one, so that function registries are filled once.
    template: SessionState,
    registry: Registry,
    compactions: Compactions,
    slots: Slots,
    shared_slots: SharedSlots,
    snapshots: SnapshotCache,
    indexes: Indexes,
    builds: Builds,
    sessions: Mutex<Vec<Weak<Session>>>,
    cluster: OnceLock<Arc<dyn Cluster>>,
}

impl Engine {
    /// An engine over `catalog`.
    ///
    /// # Errors
    /// When the spill directory cannot be used.
    pub fn new(catalog: Catalog, config: EngineConfig) -> Result<Self> {
        let runtime = runtime::build(catalog.buckets().clone(), &config)?;
        let builder = SessionStateBuilder::new().with_config(session_config(&config)).with_runtime_env(runtime.clone());
        let mut template = rules::add(builder).build();
        rules::guard_functions(&mut template)?;
        functions::register(&mut template, &config.models)?;
        let slots = Slots::new(Limits {
            running: config.max_concurrent_queries,
            running_per_user: config.max_concurrent_per_user,
            waiting: config.max_queued_queries,
            waiting_per_user: config.max_queued_per_user,
        });
        let indexes = Indexes::new(&catalog, config.index_folder(), config.index_memory_bytes);
        let hot = HotCache::new(config.hot_cache_bytes, runtime.memory_pool.clone());
        let snapshots = SnapshotCache::new(hot).with_indexes(indexes.clone());
        let budgets = Budgets::new(runtime.memory_pool.clone(), config.memory_per_statement, config.memory_per_user);
        Ok(Self(Arc::new(Shared {
            catalog,
            config,
            runtime,
            budgets,
            template,
            registry: Registry::default(),
            compactions: Compactions::default(),
            slots,
            shared_slots: SharedSlots::default(),
            snapshots,
            indexes,
            builds: Builds::default(),
            sessions: Mutex::default(),
            cluster: OnceLock::new(),
        })))
    }

    /// The catalog it reads and writes.
    pub fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    /// The configuration it was made with.
    pub fn config(&self) -> &EngineConfig {
        &self.0.config
    }

    /// From here on, statements may run on the workers of `cluster`. The first call counts.
    pub fn join(&self, cluster: Arc<dyn Cluster>) {
        let _ = self.0.cluster.set(cluster);
    }

    /// The service that runs tasks of other servers' statements, and what it has to tell them. `cluster` is how it reaches other workers.
    pub fn worker(&self, cluster: Arc<dyn Cluster>, version: &'static str) -> (Worker, Shares) {
        distributed::worker(self.clone(), cluster, version)
    }

    /// The workers that are alive.
    pub fn workers(&self) -> Vec<WorkerInfo> {
        self.0.cluster.get().map(|cluster| cluster.workers()).unwrap_or_default()
    }

    pub(crate) fn cluster(&self) -> Option<&Arc<dyn Cluster>> {
        self.0.cluster.get()
    }

    /// How scans that another server planned are read.
    pub(crate) fn remote_files(&self) -> RemoteFiles {
        RemoteFiles::new(&self.0.snapshots)
    }

    /// A new session. It is listed in `system.sessions` until its last handle goes.
    pub fn session(&self, id: SessionId, principal: Principal) -> Arc<Session> {
        let session = Arc::new(Session::new(self.clone(), id, principal, self.0.template.clone()));
        let mut sessions = self.0.sessions.lock();
        sessions.retain(|other| other.strong_count() > 0);
        sessions.push(Arc::downgrade(&session));
        session
    }

    /// Running queries and the last 1,000 finished ones, newest first.
    pub fn queries(&self) -> Vec<QueryInfo> {
        self.0.registry.list()
    }

    /// Cancels a queued or running query; false when there is none with this id.
    pub fn cancel(&self, id: QueryId) -> bool {
        self.0.registry.cancel(id)
    }

    /// Keeps all of a dataset in the hot cache, now and as it grows; returns when it is there. After a restart it has to be pinned again.
    ///
    /// # Errors
    /// `NotFound`; `InvalidInput` for what is no dataset and when the cache is off; `ResourceExhausted` when it does not fit.
    pub async fn pin(&self, name: &TableName) -> Result<CacheUse> {
        let dataset = self.dataset(name).await?;
        let (id, hot) = (dataset.id(), self.0.snapshots.hot());
        if !hot.is_on() {
            return Err(Error::Invalid("the hot cache is off; set query.hot_cache to a size and restart".to_owned()));
        }
        let snapshot = dataset.snapshot(At::Latest).await?;
        let table = SnapshotTable::new(dataset, &snapshot, &self.0.snapshots)?;
        let was_pinned = hot.pin(id);
        let loaded = table.load(&self.0.template).await;
        if !was_pinned && !matches!(loaded, Ok(true)) {
            hot.unpin(id);
        }
        if !loaded? {
            return Err(Error::Exhausted(format!(
                "'{name}' does not fit into the hot cache beside what is pinned; it holds {} bytes (query.hot_cache), out of query.memory",
                hot.capacity()
            )));
        }
        Ok(self.cache_use(id))
    }

    /// Lets a dataset make room in the hot cache again. False when it was not pinned.
    ///
    /// # Errors
    /// As [`Engine::pin`].
    pub async fn unpin(&self, name: &TableName) -> Result<bool> {
        Ok(self.0.snapshots.hot().unpin(self.dataset(name).await?.id()))
    }

    /// Has the hot cache let go of datasets that were dropped, by this server or another: nobody could unpin them any more. Asks
    /// the bucket for names only if the cache knows of any dataset.
    ///
    /// # Errors
    /// When the names cannot be read.
    pub async fn forget_dropped(&self) -> Result<()> {
        // Before the names are read: what gets a name and is read meanwhile stays.
        let hot = self.0.snapshots.hot();
        let known = hot.known();
        if known.is_empty() {
            return Ok(());
        }
        let named = self.0.catalog.named_ids().await?;
        known.into_iter().filter(|id| !named.contains(id)).for_each(|id| hot.forget(id));
        Ok(())
    }

    /// What each dataset has in the hot cache.
    pub fn cached(&self) -> Vec<(DatasetId, CacheUse)> {
        self.0.snapshots.hot().list()
    }

    fn cache_use(&self, dataset: DatasetId) -> CacheUse {
        self.cached().into_iter().find(|(id, _)| *id == dataset).map(|(_, of)| of).unwrap_or_default()
    }

    async fn dataset(&self, name: &TableName) -> Result<Dataset> {
        match self.0.catalog.resolve(name).await? {
            Entry::Dataset(dataset) => Ok(dataset),
            other => Err(Error::Invalid(format!("'{name}' is no dataset: {}", other.kind().as_str()))),
        }
    }

    /// The sessions that are alive, oldest first.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        let sessions: Vec<_> = self.0.sessions.lock().iter().filter_map(Weak::upgrade).collect();
        sessions.iter().map(|session| session.info()).collect()
    }

    /// Bytes on disk that running queries have spilled.
    pub fn spilled_bytes(&self) -> u64 {
        self.0.runtime.spilling_progress().current_bytes
    }

    /// Bytes reserved in the memory pool at the moment, by running queries and temporary tables.
    pub fn memory_reserved(&self) -> usize {
        self.0.runtime.memory_pool.reserved()
    }

    /// What a session's settings are when it begins.
    pub(crate) fn default_config(&self) -> SessionConfig {
        self.0.template.config().clone()
    }

    /// Memory for statements and sessions.
    pub(crate) fn budgets(&self) -> &Budgets {
        &self.0.budgets
    }

    /// What a session's state is when it begins.
    pub(crate) fn template(&self) -> &SessionState {
        &self.0.template
    }

    pub(crate) fn runs_of_compactions(&self) -> &Compactions {
        &self.0.compactions
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.0.registry
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.0.slots
    }

    pub(crate) fn shared_slots(&self) -> &SharedSlots {
        &self.0.shared_slots
    }

    pub(crate) fn snapshots(&self) -> &SnapshotCache {
        &self.0.snapshots
    }

    /// The indexes of all datasets.
    pub(crate) fn indexes(&self) -> &Indexes {
        &self.0.indexes
    }

    pub(crate) fn builds(&self) -> &Builds {
        &self.0.builds
    }

    /// A state whose scans have one partition, in which files follow each other.
    pub(crate) fn ordered(&self) -> SessionState {
        let config = self.0.template.config().clone().with_target_partitions(1);
        SessionStateBuilder::from(self.0.template.clone()).with_config(config).build()
    }
}

/// Sorts in each partition of a statement for which memory is planned.
const SORTS: usize = 8;
/// Bytes of a join's smaller side, times the cores, up to which it is collected in one place.
///
/// Beyond that both sides are divided among the cores by their keys: each row is hashed and copied once more so that the table is built side by side. With few
/// cores that costs more than it gives: on two, the 22 TPC-H queries took 4 % less time with 8 MiB than with DataFusion's 1 MiB, and no less with 64.
const COLLECTED_BYTES: usize = 16 << 20;
/// Bytes of a row of that side, where only their number is known.
const COLLECTED_ROW: usize = 16;
/// Least memory for the merge of what a sort spilled, in bytes.
const MERGE_BYTES: usize = 1 << 20;

fn session_config(config: &EngineConfig) -> SessionConfig {
    let mut session = SessionConfig::new()
        .with_default_catalog_and_schema(DEFAULT_CATALOG, DEFAULT_SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true)
        .with_target_partitions(config.target_partitions.max(1))
        .with_batch_size(config.batch_size.max(1));
    let options = session.options_mut();
    options.extensions.insert(SearchOptions::default());
    session = session.with_extension(Arc::clone(&config.models));
    let options = session.options_mut();
    // Each sort sets this much aside for the merge of what it spilled. Beside the sorts of a few joins there must be room for rows.
    let execution = &mut options.execution;
    let sorts = config.target_partitions.max(1).saturating_mul(SORTS);
    let share = config.memory_per_statement.min(config.memory_bytes) / sorts;
    execution.sort_spill_reservation_bytes = execution.sort_spill_reservation_bytes.min(share.max(MERGE_BYTES));
    // A file for each batch that a repartition spills. DataFusion 54 lets its reader wait for an older file that is still open while what it needs is in a
    // newer one, for ever (apache/datafusion#24883); a file that is closed at once is never waited for.
    execution.max_spill_file_size_bytes = 1;
    let optimizer = &mut options.optimizer;
    let collected = COLLECTED_BYTES / config.target_partitions.max(1);
    let collected = collected.min(share).max(optimizer.hash_join_single_partition_threshold);
    optimizer.hash_join_single_partition_threshold = collected;
    optimizer.hash_join_single_partition_threshold_rows =
        optimizer.hash_join_single_partition_threshold_rows.max(collected / COLLECTED_ROW);
    options.sql_parser.map_string_types_to_utf8view = true;
    // A folder is everything below it.
    options.execution.listing_table_ignore_subdirectory = false;
    session
}
