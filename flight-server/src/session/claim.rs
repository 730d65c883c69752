//! What a request says about its session.

use http::{HeaderMap, header::COOKIE};
use skein_model::{Principal, SessionId};

use crate::auth::Identity;

/// The cookie that Flight clients return to stay in a session.
pub const SESSION_COOKIE: &str = "arrow_flight_session_id";

/// A TCP connection, unique within the process.
pub type ConnectionId = u64;

/// Everything in a request that can name a session.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who asks.
    pub principal: Principal,
    /// The session in its cookie.
    pub cookie: Option<SessionId>,
    /// The session in its bearer token.
    pub bearer: Option<SessionId>,
    /// The connection it came over.
    pub connection: ConnectionId,
}

impl Claim {
    /// Reads the claim of a request.
    pub fn new(identity: &Identity, headers: &HeaderMap, connection: ConnectionId) -> Self {
        Self { principal: identity.principal.clone(), cookie: cookie(headers), bearer: identity.session, connection }
    }
}

fn cookie(headers: &HeaderMap) -> Option<SessionId> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == SESSION_COOKIE)
        .and_then(|(_, value)| value.trim_matches('"').parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let id = SessionId::generate();
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, format!("a=b; {SESSION_COOKIE}={id}; c=d").parse().unwrap());
        assert_eq!(cookie(&headers), Some(id));
        headers.insert(COOKIE, format!("{SESSION_COOKIE}=../../x").parse().unwrap());
        assert_eq!(cookie(&headers), None);
    }
}
