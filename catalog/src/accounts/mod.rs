//! Users, who log in with a name and a password, and API tokens, which act for a user until they expire or are revoked.
//!
//! Both are documents of the catalog, so every server on the same bucket knows them. Passwords are kept as argon2id
//! hashes, tokens as SHA-256 of their text; neither appears in `Debug` output, logs or errors.

mod password;
mod registry;
mod token;
mod tokens;
mod user;
mod users;

use chrono::{DateTime, Utc};
pub use registry::Accounts;
use secrecy::SecretString;
use ulid::Ulid;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserInfo {
    /// The name they log in with.
    pub name: String,
    /// Whether they administer the server.
    pub admin: bool,
    /// The account with the password it has now. It changes with every new password, and a later user of the same name
    /// has another one: what was begun with one is over when it is not the account's any more.
    pub credential: Ulid,
    /// Who created the account.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// What is known about a token, except the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInfo {
    /// Its id, which is part of its text.
    pub id: String,
    /// Whose rights it carries.
    pub user: String,
    /// What its owner calls it.
    pub label: String,
    /// Who created it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// From when on it is refused.
    pub expires_at: Option<DateTime<Utc>>,
    /// Since when it is refused, if it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A token as it is shown once, to whoever created it.
#[derive(Debug)]
pub struct NewToken {
    /// Its id, for [`Accounts::revoke_token`].
    pub id: String,
    /// The text to authenticate with: `skein_<id>_<secret>`, the secret being 256 random bits. It is kept nowhere.
    pub secret_text: SecretString,
}
