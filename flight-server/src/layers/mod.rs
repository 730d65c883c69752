//! What every request passes on its way in and out, from the outside: the cutting of small answers, the request log with its metrics, then panic
//! catching, then login. Each is a tower layer around all services of the port.

mod around;
mod gate;
mod log;
mod panic;
mod small;

pub use around::{Around, Layer};
pub use gate::Gate;
pub use log::Log;
pub use panic::CatchPanic;
pub use small::Small;

use std::{convert::Infallible, pin::Pin};

use tonic::body::Body;

/// A request as it arrives from HTTP/2.
pub type HttpRequest = http::Request<Body>;
/// A response as it leaves for HTTP/2.
pub type HttpResponse = http::Response<Body>;
/// What every layer's service returns.
pub type ResponseFuture = Pin<Box<dyn Future<Output = Result<HttpResponse, Infallible>> + Send>>;

/// The bound every inner service of a layer meets.
pub trait Inner:
    tower::Service<HttpRequest, Response = HttpResponse, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Inner for S where
    S: tower::Service<HttpRequest, Response = HttpResponse, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}
