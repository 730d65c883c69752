//! Generations on the bucket: one immutable folder for each build of an index.
//!
//! ```text
//! indexes/<index-id>/<generation>/index.faiss     the index, as the index library writes it
//! indexes/<index-id>/<generation>/rowids.arrow    which row of which data file is at each of its positions
//! indexes/<index-id>/<generation>/manifest.json   what it is of, and the checksums of the two; written last
//! indexes/<index-id>/<generation>/recall.json     how well it answers, once that was measured
//! ```
//!
//! A generation exists when its manifest does: what a killed build leaves is a folder without one. Nothing in a folder is ever
//! changed, so whatever is read is either what was written or known to be damaged. Damage costs a rebuild and no data.

mod chunks;
mod download;
mod keys;
mod manifest;
mod read;
mod recall;
mod remove;
mod row_map;
mod row_map_builder;
mod rowids;
#[cfg(test)]
mod testing;
mod upload;
mod write;

pub use keys::{GenerationKey, INDEXES};
pub use manifest::{IndexedFile, Library, Manifest, Written};
pub use read::Fetched;
pub use recall::{Recall, RecallPoint};
pub use remove::{Listed, Unfinished};
pub use row_map::{Place, RowMap};
pub use row_map_builder::RowMapBuilder;
use skein_storage::Bucket;
pub use write::NewGeneration;

/// The generations in one bucket. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Generations {
    bucket: Bucket,
}

impl Generations {
    /// Those in the bucket of the dataset that they are of.
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket }
    }
}

/// What to do about a damaged generation.
const REBUILD: &str = "build the index anew (index.rebuild)";

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn damaged(bucket: &Bucket, key: &str, what: &str) -> crate::Error {
    crate::Error::Corrupt {
        bucket: bucket.name().to_owned(),
        key: key.to_owned(),
        reason: format!("{what}; {REBUILD}"),
    }
}

/// Runs what waits for a disk or uses the processor for long.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> crate::Result<T> + Send + 'static) -> crate::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| crate::Error::Internal(format!("work on an index's files was interrupted: {e}")))?
}
