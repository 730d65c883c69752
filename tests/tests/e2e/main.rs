//! A real server, a real port, a real client: what holds across the wire.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod support;

mod access;
mod alter;
mod bad_input;
mod cache;
mod cli;
mod cluster;
mod compact;
mod crash;
mod crash_points;
mod crowd;
mod dependencies;
mod distributed;
mod faults;
mod fuzzed;
mod handles;
mod index_builds;
mod index_tuning;
mod ingest;
mod lifecycle;
mod login;
mod otlp;
mod panics;
mod partitions;
mod pieces;
mod query;
mod queued;
mod sessions;
mod slt;
mod substrait;
mod tickets;
mod tls;
mod transactions;
mod upkeep;
mod vanish;
mod writers;
