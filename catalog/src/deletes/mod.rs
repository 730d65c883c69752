//! Rows that are deleted while their file stays: which they are, how that is persisted and what the log says of it.

mod format;
mod record;
mod rows;
mod store;

pub use format::DeletionVector;
pub(crate) use format::fuzz;
pub use record::{DeletesRecord, FileDeletes};
pub use rows::RowSet;
