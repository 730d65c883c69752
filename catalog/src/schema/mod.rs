//! Columns: their stable field ids, their canonical form, their persisted form, and what they may look like.

mod canonical;
mod field_ids;
mod stored;
mod validate;

pub use canonical::{fingerprint, type_name};
pub use field_ids::{FIELD_ID_KEY, SCHEMA_ID_KEY, field_id, schema_id, strip_field_ids};
pub(crate) use field_ids::{assign, check_assigned, with_schema_id, without_schema_id};
pub use stored::StoredSchema;
pub(crate) use validate::validate;
