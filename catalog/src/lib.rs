//! The catalog: which tables there are, what every version of them consists of, and how that changes.
//!
//! A [`Dataset`] is an immutable history of [`Snapshot`]s. A change is a [`Change`], committed by creating the next
//! numbered object of the dataset's log; whoever creates it first wins and the other rebases or gets a conflict.
//! Names, views, external tables, schemas, users and tokens are versioned [`Documents`] changed in the same way, so
//! any number of servers can share a bucket without a leader. A [`Transaction`] changes several of them at once.

mod catalog;
pub mod crash;
mod dataset;
mod deletes;
mod documents;
mod error;
#[cfg(test)]
mod golden;
mod log;
mod names;
mod persisted;
mod schema;
mod snapshot;
mod stats;
mod transaction;

pub mod accounts;
#[doc(hidden)]
pub mod fuzz;
pub mod jobs;
pub mod maintenance;
pub mod writer;

pub use accounts::Accounts;
pub use catalog::{Actor, Catalog, CatalogOptions};
pub use dataset::{Alter, At, Change, Committed, Dataset, Expired, Removed, Retention};
pub use deletes::{DeletesRecord, DeletionVector, FileDeletes, RowSet};
pub use documents::Documents;
pub use error::{Error, Result};
pub use jobs::Jobs;
pub use names::{Entry, EntryKind, ExternalSpec, NewDataset, ViewSpec, suggestion};
pub use schema::{
    Alteration, COLUMN_KEY, ColumnNotes, FIELD_ID_KEY, Key, KeyKind, NewKey, NewReference, Reference, ReferredColumns,
    Rule, SCHEMA_ID_KEY, StoredSchema, TABLE_KEY, TableNotes, check_referable, column_notes, declare_keys, field_id,
    fingerprint, parse_value, schema_id, strip_field_ids, table_notes, type_name, value_text, with_column_notes,
};
pub use snapshot::{Operation, Snapshot, SnapshotInfo};
pub use stats::{ColumnStats, DataFile, StatValue};
pub use transaction::{CommitId, SavepointId, Transaction, TransactionId};
