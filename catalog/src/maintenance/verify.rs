//! Comparing what the log says with what is there.

use serde::{Deserialize, Serialize};
use skein_model::TableName;

use crate::{Catalog, Result};

/// How thoroughly to look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Read every data file and compare its checksum, instead of only its size.
    pub deep: bool,
    /// Only this dataset; all when `None`.
    pub table: Option<TableName>,
}

/// What sort of damage was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The log refers to a file that is not there.
    Missing,
    /// A file is there that no log refers to.
    Orphan,
    /// A file's size differs from the log's.
    SizeMismatch,
    /// A file's bytes differ from what was written.
    Corrupt,
    /// An entry of the log cannot be read, or is not where it belongs.
    BadLog,
    /// A file or the dataset could not be read to the end, for a reason that may pass.
    Unreadable,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The dataset's name; its id where no name is known any more.
    pub dataset: String,
    /// What sort of damage.
    pub kind: FindingKind,
    /// The bucket.
    pub bucket: String,
    /// The object in it.
    pub key: String,
    /// What exactly is wrong.
    pub detail: String,
    /// What to do about it.
    pub advice: String,
}

/// What [`verify`] saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Everything that is wrong, by dataset.
    pub findings: Vec<Finding>,
    /// Datasets looked at.
    pub datasets_checked: u64,
    /// Data files looked at.
    pub files_checked: u64,
    /// Bytes read and compared with a checksum; 0 unless `deep`.
    pub bytes_checked: u64,
}

/// Looks for damage.
pub async fn verify(_catalog: &Catalog, _options: VerifyOptions) -> Result<VerifyReport> {
    todo!()
}
