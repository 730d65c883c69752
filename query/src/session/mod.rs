//! A client's session.

mod delivery;
mod limits;
mod options;
mod planning;
mod temp;
mod transaction;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use chrono::{DateTime, Utc};
use datafusion::{
    datasource::MemTable,
    execution::{
        FunctionRegistry,
        session_state::{SessionState, SessionStateBuilder},
    },
};
use parking_lot::{Mutex, RwLock};
use skein_catalog::{Actor, At, Entry, EntryKind, Transaction};
use skein_model::{ByteSize, Principal, SYSTEM_SCHEMA, SessionId, TableName};

use self::{options::Options, temp::TempTables};
use crate::{
    Engine, Pins, Result, SessionInfo,
    distributed::{Distributed, Distribution},
    plan::BulkContexts,
    registry::Bounds,
    system,
};

pub use delivery::{Compression, Delivery};
pub(crate) use temp::TEMP_SCHEMA;
pub use temp::TempMode;

/// What a listed table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableKind {
    /// A dataset.
    Dataset,
    /// A view.
    View,
    /// Files left in place.
    External,
    /// A temporary table of this session.
    Temporary,
    /// A table of the schema `system`.
    System,
}

impl TableKind {
    /// Its name in SQL metadata, as in `information_schema.tables`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dataset | Self::External => "BASE TABLE",
            Self::View => "VIEW",
            Self::Temporary => "LOCAL TEMPORARY",
            Self::System => "SYSTEM TABLE",
        }
    }
}

/// How large a dataset is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSize {
    /// Rows.
    pub rows: u64,
    /// Bytes of its data files.
    pub bytes: u64,
}

/// A table that a session can see.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableInfo {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub table: String,
    /// What it is.
    pub kind: TableKind,
}

/// What a statement is planned and run with. Made anew when an option changes, never per statement.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) state: SessionState,
    /// The same for plans that run on one core.
    pub(crate) single: SessionState,
    pub(crate) bulk: BulkContexts,
    /// The same for plans that run on workers.
    pub(crate) distributed: Distributed,
}

impl Core {
    pub(crate) fn new(state: SessionState) -> Arc<Self> {
        let bulk = BulkContexts::new(state.config());
        let single = single(&state);
        Arc::new(Self { state, single, bulk, distributed: Distributed::default() })
    }
}

/// What is left to optimise in the execution of a plan that filters and projects one table on one core: the rules for joins, sorts,
/// aggregates and distribution find nothing to do there, and looking costs more than a look-up.
const SINGLE_RULES: [&str; 4] = ["FilterPushdown", "ProjectionPushdown", "LimitPushdown", "EnsureCooperative"];

fn single(state: &SessionState) -> SessionState {
    let rules = state.physical_optimizers().iter().filter(|rule| SINGLE_RULES.contains(&rule.name())).cloned();
    let rules = rules.collect();
    let config = state.config().clone().with_target_partitions(1);
    SessionStateBuilder::from(state.clone()).with_config(config).with_physical_optimizer_rules(rules).build()
}

/// Some functions, such as `now()`, carry a setting in them.
fn refresh_functions(state: &mut SessionState) -> Result<()> {
    let options = state.config().options();
    let changed: Vec<_> = state
        .scalar_functions()
        .values()
        .filter_map(|f| f.inner().with_updated_config(options))
        .map(Arc::new)
        .collect();
    for function in changed {
        state.register_udf(function)?;
    }
    Ok(())
}

/// A client's session: its options, its temporary tables, and the function registry its statements are planned with; or the same
/// within a transaction.
#[derive(Debug)]
pub struct Session {
    base: Arc<Base>,
    /// Plans made in here serve in here only.
    scope: SessionId,
    /// What its statements are a part of, whatever SQL says.
    transaction: Option<Arc<Transaction>>,
}

/// What a session is in every transaction.
#[derive(Debug)]
struct Base {
    engine: Engine,
    id: SessionId,
    principal: Principal,
    started: DateTime<Utc>,
    last_used: AtomicI64,
    settings: RwLock<Settings>,
    temp: TempTables,
    /// The transaction that SQL has begun.
    current: Mutex<Option<Arc<Transaction>>>,
}

#[derive(Debug)]
struct Settings {
    core: Arc<Core>,
    options: Options,
    /// How often an option was set.
    changes: u64,
}

