//! The `skein` server: tonic services, tower layers, login, sessions, actions, configuration, telemetry and the
//! command line.
//!
//! This is the only crate that knows the transport. A request comes in through [`layers`] (panic catching, metrics,
//! login), reaches one file of [`rpc`] (or, for an action, one file of [`actions`]), and is answered by `flight-sql`,
//! `ingest` or the catalog; [`status`] turns every error into a gRPC status.

pub mod actions;
mod allocator;
pub mod auth;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod encode;
#[doc(hidden)]
pub mod fuzz;
mod ingest_bridge;
pub mod layers;
pub mod rpc;
pub mod server;
pub mod session;
pub mod status;
pub mod telemetry;
pub mod tls;
