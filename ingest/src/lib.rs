//! Data in: Arrow batches and files become one atomic change of a dataset.
//!
//! [`ingest_batches`] takes a stream of record batches, [`ingest_file`] the bytes of a file as they arrive. Both stream
//! with bounded memory, match columns by name, and commit once, at the end: until then nothing is visible, and when the
//! stream fails or the future is dropped, nothing ever is.
//!
//! A file goes through these stages, each of which waits for the next (back-pressure reaches the sender):
//!
//! ```text
//! body -> SHA-256 -> decompress -> detect -> split into chunks of whole records -> decode -> reconcile -> writer -> commit
//!         async      `------------ one blocking thread -------------------------'  `-- blocking pool --'  async
//! ```

mod batches;
mod body;
mod chunk;
mod decompress;
mod detect;
mod error;
mod file;
mod format;
mod load;
mod options;
mod peek;
mod reconcile;
mod rejects;
mod report;
mod spool;
mod stored;
mod target;
mod text;
mod type_name;

pub use batches::{BatchOptions, BatchStream, ingest_batches};
pub use error::{BoxError, Error, Result, SourceError};
pub use file::{ByteStream, ingest_file};
pub use options::{CsvOptions, FileCompression, FileFormat, FileOptions, IngestLimits, JsonOptions, OnBadRow};
pub use report::{IngestReport, Progress, Reject};
pub use target::{IngestMode, IngestTarget};
