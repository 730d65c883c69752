//! What the log says about deletion vectors.

use serde::{Deserialize, Serialize};
use skein_model::FileId;

/// A deletion vector, as far as it is known without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletesRecord {
    /// Its id; the key is [`crate::Dataset::deletes_key`] of it.
    pub id: FileId,
    /// Rows in it.
    pub rows: u64,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}

/// A file that stays gets a new deletion vector, which contains its former one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDeletes {
    /// The data file.
    pub file: FileId,
    /// The vector it had before, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<FileId>,
    /// The vector it has from now on.
    pub deletes: DeletesRecord,
}
