//! Reading one pinned snapshot of a dataset.

mod files;
mod part;
mod pruning;
mod reader;
mod statistics;
mod table;

pub(crate) use files::SnapshotCache;
pub(crate) use table::SnapshotTable;
