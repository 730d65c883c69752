//! The engine: what all sessions of a server share.

mod runtime;
mod shared_slots;
mod slots;
mod stores;

use std::sync::{Arc, Weak};

use datafusion::{
    execution::{SessionStateBuilder, runtime_env::RuntimeEnv, session_state::SessionState},
    prelude::SessionConfig,
};
use parking_lot::Mutex;
use skein_catalog::Catalog;
use skein_model::{DEFAULT_CATALOG, DEFAULT_SCHEMA, Principal, QueryId, SessionId};

pub(crate) use self::shared_slots::Slot;
use self::{shared_slots::SharedSlots, slots::Slots};
use crate::{EngineConfig, QueryInfo, Result, Session, SessionInfo, registry::Registry, rules, scan::SnapshotCache};

/// What all sessions of a server share: the catalog, the memory pool, caches, the registry of queries. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Engine(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    catalog: Catalog,
    config: EngineConfig,
    runtime: Arc<RuntimeEnv>,
    /// A session's state starts as a copy of this one, so that function registries are filled once.
    template: SessionState,
    registry: Registry,
    slots: Slots,
    shared_slots: SharedSlots,
    snapshots: SnapshotCache,
    sessions: Mutex<Vec<Weak<Session>>>,
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
        let slots = Slots::new(config.max_concurrent_queries, config.max_queued_queries);
        Ok(Self(Arc::new(Shared {
            catalog,
            config,
            runtime,
            template,
            registry: Registry::default(),
            slots,
            shared_slots: SharedSlots::default(),
            snapshots: SnapshotCache::default(),
            sessions: Mutex::default(),
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

    /// The sessions that are alive, oldest first.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        let sessions: Vec<_> = self.0.sessions.lock().iter().filter_map(Weak::upgrade).collect();
        sessions.iter().map(|session| session.info()).collect()
    }

    /// Bytes reserved in the memory pool at the moment, by running queries and temporary tables.
    pub fn memory_reserved(&self) -> usize {
        self.0.runtime.memory_pool.reserved()
    }

    /// What a session's settings are when it begins.
    pub(crate) fn default_config(&self) -> SessionConfig {
        self.0.template.config().clone()
    }

    /// What a session's state is when it begins.
    pub(crate) fn template(&self) -> &SessionState {
        &self.0.template
    }

    pub(crate) fn runtime(&self) -> &Arc<RuntimeEnv> {
        &self.0.runtime
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
}

fn session_config(config: &EngineConfig) -> SessionConfig {
    let mut session = SessionConfig::new()
        .with_default_catalog_and_schema(DEFAULT_CATALOG, DEFAULT_SCHEMA)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true)
        .with_target_partitions(config.target_partitions.max(1))
        .with_batch_size(config.batch_size.max(1));
    let options = session.options_mut();
    options.sql_parser.map_string_types_to_utf8view = true;
    // A folder is everything below it.
    options.execution.listing_table_ignore_subdirectory = false;
    session
}
