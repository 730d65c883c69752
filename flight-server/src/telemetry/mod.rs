//! Logs, traces and metrics.

mod metrics;
mod tracing_setup;

pub use metrics::{Metrics, Now};
pub use tracing_setup::{TelemetryError, TelemetryGuard, init, outcome, remote_parent};
