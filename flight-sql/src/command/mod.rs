//! One file per command family of Flight SQL.

mod catalogs;
mod ingest;
mod keys;
mod metadata;
mod parts;
mod path;
mod pattern;
mod poll;
mod prepared;
mod schemas;
mod sql_info;
mod statement;
mod table_types;
mod tables;
mod update;
mod xdbc_type_info;

pub(crate) use metadata::Tables as MetadataTables;
pub(crate) use tables::schema_message;
