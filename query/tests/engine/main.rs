//! The engine end to end, over buckets in memory and on disk, without a network.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod alter;
mod compact;
mod ddl;
mod delete;
mod external;
mod hot;
mod insert;
mod limits;
mod merge;
mod metadata;
mod names;
mod parameters;
mod parts;
mod progress;
mod refused;
mod reuse;
mod scan;
mod searches;
mod select;
mod substrait;
mod support;
mod temp;
mod time_travel;
mod update;
mod vectors;
mod views;
