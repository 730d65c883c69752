//! The compose root: puts buckets, catalog, engine, Flight SQL and the tonic server together, and takes them apart.

mod connection;
mod drain;
mod error;
mod http_port;
mod reflection;
mod running;
mod state;

pub use connection::ConnectionInfo;
pub use drain::{Call, InFlight};
pub use error::ServeError;
pub use running::Running;
pub use state::State;

use crate::{config::Config, telemetry};

/// Runs a server until `shutdown` completes, then drains it. Sets up the process's logs and traces first.
///
/// # Errors
/// When the server can't be started: the configuration names something unusable, or an address is taken.
pub async fn serve(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
    let _telemetry = telemetry::init(&config.telemetry)?;
    let running = Running::start(config).await?;
    shutdown.await;
    running.shutdown();
    running.wait().await
}
