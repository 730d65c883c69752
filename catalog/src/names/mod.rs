//! What a name can stand for.

mod entry;
mod record;
mod schema_record;
mod suggest;

pub use entry::{Entry, EntryKind, ExternalSpec, NewDataset, ViewSpec};
pub(crate) use record::{NAME_KIND, NameRecord, Target, name_id};
pub(crate) use schema_record::{SCHEMA_KIND, SchemaRecord, schema_doc_id};
pub use suggest::suggestion;
