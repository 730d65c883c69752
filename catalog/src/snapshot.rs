//! One version of a dataset.

use std::{collections::BTreeMap, fmt, sync::Arc};

use arrow_schema::SchemaRef;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use skein_model::{DatasetId, Version};
use ulid::Ulid;

use crate::{CommitId, DataFile};

/// What a snapshot did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// The dataset came into being.
    Create,
    /// Rows were added.
    Append,
    /// All rows, and perhaps the columns, were replaced.
    Replace,
    /// Rows were deleted.
    Delete,
    /// Rows were changed.
    Update,
    /// Rows were changed, deleted and added by comparison with other rows.
    Merge,
    /// All rows were removed.
    Truncate,
    /// The columns were changed.
    Alter,
    /// Files were written anew, the rows are the same.
    Compact,
    /// Old versions were given up.
    Expire,
    /// Counts and statistics were restored from the files.
    Resync,
    /// Nothing changed; files that no version refers to were about to be removed.
    Collect,
    /// Nothing changed: a transaction that was about to change the dataset was given up.
    Abort,
    /// The dataset was dropped; nothing follows.
    Drop,
}

impl Operation {
    /// Whether the first readers of logs did not know it.
    pub(crate) const fn is_later(self) -> bool {
        match self {
            Self::Create | Self::Append | Self::Replace | Self::Resync | Self::Collect | Self::Drop => false,
            Self::Delete
            | Self::Update
            | Self::Merge
            | Self::Truncate
            | Self::Alter
            | Self::Compact
            | Self::Expire
            | Self::Abort => true,
        }
    }

    /// Whether all rows are as they were in the version before.
    pub const fn keeps_rows(self) -> bool {
        self.keeps_files() || matches!(self, Self::Compact)
    }

    /// Whether all files and deleted rows are those of the version before.
    pub(crate) const fn keeps_files(self) -> bool {
        matches!(self, Self::Collect | Self::Expire | Self::Abort)
    }

    /// Its stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Append => "append",
            Self::Replace => "replace",
            Self::Delete => "delete",
            Self::Update => "update",
            Self::Merge => "merge",
            Self::Truncate => "truncate",
            Self::Alter => "alter",
            Self::Compact => "compact",
            Self::Expire => "expire",
            Self::Resync => "resync",
            Self::Collect => "collect",
            Self::Abort => "abort",
            Self::Drop => "drop",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who made a snapshot, when, why, and how much it changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotInfo {
    /// Its number; the first is 1.
    pub version: Version,
    /// When it was committed; never before its parent.
    pub timestamp: DateTime<Utc>,
    /// The principal.
    pub author: String,
    /// Why, if given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it did.
    pub operation: Operation,
    /// Rows in the files that joined.
    pub rows_added: u64,
    /// Rows in the files that left, and rows deleted from files that stay.
    pub rows_removed: u64,
    /// Files that joined.
    pub files_added: u64,
    /// Files that left.
    pub files_removed: u64,
    /// Rows now.
    pub rows: u64,
    /// Bytes of all files now.
    pub bytes: u64,
    /// Files now.
    pub files: u64,
    /// SHA-256 of the columns' canonical form, in hex.
    pub schema_fingerprint: String,
    /// The idempotency key of the change, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The version before, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Version>,
    /// Unique to this commit attempt.
    pub commit_id: Ulid,
    /// The transaction it was committed with, if that changed more than this dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<Ulid>,
}

/// One immutable version of a dataset.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The dataset.
    pub dataset: DatasetId,
    /// Its number.
    pub version: Version,
    /// The columns; every field (nested too) carries the metadata `PARQUET:field_id`.
    pub schema: SchemaRef,
    /// Counts the different schemas the dataset has had, from 1.
    pub schema_id: u32,
    /// The files, in the order in which they joined.
    pub files: Arc<[Arc<DataFile>]>,
    /// Rows in all files, without deleted ones.
    pub rows: u64,
    /// Bytes of all data files.
    pub bytes: u64,
    /// Free-form properties, given when the dataset was created.
    pub properties: Arc<BTreeMap<String, String>>,
    /// Who, when, why, how much.
    pub info: SnapshotInfo,
    /// `schema` without ids; made once per schema, not once per question.
    pub(crate) client_schema: SchemaRef,
}

impl Snapshot {
    /// SHA-256 of the columns' canonical form, in hex.
    pub fn fingerprint(&self) -> String {
        self.info.schema_fingerprint.clone()
    }

    /// What tells it from every other snapshot, those of transactions that are not committed too.
    pub fn commit_id(&self) -> CommitId {
        self.info.commit_id
    }

    /// The columns as clients see them: without field ids.
    pub fn arrow_schema(&self) -> SchemaRef {
        SchemaRef::clone(&self.client_schema)
    }
}