impl Session {
    pub(crate) fn new(engine: Engine, id: SessionId, principal: Principal, state: SessionState) -> Self {
        let started = Utc::now();
        let memory = engine.budgets().of_session(&principal.name);
        let temp = TempTables::new(memory, engine.config().target_partitions);
        let base = Base {
            engine,
            id,
            principal,
            started,
            last_used: AtomicI64::new(started.timestamp_millis()),
            settings: RwLock::new(Settings { core: Core::new(state), options: Options::default(), changes: 0 }),
            temp,
            current: Mutex::default(),
        };
        Self { base: Arc::new(base), scope: id, transaction: None }
    }

    /// The session's id.
    pub fn id(&self) -> SessionId {
        self.base.id
    }

    /// Who it acts for.
    pub fn principal(&self) -> &Principal {
        &self.base.principal
    }

    /// The engine it belongs to.
    pub fn engine(&self) -> &Engine {
        &self.base.engine
    }

    /// Sets an option: `catalog`, `schema`, `timezone`, one of [`Delivery::KEYS`], or any `datafusion.*` setting that is not the server's.
    ///
    /// # Errors
    /// `InvalidInput` for an unknown option or a value it does not take, `PermissionDenied` for the server's settings.
    pub fn set_option(&self, key: &str, value: &str) -> Result<()> {
        self.change(|options, state| options.set(key, value, state.config_mut()))
    }

    /// Sets an option back to what it was when the session began.
    ///
    /// # Errors
    /// `InvalidInput` for an unknown option.
    pub fn reset_option(&self, key: &str) -> Result<()> {
        let defaults = self.base.engine.default_config();
        self.change(|options, state| options.reset(key, state.config_mut(), &defaults))
    }

    /// Applies a change to a copy, so that a refused one leaves nothing behind.
    fn change(&self, change: impl FnOnce(&mut Options, &mut SessionState) -> Result<bool>) -> Result<()> {
        let mut settings = self.base.settings.write();
        let mut options = settings.options.clone();
        let mut state = settings.core.state.clone();
        if change(&mut options, &mut state)? {
            refresh_functions(&mut state)?;
            settings.core = Core::new(state);
        }
        settings.options = options;
        settings.changes += 1;
        Ok(())
    }

    /// The session's own options (`catalog`, `schema`, `timezone`, and those of [`Delivery`]) with their current values.
    pub fn options(&self) -> BTreeMap<String, String> {
        let settings = self.base.settings.read();
        settings.options.list(settings.core.state.config())
    }

    /// Whether there is an option of this name, also one that a client may not set.
    pub fn has_option(&self, key: &str) -> bool {
        let settings = self.base.settings.read();
        settings.options.has(key, settings.core.state.config())
    }

    /// The current value of one option.
    pub fn option(&self, key: &str) -> Option<String> {
        self.options().remove(&key.to_lowercase())
    }

    /// How its rows are sent, unless a call says otherwise.
    pub fn delivery(&self) -> Delivery {
        self.base.settings.read().options.delivery.clone()
    }

    /// The schema that bare names refer to.
    pub fn current_schema(&self) -> String {
        self.base.settings.read().options.schema.clone()
    }

    /// Whether the engine's view types are sent to this session as they are.
    pub(crate) fn sends_views(&self) -> bool {
        self.base.settings.read().options.delivery.fast
    }

    /// The schema in which a table's rows come out of the engine: strings and bytes of datasets are views, as in [`Plan::schema`](crate::Plan::schema).
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn table_schema(self: &Arc<Self>, name: &TableName) -> Result<SchemaRef> {
        self.schema_of(name).await
    }

    /// How many rows and bytes a dataset has at the version that a plan has pinned (or at its latest one); `None` for what has
    /// no count of its own: views, external and temporary tables.
    ///
    /// # Errors
    /// Those of the catalog.
    pub async fn table_size(&self, name: &TableName, pins: &Pins) -> Result<Option<TableSize>> {
        let Some(Entry::Dataset(dataset)) = self.catalog().resolve_opt(name).await? else { return Ok(None) };
        let at = pins.get(&dataset.id()).map_or(At::Latest, |version| At::Pinned(*version));
        let snapshot = dataset.snapshot(at).await?;
        Ok(Some(TableSize { rows: snapshot.rows, bytes: snapshot.bytes }))
    }

