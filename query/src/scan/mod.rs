//! Reading one pinned snapshot of a dataset.

mod deletes;
mod evolution;
mod files;
mod hot;
mod matching;
mod part;
mod positions;
mod pruning;
mod reader;
mod remote;
mod rows;
mod statistics;
mod table;
mod take;

pub(crate) use evolution::{Evolution, Evolved};
pub(crate) use files::SnapshotCache;
pub use hot::CacheUse;
pub(crate) use hot::{HotCache, HotSource};
pub(crate) use matching::matching_rows;
pub(crate) use positions::{FILE, PositionedTable, ROW};
pub(crate) use remote::{RemoteFiles, data_file_id, evolution, is_data_file, with_evolution};
pub(crate) use rows::{Rows, RowsTable};
pub(crate) use table::SnapshotTable;
