//! The outcome of a login.

use skein_catalog::accounts::UserInfo;
use skein_model::{AuthMethod, Principal, SessionId};
use tonic::{Code, Status};
use ulid::Ulid;

use crate::status;

/// Whether a principal is another server of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// It is not.
    No,
    /// It may be: nobody is asked who they are.
    Open,
    /// It is, and nothing else: it has the cluster's secret.
    Server,
}

/// A principal, what it may do, and the session its credentials name.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Who it is.
    pub principal: Principal,
    /// Whether it may administer the server: users, tokens of others, maintenance.
    pub admin: bool,
    /// The session that a handshake's token belongs to; None for credentials that are sent anew with each request.
    pub session: Option<SessionId>,
    /// Whether it is another server of the cluster.
    pub membership: Membership,
    /// The account's credential ([`UserInfo::credential`]); None for whoever has no account here.
    pub credential: Option<Ulid>,
}

impl Identity {
    /// Whoever comes to a server without login. May do everything.
    pub fn anonymous() -> Self {
        let (principal, membership) = (Principal::anonymous(), Membership::No);
        Self { principal, admin: true, session: None, membership, credential: None }
    }

    /// A user who proved it by `method`.
    pub fn of(user: &UserInfo, method: AuthMethod) -> Self {
        Self {
            principal: Principal { name: user.name.clone(), method },
            admin: user.admin,
            session: None,
            membership: Membership::No,
            credential: Some(user.credential),
        }
    }

    /// The holder of a client certificate without an account of that name.
    pub fn certificate(name: String) -> Self {
        let principal = Principal { name, method: AuthMethod::Certificate };
        Self { principal, admin: false, session: None, membership: Membership::No, credential: None }
    }

    /// Another server of the cluster, which proved it by the secret. No user can have this name.
    pub fn server() -> Self {
        let principal = Principal { name: ":cluster".to_owned(), method: AuthMethod::Token };
        Self { principal, admin: false, session: None, membership: Membership::Server, credential: None }
    }

    /// Refuses whoever is not another server of the cluster.
    ///
    /// # Errors
    /// PERMISSION_DENIED, naming `what` was asked for; UNAUTHENTICATED for whoever said nothing about who they are.
    pub fn require_server(&self, what: &str) -> Result<(), Status> {
        let code = match (self.membership, self.principal.method) {
            (Membership::Open | Membership::Server, _) => return Ok(()),
            (Membership::No, AuthMethod::None) => Code::Unauthenticated,
            (Membership::No, _) => Code::PermissionDenied,
        };
        let message = format!("{what} is for the servers of a cluster, which send its secret (cluster.secret)");
        Err(status::new(code, message))
    }

    /// Refuses another server of the cluster, which has no business with anything else.
    ///
    /// # Errors
    /// PERMISSION_DENIED, naming `what` was asked for.
    pub fn require_user(&self, what: &str) -> Result<(), Status> {
        if self.membership != Membership::Server {
            return Ok(());
        }
        let message =
            format!("{what} is not for servers: the cluster's secret only lets them work together; log in as a user");
        Err(status::new(Code::PermissionDenied, message))
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
