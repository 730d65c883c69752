//! Reading one pinned snapshot of a dataset.

mod files;
mod hot;
mod parquet;
mod part;
mod pruning;
mod reader;
mod statistics;
mod table;

pub(crate) use files::SnapshotCache;
pub use hot::CacheUse;
pub(crate) use hot::{HotCache, HotSource};
pub(crate) use table::SnapshotTable;
