//! The outcome of a login.

use skein_catalog::accounts::UserInfo;
use skein_model::{AuthMethod, Principal, SessionId};
use tonic::{Code, Status};
use ulid::Ulid;

use crate::status;

/// A principal, what it may do, and the session its credentials name.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Who it is.
    pub principal: Principal,
    /// Whether it may administer the server: users, tokens of others, maintenance.
    pub admin: bool,
    /// The session that a handshake's token belongs to; None for credentials that are sent anew with each request.
    pub session: Option<SessionId>,
    /// The account's credential ([`UserInfo::credential`]); None for whoever has no account here.
    pub credential: Option<Ulid>,
}

impl Identity {
    /// Whoever comes to a server without login. May do everything.
    pub fn anonymous() -> Self {
        Self { principal: Principal::anonymous(), admin: true, session: None, credential: None }
    }

    /// A user who proved it by `method`.
    pub fn of(user: &UserInfo, method: AuthMethod) -> Self {
        Self {
            principal: Principal { name: user.name.clone(), method },
            admin: user.admin,
            session: None,
            credential: Some(user.credential),
        }
    }

    /// The holder of a client certificate without an account of that name.
    pub fn certificate(name: String) -> Self {
        let principal = Principal { name, method: AuthMethod::Certificate };
        Self { principal, admin: false, session: None, credential: None }
    }

    /// Refuses whoever is not an administrator.
    ///
    /// # Errors
    /// PERMISSION_DENIED, naming `what` was asked for.
    pub fn require_admin(&self, what: &str) -> Result<(), Status> {
        if self.admin {
            return Ok(());
        }
        Err(status::new(
            Code::PermissionDenied,
            format!(
                "{what} needs an administrator, and '{}' is not one; ask an administrator to do it",
                self.principal
            ),
        ))
    }

    /// Refuses whoever is neither an administrator nor `owner`.
    ///
    /// # Errors
    /// PERMISSION_DENIED, naming `what` was asked for.
    pub fn require_self_or_admin(&self, owner: &str, what: &str) -> Result<(), Status> {
        if self.principal.name == owner { Ok(()) } else { self.require_admin(what) }
    }
}
