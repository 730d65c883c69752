//! Every configuration key, with its default and its documentation.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use super::{
    AuthMode, Auto, BucketConfig, ByteSize, Compression, Distributed, LocalPaths, LogFormat, Role, Secret,
    section::section,
};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

section! {
    /// Listeners and limits.
    ServerConfig = "server" {
        /// `"server"`, or `"worker"`: a server that also runs tasks for the coordinators it registers with (see `[cluster]`).
        role: Role = Role::Server,
        /// Address and port of the Flight listener.
        listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 8815)),
        /// Address and port for `/healthz`, `/readyz` and `/metrics`; `"off"` for none.
        http_listen: Option<SocketAddr> = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8816))),
        /// Listen beyond loopback although there is no login or no TLS. Anyone who can reach the port can then read and
        /// change everything, or read passwords off the network.
        allow_insecure_remote: bool = false,
        /// After SIGTERM: how long running streams may take to finish before they are cut off.
        drain_timeout: Duration = Duration::from_secs(30),
        /// How often a connection on which nothing comes in is pinged (HTTP/2). Less than the idle timeout of a proxy in between, or the proxy cuts
        /// off queries that wait or compute for longer; `"off"` for no pings.
        keepalive_interval: Option<Duration> = Some(Duration::from_secs(30)),
        /// Largest gRPC message that is accepted or sent.
        max_message_size: ByteSize = ByteSize(512 << 20),
        /// A session that has not been used for this long is forgotten, with its temporary tables.
        session_idle: Duration = Duration::from_secs(30 * MINUTE),
        /// Sessions that may be open at a time; each takes about 130 kB. Past it the one that was unused longest ends if nothing is
        /// lost with it (no option was set, no temporary table is in it); where there is none, RESOURCE_EXHAUSTED.
        max_sessions: usize = 4096,
        /// Sessions that one user may have open at a time; `"off"` for no bound but `max_sessions`. Without login all are one user.
        max_sessions_per_user: Option<usize> = None,
        /// Secret that signs tickets, at least 32 characters. Set the same one on every server that shares a bucket, so
        /// that each can serve the others' tickets. Without it the first start makes one and keeps it beside the folder
        /// `storage.data`.
        ticket_secret: Option<Secret> = None,
    }
}

section! {
    /// Where data lives. Without a `[storage.buckets.NAME]` table there is one bucket, named `local`, in the folder `data`.
    StorageConfig = "storage" {
        /// Folder of the local bucket; used when no bucket is configured. It is created when missing.
        data: PathBuf = PathBuf::from("./skein-data"),
    }
    also {
        /// The configured buckets, in the order of the file; the first is where new datasets go.
        buckets: Vec<BucketConfig>,
    }
}

impl StorageConfig {
    /// The buckets to open: those configured, else one local bucket in `data`.
    pub fn effective_buckets(&self) -> Vec<BucketConfig> {
        if self.buckets.is_empty() { vec![super::buckets::local(&self.data)] } else { self.buckets.clone() }
    }
}

section! {
    /// Vector indexes.
    SearchConfig = "search" {
        /// Memory for vector indexes, beside `query.memory`. Those that were searched least recently make room for others; one that is larger is not built,
        /// and searches do without it.
        memory: ByteSize = ByteSize(4 << 30),
        /// Folder for copies of index files. Without it, a folder beside what queries spill.
        folder: Option<PathBuf> = None,
        /// An index is built anew when so many of a hundred rows of its dataset are not in it, because they came since or a compaction moved them: such rows are
        /// compared one by one. `"off"`: only `index.rebuild` does it.
        rebuild_percent: Option<usize> = Some(20),
        /// And when they are so many.
        rebuild_rows: usize = 10_000,
        /// Threads that local models compute on, together. Without it, as many as there are processors.
        model_threads: Option<usize> = None,
        /// How often the recall of the indexes in memory is measured with 20 of their own vectors, for the metric `skein_index_recall`. It reads the column of vectors twice; columns of more than
        /// 4 GiB are left out. `"off"`: never.
        recall_interval: Option<Duration> = Some(Duration::from_secs(30 * MINUTE)),
    }
}

section! {
    /// Who may connect.
    AuthConfig = "auth" {
        /// `"auto"`: no login while the server listens on loopback and has no users, login otherwise. `"required"`: always.
        /// `"none"`: never.
        mode: AuthMode = AuthMode::Auto,
        /// How long the bearer token that a login hands out stays valid.
        session_token_ttl: Duration = Duration::from_secs(12 * HOUR),
    }
}

