//! Removing what nothing refers to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Catalog, Result};

/// Why an object is garbage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GarbageReason {
    /// A data file that no version of its dataset refers to.
    Unreferenced,
    /// A file of a dataset that was dropped, or that was never published.
    Dropped,
}

/// One object that was, or would be, removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Garbage {
    /// The bucket.
    pub bucket: String,
    /// The object in it.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// Why it is garbage.
    pub reason: GarbageReason,
}

/// What [`gc`] removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GcReport {
    /// Nothing was removed; `removed` lists what would have been.
    pub dry_run: bool,
    /// What was removed.
    pub removed: Vec<Garbage>,
    /// Bytes of all that.
    pub bytes: u64,
    /// Unreferenced objects that are too young to be removed.
    pub kept_young: u64,
    /// What could not be looked at or removed, and why.
    pub problems: Vec<String>,
}

/// Removes garbage.
pub async fn gc(_catalog: &Catalog, _grace: Duration, _dry_run: bool) -> Result<GcReport> {
    todo!()
}
