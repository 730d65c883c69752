//! Columns: their stable field ids, their canonical form, their persisted form, what they may look like, and how they may change.

mod canonical;
mod evolve;
mod field_ids;
mod keys;
mod notes;
mod stored;
mod validate;
mod widen;

pub use canonical::{fingerprint, type_name};
pub use evolve::Alteration;
pub(crate) use evolve::{Evolved, evolve};
pub use field_ids::{FIELD_ID_KEY, SCHEMA_ID_KEY, field_id, schema_id, strip_field_ids};
pub(crate) use field_ids::{assign, check_assigned, with_schema_id, without_schema_id};
pub use keys::{Key, KeyKind, NewKey, NewReference, Reference, ReferredColumns, Rule, check_referable, declare_keys};
pub(crate) use notes::with_table_notes;
pub use notes::{
    COLUMN_KEY, ColumnNotes, TABLE_KEY, TableNotes, column_notes, parse_value, table_notes, value_text,
    with_column_notes,
};
pub use stored::StoredSchema;
pub(crate) use validate::validate;