section! {
    /// Certificates. Setting `cert` and `key` turns TLS on.
    TlsConfig = "tls" {
        /// PEM file with the server's certificate chain.
        cert: Option<PathBuf> = None,
        /// PEM file with the private key of `cert`.
        key: Option<PathBuf> = None,
        /// PEM file with the authorities that client certificates must come from; turns mutual TLS on.
        client_ca: Option<PathBuf> = None,
        /// Refuse clients that present no certificate. Needs `client_ca`.
        require_client_cert: bool = false,
    }
}

section! {
    /// The SQL engine.
    QueryConfig = "query" {
        /// Memory for all queries together, beyond which they spill or fail; `"auto"` is half of what the machine or the
        /// container has.
        memory: Auto<ByteSize> = Auto::Auto,
        /// Most memory that one statement may have, beyond which it spills or fails; `"auto"` is four fifths of `memory`, so that
        /// no statement takes all of it. A session can ask for less with `SET memory_limit`.
        memory_per_statement: Auto<ByteSize> = Auto::Auto,
        /// Most memory that the statements and temporary tables of one user may have together; `"off"` for no bound but `memory`.
        memory_per_user: Option<ByteSize> = None,
        /// Memory for columns of datasets that are kept decoded (the hot cache), out of `memory`: those of pinned datasets, and of others as long as
        /// there is room. `"off"` for none.
        hot_cache: Option<ByteSize> = None,
        /// Partitions that one query works on in parallel; `"auto"` is the number of cores.
        target_partitions: Auto<usize> = Auto::Auto,
        /// Rows a batch inside the engine.
        batch_size: usize = 8192,
        /// Folder for spilled data; `"off"` for the system's temporary folder.
        spill_dir: Option<PathBuf> = None,
        /// Queries that run at the same time; more wait in line. `"auto"` is four for each core, at least 16.
        max_concurrent: Auto<usize> = Auto::Auto,
        /// Queries of one user that run at the same time; more wait, without holding up other users. `"off"` for no bound but
        /// `max_concurrent`. Without login all are one user.
        max_concurrent_per_user: Option<usize> = None,
        /// Queries that may wait; one more is refused with RESOURCE_EXHAUSTED.
        max_queued: usize = 1024,
        /// Queries of one user that may wait; `"off"` for no bound but `max_queued`.
        max_queued_per_user: Option<usize> = None,
        /// How long a statement may take, from when it is sent to its last row; then it ends with DEADLINE_EXCEEDED. `"off"` for no
        /// bound. A session can ask for less with `SET statement_timeout`.
        statement_timeout: Option<Duration> = None,
        /// Whether statements run on the workers that have registered: `"auto"`: those that join, aggregate or sort at least `distributed_min_size`;
        /// `"always"`: all that can; `"never"`. A session can choose with `SET distributed`.
        distributed: Distributed = Distributed::Auto,
        /// Bytes of the datasets that a statement reads, from which on it runs on workers when `distributed` is `"auto"`.
        distributed_min_size: ByteSize = ByteSize(256 << 20),
        /// Whether SQL may name paths on the server's own file system (`CREATE EXTERNAL TABLE`, `COPY TO`): `"allow"`,
        /// `"deny"`, or `"auto"`: only while the server listens on loopback.
        local_paths: LocalPaths = LocalPaths::Auto,
    }
}

impl QueryConfig {
    /// The memory limit in bytes, with `auto` resolved for this machine.
    pub fn memory_bytes(&self) -> usize {
        match self.memory {
            Auto::Set(size) => size.as_usize(),
            Auto::Auto => super::values::machine_memory() / 2,
        }
    }

    /// The memory of one statement in bytes, with `auto` resolved.
    pub fn statement_memory_bytes(&self) -> usize {
        match self.memory_per_statement {
            Auto::Set(size) => size.as_usize(),
            Auto::Auto => self.memory_bytes() / 5 * 4,
        }
    }

    /// The number of partitions, with `auto` resolved for this machine.
    pub fn partitions(&self) -> usize {
        match self.target_partitions {
            Auto::Set(n) => n,
            Auto::Auto => cores(),
        }
    }

