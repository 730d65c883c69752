//! The one runtime environment of a server: memory pool, spill folder, caches, object stores.

use std::{num::NonZeroUsize, sync::Arc};

use datafusion::execution::{
    disk_manager::{DiskManagerBuilder, DiskManagerMode},
    memory_pool::{FairSpillPool, TrackConsumersPool},
    runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
};
use skein_storage::Buckets;

use super::{memory::Budget, stores::BucketStores};
use crate::{EngineConfig, Error, Result};

/// How many of the largest consumers an out-of-memory error names.
const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4);
/// Footers of Parquet files kept in memory, in bytes.
const METADATA_CACHE_BYTES: usize = 256 << 20;

/// The runtime of one statement: everything is that of the server, except that memory comes out of `budget`.
pub(crate) fn within(shared: &RuntimeEnv, budget: Arc<Budget>) -> Arc<RuntimeEnv> {
    Arc::new(RuntimeEnv { memory_pool: budget, ..shared.clone() })
}

pub(super) fn build(buckets: Buckets, config: &EngineConfig) -> Result<Arc<RuntimeEnv>> {
    let pool = TrackConsumersPool::new(FairSpillPool::new(config.memory_bytes), NAMED_CONSUMERS);
    let mode = match &config.spill_dir {
        Some(dir) => {
            std::fs::create_dir_all(dir)
                .map_err(|e| Error::Invalid(format!("the spill folder '{}' cannot be created: {e}", dir.display())))?;
            DiskManagerMode::Directories(vec![dir.clone()])
        }
        None => DiskManagerMode::OsTmpDirectory,
    };
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(pool))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(mode))
        .with_object_store_registry(Arc::new(BucketStores::new(buckets, config.allow_local_paths)))
        .with_metadata_cache_limit(METADATA_CACHE_BYTES)
        // Files of external tables come and go behind our back: a remembered listing would be a wrong answer.
        .with_object_list_cache_limit(0)
        .build_arc()?;
    Ok(runtime)
}
