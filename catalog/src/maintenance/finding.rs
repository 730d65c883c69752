//! What [`verify`](super::verify) looks for and reports.

use chrono::{DateTime, TimeDelta, Utc};
use object_store::ObjectMeta;
use serde::{Deserialize, Serialize};
use skein_model::TableName;

/// How thoroughly to look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyOptions {
    /// Read every data file and compare its checksum, instead of only its size.
    pub deep: bool,
    /// Only this dataset; all when `None`.
    pub table: Option<TableName>,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// The log refers to a file that is not there.
    Missing,
    /// A file is there that no log refers to.
    Orphan,
    /// Files of a table that was dropped, waiting for garbage collection.
    Dropped,
    /// A file that only expired versions refer to, or a checkpoint that only they are read from, waiting for garbage collection.
    Expired,
    /// Files of a write that is running, or was given up not long ago.
    Unfinished,
    /// A file's size differs from the log's.
    SizeMismatch,
    /// A file's bytes differ from what was written.
    Corrupt,
    /// An entry of the log is missing or cannot be read.
    BadLog,
    /// Something could not be read, for a reason that may pass.
    Unreadable,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// The dataset's name; its id where it has no name any more.
    pub dataset: String,
    /// What it is.
    pub kind: FindingKind,
    /// The bucket.
    pub bucket: String,
    /// The object in it, or the prefix of several.
    pub key: String,
    /// What exactly was seen.
    pub detail: String,
    /// What to do about it.
    pub advice: String,
}

/// What [`verify`] saw.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Everything that is wrong, sorted by dataset.
    pub findings: Vec<Finding>,
    /// What no version needs, and is there for good reason: garbage collection removes it in time. Sorted by dataset.
    pub pending: Vec<Finding>,
    /// Datasets looked at.
    pub datasets_checked: u64,
    /// Data files and deletion vectors looked at.
    pub files_checked: u64,
    /// Bytes read and compared with a checksum; 0 unless `deep`.
    pub bytes_checked: u64,
}

/// Tells what is young enough to belong to a write that is running from what nobody can need any more.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grace {
    time: TimeDelta,
    now: DateTime<Utc>,
}

impl Grace {
    pub(super) fn of(options: &crate::CatalogOptions) -> Self {
        let time = options.gc_grace.max(super::MIN_GRACE);
        Self { time: TimeDelta::from_std(time).unwrap_or(TimeDelta::MAX), now: options.clock.now() }
    }

    /// When something that was last touched `at` may be collected.
    pub(super) fn ends(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        at.checked_add_signed(self.time).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    pub(super) fn is_young(&self, object: &ObjectMeta) -> bool {
        self.ends(object.last_modified) > self.now
    }
}
