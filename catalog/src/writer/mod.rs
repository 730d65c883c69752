//! From record batches to Parquet data files of a dataset: coalesced, encoded in parallel, streamed to the bucket with
//! bounded memory, with statistics and a checksum taken on the way.
//!
//! ```text
//! write() -> check -> Coalescer -> slabs -> Lanes (columns, in parallel) -> row groups -> assembler -> Upload -> bucket
//! ```
//!
//! Nothing that is written here is visible before its [`DataFile`](crate::DataFile)s are committed.

mod assembler;
mod check;
mod coalesce;
mod dataset_writer;
mod encoder;
mod error;
mod lane;
mod options;
mod pipeline;
mod sample;
mod sink;
mod size;
mod stats;
mod support;
#[cfg(test)]
mod tests;
mod upload;

pub use dataset_writer::{DatasetWriter, remove_files};
use error::WriteError;
pub use options::{Compression, WriterOptions};
pub(crate) use sink::hex;
pub(crate) use stats::file_columns;
pub use support::check_schema;
