//! What an engine may use of the machine.

use std::{path::PathBuf, sync::Arc, time::Duration};

use skein_ai::Models;
use skein_catalog::writer::WriterOptions;

use crate::distributed::Distribution;

/// Limits and sizes of an [`Engine`](crate::Engine).
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Most memory all running queries may hold together, in bytes. Beyond it operators spill to `spill_dir`.
    pub memory_bytes: usize,
    /// Most memory one statement may hold, in bytes; a session can set less.
    pub memory_per_statement: usize,
    /// Most memory the statements and temporary tables of one user may hold together, in bytes.
    pub memory_per_user: usize,
    /// How long a statement may take, from when it is sent to its last row; a session can set less.
    pub statement_timeout: Option<Duration>,
    /// Most bytes of decoded columns that are kept in memory, out of `memory_bytes`; 0 for none.
    pub hot_cache_bytes: u64,
    /// Most bytes that vector indexes may take in memory; beside `memory_bytes`.
    pub index_memory_bytes: u64,
    /// Where copies of index files are kept. `None`: a folder beside what operators spill.
    pub index_dir: Option<PathBuf>,
    /// The models that make vectors of texts.
    pub models: Arc<Models>,
    /// How many partitions a plan is split into; usually the number of cores.
    pub target_partitions: usize,
    /// Rows per batch inside the engine.
    pub batch_size: usize,
    /// Where operators spill. `None`: a folder in the system's temporary directory.
    pub spill_dir: Option<PathBuf>,
    /// Whether `CREATE EXTERNAL TABLE` and `COPY TO` may name absolute paths on the server's own file system.
    pub allow_local_paths: bool,
    /// How many queries run at the same time; the others wait in the order they came.
    pub max_concurrent_queries: usize,
    /// How many queries of one user run at the same time; the others wait without holding up other users' queries.
    pub max_concurrent_per_user: usize,
    /// How many queries may wait; one more is refused.
    pub max_queued_queries: usize,
    /// How many queries of one user may wait; one more is refused.
    pub max_queued_per_user: usize,
    /// Whether statements run on workers, unless their session says otherwise.
    pub distribution: Distribution,
    /// Bytes that a statement reads at least for which workers are asked, where the choice is the server's.
    pub distribute_min_bytes: u64,
    /// How `INSERT` and `CREATE TABLE AS` write data files.
    pub writer: WriterOptions,
}

impl Default for EngineConfig {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            memory_bytes: 2 << 30,
            memory_per_statement: usize::MAX,
            memory_per_user: usize::MAX,
            statement_timeout: None,
            hot_cache_bytes: 0,
            index_memory_bytes: 4 << 30,
            index_dir: None,
            models: Arc::default(),
            target_partitions: cores,
            batch_size: 8192,
            spill_dir: None,
            allow_local_paths: false,
            max_concurrent_queries: (cores * 4).max(16),
            max_concurrent_per_user: usize::MAX,
            max_queued_queries: 1024,
            max_queued_per_user: usize::MAX,
            distribution: Distribution::Auto,
            distribute_min_bytes: 256 << 20,
            writer: WriterOptions::default(),
        }
    }
}

impl EngineConfig {
    /// Where copies of index files are kept.
    pub(crate) fn index_folder(&self) -> PathBuf {
        match (&self.index_dir, &self.spill_dir) {
            (Some(folder), _) => folder.clone(),
            (None, Some(spill)) => spill.join("indexes"),
            (None, None) => std::env::temp_dir().join(format!("skein-indexes-{}", std::process::id())),
        }
    }
}
