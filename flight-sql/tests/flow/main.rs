//! Flight SQL over a real engine and a bucket in memory, without a network: what goes in as messages comes out as batches.

// Clippy lets `#[test]` functions do this, but not the functions they share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ingest;
mod metadata;
mod parts;
mod paths;
mod pieces;
mod poll;
mod prepared;
mod statements;
mod substrait;
mod support;
mod tickets;
mod transactions;
mod updates;
