//! Ingest from the outside: real bytes into real catalogs, in memory and on disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod arrow_files;
mod atomic;
mod batches;
mod bounded;
mod chunking;
mod csv_files;
mod defaults;
mod idempotency;
mod json_files;
mod parquet_files;
mod support;
mod wrapped;