    /// All tables this session can see, sorted by schema and name.
    ///
    /// # Errors
    /// Those of the catalog.
    pub async fn tables(&self) -> Result<Vec<TableInfo>> {
        let info =
            |schema: &str, table: &str, kind| TableInfo { schema: schema.to_owned(), table: table.to_owned(), kind };
        let mut tables: Vec<_> = self
            .catalog()
            .entries()
            .await?
            .iter()
            .map(|(name, entry)| {
                let kind = match entry.kind() {
                    EntryKind::Dataset => TableKind::Dataset,
                    EntryKind::View => TableKind::View,
                    EntryKind::External => TableKind::External,
                };
                info(name.schema(), name.table(), kind)
            })
            .collect();
        tables.extend(self.base.temp.names().iter().map(|name| info(TEMP_SCHEMA, name, TableKind::Temporary)));
        tables.extend(system::TABLES.iter().map(|name| info(SYSTEM_SCHEMA, name, TableKind::System)));
        tables.sort();
        Ok(tables)
    }

    /// All schemas this session can see, sorted.
    ///
    /// # Errors
    /// Those of the catalog.
    pub async fn schemas(&self) -> Result<Vec<String>> {
        let mut schemas = self.catalog().schemas().await?;
        schemas.extend([SYSTEM_SCHEMA.to_owned(), "information_schema".to_owned()]);
        if self.base.temp.count() > 0 {
            schemas.push(TEMP_SCHEMA.to_owned());
        }
        schemas.sort();
        schemas.dedup();
        Ok(schemas)
    }

    /// Writes a temporary table in memory, visible to this session only: schema `temp`, and found first for bare names.
    /// Returns the number of rows written.
    ///
    /// # Errors
    /// As `mode` says; `InvalidInput` when the schemas differ; `ResourceExhausted` when the memory pool has no room.
    pub async fn put_temp_table(
        &self,
        name: &str,
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
        mode: TempMode,
    ) -> Result<u64> {
        self.base.temp.put(name, schema, batches, mode)
    }

    /// Drops a temporary table; false when there was none.
    pub fn drop_temp_table(&self, name: &str) -> bool {
        self.base.temp.drop(name)
    }

    /// Whether no option was ever set in it, no temporary table written and no transaction is open: another session would do as well.
    pub fn is_untouched(&self) -> bool {
        self.changes() == (0, 0) && self.base.current.lock().is_none() && Arc::strong_count(&self.base) == 1
    }

    /// Other numbers after every change of an option or a temporary table.
    pub(crate) fn changes(&self) -> (u64, u64) {
        (self.base.settings.read().changes, self.base.temp.changes())
    }

    /// Whether its statements run on workers.
    pub(crate) fn distribution(&self) -> Distribution {
        let chosen = self.base.settings.read().options.distribution;
        chosen.unwrap_or(self.base.engine.config().distribution)
    }

    /// What a statement of this session may use.
    pub(crate) fn bounds(&self) -> Bounds {
        let (engine, settings) = (&self.base.engine, self.base.settings.read());
        let asked = &settings.options.limits;
        let server = engine.config().statement_timeout;
        Bounds {
            memory: engine.budgets().of_statement(&self.base.principal.name, asked.memory.map(ByteSize::as_usize)),
            time: asked.time.map(|asked| server.map_or(asked, |server| server.min(asked))).or(server),
        }
    }

    pub(crate) fn core(&self) -> Arc<Core> {
        self.base.settings.read().core.clone()
    }

    pub(crate) fn temp_table(&self, name: &str) -> Option<Arc<MemTable>> {
        self.base.temp.get(name)
    }

    pub(crate) fn has_temp_table(&self, name: &str) -> bool {
        self.base.temp.get(name).is_some()
    }

    pub(crate) fn temp_table_names(&self) -> Vec<String> {
        self.base.temp.names()
    }

    pub(crate) fn put_temp(
        &self,
        name: &str,
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
        mode: TempMode,
    ) -> Result<u64> {
        self.base.temp.put(name, schema, batches, mode)
    }

    /// In whose name changes are made.
    pub(crate) fn actor(&self) -> Actor {
        Actor::new(self.base.principal.name.clone())
    }

    pub(crate) fn touch(&self) {
        self.base.last_used.store(Utc::now().timestamp_millis(), Ordering::Relaxed);
    }

    pub(crate) fn info(&self) -> SessionInfo {
        let last_used = DateTime::from_timestamp_millis(self.base.last_used.load(Ordering::Relaxed));
        SessionInfo {
            id: self.base.id,
            principal: self.base.principal.name.clone(),
            started: self.base.started,
            last_used: last_used.unwrap_or(self.base.started),
            temp_tables: self.base.temp.count() as u64,
        }
    }
}
