//! Reading one pinned snapshot of a dataset.

mod deletes;
mod evolution;
mod files;
mod hot;
#[allow(dead_code, reason = "who asks for them comes with the indexes")]
mod matching;
mod part;
mod positions;
mod pruning;
mod reader;
mod remote;
#[allow(dead_code, reason = "who asks for them comes with the indexes")]
mod rows;
mod statistics;
mod table;

pub(crate) use evolution::{Evolution, Evolved};
pub(crate) use files::SnapshotCache;
pub use hot::CacheUse;
pub(crate) use hot::{HotCache, HotSource};
#[allow(unused_imports, reason = "who asks for them comes with the indexes")]
pub(crate) use matching::{Matching, matching_rows};
pub(crate) use positions::{FILE, PositionedTable, ROW};
pub(crate) use remote::{RemoteFiles, data_file_id, evolution, is_data_file, with_evolution};
#[allow(unused_imports, reason = "who asks for them comes with the indexes")]
pub(crate) use rows::{Rows, RowsTable};
pub(crate) use table::SnapshotTable;
