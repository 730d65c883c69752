//! Who calls, and in which session: what the login layer leaves with each request.

use skein_catalog::Actor;
use tonic::{Request, Status};

use crate::{auth::Identity, session::LeasedSession, status};

/// The principal and the session of a request.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who calls.
    pub identity: Identity,
    /// In which session.
    pub session: LeasedSession,
}

impl Caller {
    /// The caller of a request.
    ///
    /// # Errors
    /// INTERNAL when the request did not pass the login layer.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        Self::in_extensions(request.extensions().get())
    }

    /// As [`Caller::of`], from what was found in a request's extensions.
    ///
    /// # Errors
    /// As [`Caller::of`].
    pub fn in_extensions(found: Option<&Self>) -> Result<Self, Status> {
        found.cloned().ok_or_else(|| status::internal("a request reached its handler without a caller"))
    }

    /// The author of changes that this request makes.
    pub fn actor(&self) -> Actor {
        Actor::new(self.identity.principal.name.clone())
    }
}
