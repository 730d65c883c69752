//! Users and API tokens.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use skein_model::Clock;

use crate::{Actor, Documents, Result};

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserInfo {
    /// The name they log in with.
    pub name: String,
    /// Whether they administer the server.
    pub admin: bool,
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
    /// The text to authenticate with: `skein_<id>_<secret>`. It is kept nowhere.
    pub secret_text: SecretString,
}

/// Users and tokens of a catalog. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Accounts {}

impl Accounts {
    /// The accounts kept in `documents`.
    pub fn new(_documents: Documents, _clock: Arc<dyn Clock>) -> Self {
        todo!()
    }
    /// Creates a user.
    pub async fn create_user(
        &self,
        _name: &str,
        _password: &SecretString,
        _admin: bool,
        _actor: &Actor,
    ) -> Result<UserInfo> {
        todo!()
    }
    /// Changes a password.
    pub async fn set_password(&self, _name: &str, _password: &SecretString, _actor: &Actor) -> Result<()> {
        todo!()
    }
    /// Deletes a user and revokes their tokens.
    pub async fn delete_user(&self, _name: &str, _actor: &Actor) -> Result<()> {
        todo!()
    }
    /// All users, sorted by name.
    pub async fn users(&self) -> Result<Vec<UserInfo>> {
        todo!()
    }
    /// Whether there is any user.
    pub async fn any_users(&self) -> Result<bool> {
        todo!()
    }
    /// The user, if the password is theirs.
    pub async fn check_password(&self, _name: &str, _password: &SecretString) -> Result<Option<UserInfo>> {
        todo!()
    }
    /// Creates a token.
    pub async fn create_token(
        &self,
        _user: &str,
        _label: &str,
        _expires_at: Option<DateTime<Utc>>,
        _actor: &Actor,
    ) -> Result<NewToken> {
        todo!()
    }
    /// Revokes a token.
    pub async fn revoke_token(&self, _id: &str, _actor: &Actor) -> Result<()> {
        todo!()
    }
    /// All tokens, revoked and expired ones too, sorted by id.
    pub async fn tokens(&self) -> Result<Vec<TokenInfo>> {
        todo!()
    }
    /// The user a token belongs to, if it is valid.
    pub async fn check_token(&self, _text: &str) -> Result<Option<UserInfo>> {
        todo!()
    }
}
