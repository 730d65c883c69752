//! What the layers share as tower services, so that each of them is one function of a request and what is inside.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use tonic::server::NamedService;

use super::{HttpRequest, HttpResponse, Inner, ResponseFuture};

/// What a layer does with a request.
pub trait Around: Clone + Send + 'static {
    /// Answers `request`, as a rule by calling `inner`, which is ready for it.
    fn answer<S: Inner>(&self, inner: S, request: HttpRequest) -> ResponseFuture;
}

/// A tower layer that does what `A` says.
#[derive(Debug, Clone)]
pub struct Layer<A>(pub A);

impl<S, A: Around> tower::Layer<S> for Layer<A> {
    type Service = Service<S, A>;

    fn layer(&self, inner: S) -> Self::Service {
        Service { inner, around: self.0.clone() }
    }
}

/// The service [`Layer`] makes.
#[derive(Debug, Clone)]
pub struct Service<S, A> {
    inner: S,
    around: A,
}

impl<S: NamedService, A> NamedService for Service<S, A> {
    const NAME: &'static str = S::NAME;
}

impl<S: Inner, A: Around> tower::Service<HttpRequest> for Service<S, A> {
    type Response = HttpResponse;
    type Error = Infallible;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: HttpRequest) -> Self::Future {
        // The one that `poll_ready` was asked of goes with the request; the copy stays for the next.
        let copy = self.inner.clone();
        self.around.answer(std::mem::replace(&mut self.inner, copy), request)
    }
}
