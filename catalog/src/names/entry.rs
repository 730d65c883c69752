//! The things a name can stand for, as callers see them.

use std::{collections::BTreeMap, fmt};

use arrow_schema::SchemaRef;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use skein_model::TableName;

use crate::{Dataset, StoredSchema};

/// What a name stands for.
#[derive(Debug, Clone)]
pub enum Entry {
    /// A managed dataset.
    Dataset(Dataset),
    /// A stored query.
    View(ViewSpec),
    /// Files left in place.
    External(ExternalSpec),
}

impl Entry {
    /// Its kind.
    pub fn kind(&self) -> EntryKind {
        match self {
            Self::Dataset(_) => EntryKind::Dataset,
            Self::View(_) => EntryKind::View,
            Self::External(_) => EntryKind::External,
        }
    }
}

/// The kinds of things a name can stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryKind {
    /// A managed dataset.
    Dataset,
    /// A stored query.
    View,
    /// Files left in place.
    External,
}

impl EntryKind {
    /// Its name in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dataset => "table",
            Self::View => "view",
            Self::External => "external table",
        }
    }

    pub(crate) const fn article(self) -> &'static str {
        match self {
            Self::Dataset | Self::View => "a",
            Self::External => "an",
        }
    }

    /// The statement that drops one.
    pub(crate) const fn drop_statement(self) -> &'static str {
        match self {
            Self::Dataset | Self::External => "DROP TABLE",
            Self::View => "DROP VIEW",
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A dataset to be created.
#[derive(Debug, Clone)]
pub struct NewDataset {
    /// Its name.
    pub name: TableName,
    /// Its columns. Field ids in it are ignored and assigned anew.
    pub schema: SchemaRef,
    /// The bucket its files go to; the default bucket when `None`.
    pub bucket: Option<String>,
    /// Free-form properties, kept as they are.
    pub properties: BTreeMap<String, String>,
}

/// A stored query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ViewSpec {
    /// The query's text.
    pub sql: String,
    /// The schema unqualified names in it refer to.
    pub default_schema: String,
    /// Who created it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// The columns it had when it was created.
    #[serde(default)]
    pub schema: Option<StoredSchema>,
}

/// Files left in place and read as one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExternalSpec {
    /// A URL of a file, a folder (ends in `/`) or a glob.
    pub location: String,
    /// `parquet`, `csv`, `json` or `arrow`.
    pub format: String,
    /// The columns, where they were given or inferred at creation.
    #[serde(default)]
    pub schema: Option<StoredSchema>,
    /// Hive partition columns, outermost first: name and SQL type.
    #[serde(default)]
    pub partition_columns: Vec<(String, String)>,
    /// Options of the format.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Who created it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
}
