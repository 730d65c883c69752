//! From record batches to Parquet data files of a dataset: coalesced, encoded in parallel, streamed to the bucket with
//! bounded memory, with statistics and a checksum taken on the way.

mod dataset_writer;
mod options;
mod support;
mod error;

pub use dataset_writer::{DatasetWriter, remove_files};
pub use options::{Compression, WriterOptions};
pub use support::check_schema;
use error::WriteError;
