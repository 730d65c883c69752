//! Servers that work together: workers register with coordinators and are called by them and by each other.
//!
//! [`Members`] is what a coordinator knows of its workers, and how either side reaches a worker; [`Heartbeat`] is how a worker makes itself known;
//! [`routes`] is the service that it runs tasks with. What is sent, and to whom, is decided in `skein_query::distributed`.

mod connections;
mod failure;
mod heartbeat;
mod members;
mod tasks;

pub use connections::Connections;
pub use heartbeat::Heartbeat;
pub(crate) use heartbeat::worker_url;
pub use members::{Members, Registration};
pub use tasks::{Tasks, routes, tidy};

/// The version that coordinator and workers have to share: a plan is written by one and read by the other.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
