//! Flight SQL over a real engine and a bucket in memory, without a network: what goes in as messages comes out as batches.

mod ingest;
mod metadata;
mod paths;
mod prepared;
mod statements;
mod support;
mod tickets;
mod updates;
