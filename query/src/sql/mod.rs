//! From text to one statement.

mod calls;
mod dialect;
mod expansion;
mod literals;
mod parse;
mod show;
mod tokens;
mod unsupported;
mod versions;

pub(crate) use calls::{calls, searched_table};
pub(crate) use parse::{parse, parts, quote, text, view_query};
pub(crate) use show::{Show, rewrite as rewrite_show};
pub(crate) use unsupported::{check_query, refuse};
pub(crate) use versions::{Version, VersionedTable, versioned_tables};
