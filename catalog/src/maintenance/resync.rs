//! Restoring what the log says about files from the files themselves.

use serde::{Deserialize, Serialize};
use skein_model::{FileId, Version};

use crate::{Actor, Dataset, Result};

/// One file whose record was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// The file.
    pub id: FileId,
    /// Its key.
    pub key: String,
    /// What differed.
    pub detail: String,
}

/// What [`resync`] found and did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResyncReport {
    /// The version that holds the corrections; `None` when there was nothing to correct.
    pub version: Option<Version>,
    /// Files looked at.
    pub files_checked: u64,
    /// Files whose record was corrected.
    pub corrected: Vec<FileChange>,
    /// Files that are gone or unreadable. Their record was left as it was.
    pub problems: Vec<FileChange>,
    /// Rows according to the newest version before.
    pub rows_before: u64,
    /// Rows according to the files.
    pub rows_after: u64,
}

/// Restores counts and statistics.
pub async fn resync(_dataset: &Dataset, _actor: &Actor) -> Result<ResyncReport> {
    todo!()
}
