//! What all requests of a server share.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::TimeDelta;
use skein_ai::Models;
use skein_catalog::{
    Catalog, CatalogOptions,
    maintenance::{self, GcReport},
    writer::{self, WriterOptions},
};
use skein_flight_sql::{FlightSql, Options, ServerFacts};
use skein_model::Clock;
use skein_proto::TicketKey;
use skein_query::{
    Engine, EngineConfig,
    distributed::{Cluster, Distribution},
};
use skein_storage::{Bucket, Buckets};

use super::{InFlight, ServeError};
use crate::{
    auth::{Authenticator, AuthenticatorOptions, ServerKey},
    cluster::{Connections, Members, Tasks},
    config::{ByteSize, Compression, Config, Distributed},
    ingest_bridge::IngestBridge,
    session::{SessionLimits, Sessions},
    telemetry::Metrics,
};

/// What all requests of a server share.
pub struct State {
    /// All tables.
    pub catalog: Catalog,
    /// SQL.
    pub engine: Engine,
    /// Flight SQL.
    pub flight_sql: Arc<FlightSql>,
    /// Login.
    pub auth: Authenticator,
    /// Open sessions.
    pub sessions: Arc<Sessions>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Taking data in.
    pub ingest: IngestBridge,
    /// The workers that have registered, and connections to workers.
    pub members: Arc<Members>,
    /// Tasks of other servers' statements that run here.
    pub tasks: Arc<Tasks>,
    /// The calls that run.
    pub in_flight: InFlight,
    /// Largest message, in bytes.
    pub max_message_bytes: usize,
    ready: AtomicBool,
}

impl State {
    /// Opens everything that `config` names, over `buckets`, with the time of `clock`.
    ///
    /// # Errors
    /// When the catalog, the engine or the key can't be used.
    pub async fn open(config: &Config, buckets: Buckets, clock: Arc<dyn Clock>) -> Result<Self, ServeError> {
        let catalog = Catalog::open(buckets, catalog_options(config, Arc::clone(&clock))).await?;
        let writer = writer_options(config);
        let engine = Engine::new(catalog.clone(), engine_config(config, writer.clone())?)?;
        let connections = Connections::new(&config.cluster, &config.tls).map_err(ServeError::Cluster)?;
        let members = Arc::new(Members::new(connections, Arc::clone(&clock)));
        engine.join(Arc::clone(&members) as Arc<dyn Cluster>);
        let key = server_key(config)?;
        let metrics = Arc::new(Metrics::new());
        let auth_options = AuthenticatorOptions {
            mode: config.auth.mode,
            loopback: config.is_loopback(),
            session_ttl: TimeDelta::from_std(config.auth.session_token_ttl).unwrap_or(TimeDelta::MAX),
            cluster_secret: config.cluster.secret.clone(),
            clock: Arc::clone(&clock),
        };
        let auth = Authenticator::new(catalog.accounts().clone(), &key, auth_options, Arc::clone(&metrics)).await?;
        let ingest = IngestBridge::new(writer);
        let flight_sql = Arc::new(FlightSql::new(
            engine.clone(),
            TicketKey::new(key.derive("tickets")),
            ServerFacts::default(),
            Options::default(),
            Arc::new(ingest.clone()),
            clock,
        )?);
        let sessions = Sessions::new(engine.clone(), Arc::clone(&flight_sql), session_limits(config));
        Ok(Self {
            sessions: Arc::new(sessions),
            catalog,
            engine,
            flight_sql,
            auth,
            metrics,
            ingest,
            members,
            tasks: Arc::default(),
            in_flight: InFlight::default(),
            max_message_bytes: config.server.max_message_size.as_usize(),
            ready: AtomicBool::new(true),
        })
    }

    /// Removes what nobody needs any more, and counts it. What could not be looked at or removed is logged.
    ///
    /// # Errors
    /// As [`maintenance::gc`].
    pub async fn collect_garbage(&self, grace: Duration, dry_run: bool) -> skein_catalog::Result<GcReport> {
        let mut report = maintenance::gc(&self.catalog, grace, dry_run).await?;
        match self.engine.collect_indexes(grace, dry_run).await {
            Ok(mut collected) => {
                for folder in &collected.removed {
                    tracing::info!(folder, dry_run, "a generation of an index that nobody needs");
                }
                report.problems.append(&mut collected.problems);
            }
            Err(error) => report.problems.push(format!("indexes: {error}")),
        }
        if !dry_run {
            self.metrics.garbage_collected(report.removed.len() as u64, report.bytes);
        }
        for problem in &report.problems {
            tracing::warn!(problem, "garbage collection could not do all");
        }
        Ok(report)
    }

