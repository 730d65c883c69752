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

use std::{convert::Infallible, pin::Pin, sync::Arc};

use tonic::body::Body;
use tower::layer::util::Stack;

use crate::server::State;

/// All of them, as one layer.
pub type All = Stack<Layer<Gate>, Stack<Layer<CatchPanic>, Stack<Layer<Log>, Layer<Small>>>>;

/// What stands around the services of a server with this state.
pub fn all(state: &Arc<State>) -> All {
    // The log is outside of panic catching, so that a caught panic is logged and counted as the INTERNAL it is answered with.
    let log = Layer(Log::new(Arc::clone(&state.metrics), state.in_flight.clone()));
    let outside = Stack::new(log, Layer(Small));
    Stack::new(Layer(Gate::new(Arc::clone(state))), Stack::new(Layer(CatchPanic), outside))
}

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
