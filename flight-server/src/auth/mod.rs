//! Login: who a request comes from, and what that principal may call.
//!
//! Credentials come as Basic (name and password), as Bearer (a session token from the handshake, or an API token), or as
//! a client certificate. [`access`](Access) holds the one table of what each RPC and action needs.

mod access;
mod authenticator;
mod basic;
mod credentials;
mod identity;
mod key;
mod limiter;
mod session_token;

pub use access::{Access, ActionAccess, Rpc, of_action, of_standard_action};
pub use authenticator::{Authenticator, AuthenticatorOptions};
pub use credentials::Credentials;
pub use identity::{Identity, Membership};
pub use key::ServerKey;
pub use session_token::{SessionClaims, SessionTokens};
