//! Who calls, and in which session: what the login layer leaves with each request.

use http::{HeaderMap, header::USER_AGENT};
use skein_catalog::Actor;
use skein_flight_sql::Call;
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

    /// The session, and how this call wants its rows sent.
    ///
    /// # Errors
    /// INVALID_ARGUMENT for a header of ours with a value that its option does not take.
    pub fn call(&self, headers: &HeaderMap) -> Result<Call, Status> {
        let text = headers.iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let call = Call::new(&self.session).with_headers(text).map_err(|error| status::from_error(&error))?;
        let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        // ADBC's driver leaves the transaction out of what it ingests.
        let is_adbc = agent.is_some_and(is_adbc);
        Ok(call.reads_every_endpoint(is_adbc).ingest_names_no_transaction(is_adbc))
    }

    /// The author of changes that this request makes.
    pub fn actor(&self) -> Actor {
        Actor::new(self.identity.principal.name.clone())
    }
}

/// Whether a client is known to read all endpoints of a FlightInfo, side by side. A program that calls Arrow's own Flight clients decides for
/// itself, and many take the first only.
fn is_adbc(user_agent: &str) -> bool {
    user_agent.contains("ADBC Flight SQL")
}