    /// The number of concurrent queries, with `auto` resolved for this machine.
    pub fn concurrent_queries(&self) -> usize {
        match self.max_concurrent {
            Auto::Set(n) => n,
            Auto::Auto => (4 * cores()).max(16),
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

section! {
    /// Servers that run statements together: workers register with coordinators, which are called by clients.
    ClusterConfig = "cluster" {
        /// A worker's coordinators: URLs such as `"grpc://host:8815"` or `"grpc+tls://host:8815"`, separated by commas.
        coordinators: Option<String> = None,
        /// The URL that coordinators and other workers reach this worker by; `"off"`: the address it listens on.
        advertise: Option<String> = None,
        /// Secret by which the servers of a cluster know each other, at least 32 characters. Set the same one on all of them. Without it a server that
        /// asks for login takes no workers and no tasks.
        secret: Option<Secret> = None,
        /// PEM file with the authorities that the certificates of the other servers must come from; `"off"` for the system's.
        ca: Option<PathBuf> = None,
        /// How often a worker says that it is there. After three times that it is taken to be gone.
        heartbeat: Duration = Duration::from_secs(2),
    }
}

impl ClusterConfig {
    /// The coordinators' URLs.
    pub fn coordinators(&self) -> Vec<String> {
        let urls = self.coordinators.as_deref().unwrap_or_default().split(',');
        urls.map(str::trim).filter(|url| !url.is_empty()).map(str::to_owned).collect()
    }
}

section! {
    /// Writing data files.
    IngestConfig = "ingest" {
        /// A data file is closed when it is about this big.
        target_file_size: ByteSize = ByteSize(256 << 20),
        /// Most rows in one row group of a data file.
        row_group_rows: usize = 1 << 20,
        /// Compression of data files: `"zstd"` (or `"zstd(3)"`, 1 to 22), `"lz4"`, `"snappy"` or `"none"`.
        compression: Compression = Compression::Zstd(1),
        /// Memory that one ingest may hold before it writes.
        memory: ByteSize = ByteSize(512 << 20),
    }
}

section! {
    /// Snapshots and their upkeep.
    CatalogConfig = "catalog" {
        /// How old what a server knows about a dataset may be before it looks into the bucket again. `"0s"`: it always looks,
        /// so it sees what other servers commit at once.
        refresh: Duration = Duration::ZERO,
        /// A file that no snapshot names is removed by garbage collection (`dataset.gc`, `maintenance.collect`) when it is older
        /// than this. Must be longer than the longest ingest; one that takes longer fails if garbage is collected meanwhile.
        gc_grace: Duration = Duration::from_secs(24 * HOUR),
        /// A whole copy of a dataset's state is written every so many snapshots.
        checkpoint_every: u64 = 50,
    }
}

section! {
    /// Upkeep of datasets in the background; `system.compactions` and the metrics show what it does. `dataset.compact`,
    /// `dataset.expire` and `dataset.gc` do the same when they are asked.
    MaintenanceConfig = "maintenance" {
        /// Compact datasets that have many small files or many deleted rows, one at a time, giving way to queries. The files that
        /// it replaces stay until their versions are expired and garbage is collected: see `keep_age`, `keep_versions`, `collect`.
        compact: bool = false,
        /// How often all datasets are looked at, about.
        interval: Duration = Duration::from_secs(MINUTE),
        /// A dataset is compacted when it has so many files that are smaller than half of `ingest.target_file_size`.
        min_small_files: usize = 32,
        /// A dataset is compacted when so many of a hundred rows in its files are deleted.
        deleted_percent: usize = 20,
        /// Expire versions that were not the newest at any time within this age; about once in 60 intervals. `"off"`: none by age.
        keep_age: Option<Duration> = None,
        /// Expire all but so many of the newest versions, as often; with `keep_age`, only such as are older too. `"off"`: none
        /// by number.
        keep_versions: Option<usize> = None,
        /// Remove what nobody needs any more, `catalog.gc_grace` after that, in all datasets and as often as versions are expired:
        /// what `dataset.gc` does. Without it only `dataset.gc` frees space.
        collect: bool = false,
    }
}

section! {
    /// Logs and traces.
    TelemetryConfig = "telemetry" {
        /// `"human"` or `"json"` lines, on stderr.
        log: LogFormat = LogFormat::Human,
        /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`) or directives such as
        /// `"info,skein_query=debug"`.
        level: String = "info".to_owned(),
        /// OTLP (gRPC) endpoint that traces are sent to, such as `"http://localhost:4317"`; `"off"` for none. They hold what
        /// `level` lets through: with `"warn"` or `"error"` they are empty.
        otlp_endpoint: Option<String> = None,
    }
}
