//! Incoming columns against a table's: matched by name, converted where no value can be lost.

mod cast;
mod columns;
mod conformer;
mod route;
mod storable;

pub(crate) use columns::check_columns;
pub(crate) use conformer::Conformer;
pub(crate) use storable::storable;
