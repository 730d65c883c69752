//! Which session a request belongs to, and when sessions end.
//!
//! A request is tied to its session by the cookie `arrow_flight_session_id`, else by the bearer token of its handshake,
//! else by its TCP connection. A session that only its connection names ends with the connection; the others end when
//! nothing has used them for a while. Only the principal that opened a session gets back into it.

mod claim;
mod registry;

pub use claim::{Claim, ConnectionId, SESSION_COOKIE};
pub use registry::{LeasedSession, Opened, SessionLimits, Sessions, TooManySessions};
