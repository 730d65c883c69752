//! One file per RPC of the Flight service.

mod caller;
mod decode;
mod do_action;
mod do_exchange;
mod do_get;
mod do_put;
mod handshake;
mod incoming;
mod info;
mod list_actions;
mod list_flights;
mod routes;
mod service;

pub use caller::Caller;
pub(crate) use decode::{Decoded, Decoder};
pub use routes::FlightRoutes;
pub use service::FlightApi;

use futures::stream::BoxStream;
use tonic::Status;

/// A stream of answers.
pub(crate) type Answers<T> = BoxStream<'static, Result<T, Status>>;