    /// Whether new work is welcome.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// No new work from here on.
    pub fn begin_drain(&self) {
        self.ready.store(false, Ordering::Release);
    }
}

/// Opens the buckets that `config` names.
pub(super) async fn open_buckets(config: &Config) -> Result<Buckets, ServeError> {
    let mut opened = Vec::new();
    for bucket in config.storage.effective_buckets() {
        let bucket = Bucket::open(bucket).await?;
        if let Err(why) = bucket.writable() {
            tracing::warn!(bucket = bucket.name(), %why, "the bucket is read-only");
        }
        opened.push(bucket);
    }
    Ok(Buckets::new(opened)?)
}

fn catalog_options(config: &Config, clock: Arc<dyn Clock>) -> CatalogOptions {
    CatalogOptions {
        refresh: config.catalog.refresh,
        clock,
        gc_grace: config.catalog.gc_grace,
        checkpoint_every: config.catalog.checkpoint_every,
    }
}

fn engine_config(config: &Config, writer: WriterOptions) -> Result<EngineConfig, ServeError> {
    Ok(EngineConfig {
        memory_bytes: config.query.memory_bytes(),
        memory_per_statement: config.query.statement_memory_bytes(),
        memory_per_user: config.query.memory_per_user.map_or(usize::MAX, ByteSize::as_usize),
        statement_timeout: config.query.statement_timeout,
        hot_cache_bytes: config.query.hot_cache.map_or(0, |size| size.0),
        index_memory_bytes: config.search.memory.0,
        index_dir: config.search.folder.clone(),
        models: Arc::new(Models::new(config.models.clone(), config.search.model_threads)?),
        target_partitions: config.query.partitions(),
        batch_size: config.query.batch_size,
        spill_dir: config.query.spill_dir.clone(),
        allow_local_paths: config.allow_local_paths(),
        max_concurrent_queries: config.query.concurrent_queries(),
        max_concurrent_per_user: config.query.max_concurrent_per_user.unwrap_or(usize::MAX),
        max_queued_queries: config.query.max_queued,
        max_queued_per_user: config.query.max_queued_per_user.unwrap_or(usize::MAX),
        distribution: match config.query.distributed {
            Distributed::Auto => Distribution::Auto,
            Distributed::Always => Distribution::Always,
            Distributed::Never => Distribution::Never,
        },
        distribute_min_bytes: config.query.distributed_min_size.0,
        writer,
    })
}

fn session_limits(config: &Config) -> SessionLimits {
    SessionLimits {
        idle: config.server.session_idle,
        all: config.server.max_sessions,
        per_user: config.server.max_sessions_per_user.unwrap_or(usize::MAX),
    }
}

fn writer_options(config: &Config) -> WriterOptions {
    WriterOptions {
        target_file_bytes: config.ingest.target_file_size.0,
        row_group_rows: config.ingest.row_group_rows,
        compression: compression(config.ingest.compression),
        memory_bytes: config.ingest.memory.as_usize(),
    }
}

fn compression(configured: Compression) -> writer::Compression {
    match configured {
        Compression::None => writer::Compression::None,
        Compression::Snappy => writer::Compression::Snappy,
        Compression::Lz4 => writer::Compression::Lz4,
        Compression::Zstd(level) => writer::Compression::Zstd(level),
    }
}

/// The configured secret, else a key that is kept in a file next to the data folder. Next to it and not in it: the
/// folder is a bucket, and what is in a bucket can be read by SQL.
fn server_key(config: &Config) -> Result<ServerKey, ServeError> {
    if let Some(secret) = &config.server.ticket_secret {
        return Ok(ServerKey::from_secret(secret.expose()));
    }
    let mut path = config.storage.data.clone().into_os_string();
    path.push(".key");
    match ServerKey::load_or_create(&PathBuf::from(path)) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            tracing::warn!(%error, "the signing key can't be kept: tickets end with this process; set server.ticket_secret");
            Ok(ServerKey::random())
        }
        key => key.map_err(ServeError::Key),
    }
}
