//! The engine end to end, over buckets in memory and on disk, without a network.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ddl;
mod external;
mod hot;
mod insert;
mod limits;
mod metadata;
mod names;
mod parameters;
mod parts;
mod refused;
mod reuse;
mod scan;
mod select;
mod support;
mod temp;
mod time_travel;
mod views;
