//! The compose root: puts buckets, catalog, engine, Flight SQL and the tonic server together, and takes them apart.

mod connection;
mod drain;
mod error;
mod http_port;
mod recall;
mod reflection;
mod running;
mod state;
mod upkeep;

pub use connection::ConnectionInfo;
pub use drain::{Call, InFlight};
pub use error::ServeError;
pub use running::Running;
pub use state::State;
