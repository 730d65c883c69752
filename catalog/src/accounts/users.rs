//! Users: created, listed, deleted, and let in by password.

use std::sync::atomic::Ordering;

use secrecy::SecretString;
use ulid::Ulid;

use super::{
    Accounts, UserInfo,
    user::{FORMAT, KIND, UserDocument, check_format, check_name, document_id},
};
use crate::{Actor, Error, Result};

impl Accounts {
    /// Creates a user. The first one must be an administrator: from then on everybody has to log in.
    ///
    /// # Errors
    /// [`Error::InvalidInput`] for a name or password that is refused, [`Error::AlreadyExists`] for a name that is
    /// taken, [`Error::ResourceExhausted`] when too many passwords are being hashed.
    pub async fn create_user(
        &self,
        name: &str,
        password: &SecretString,
        admin: bool,
        actor: &Actor,
    ) -> Result<UserInfo> {
        check_name(name)?;
        if !admin && !self.any_users().await? {
            return Err(Error::InvalidInput(format!(
                "'{name}' would be the first user and no administrator, so nobody could manage the server; create an \
                 administrator first"
            )));
        }
        let taken = || Error::AlreadyExists { what: "user", name: name.to_owned() };
        if self.find_user(name).await?.is_some() {
            return Err(taken());
        }
        let now = self.clock.now();
        let user = UserDocument {
            format: FORMAT,
            id: Ulid::new(),
            name: name.to_owned(),
            password: self.hasher.hash(password).await?,
            password_id: None,
            admin,
            created_by: actor.principal.clone(),
            created_at: now,
            changed_by: actor.principal.clone(),
            changed_at: now,
        };
        match self.documents.put(KIND, &document_id(name), 0, &user).await {
            Err(Error::Conflict { .. }) => return Err(taken()),
            outcome => outcome?,
        };
        self.inhabited.store(true, Ordering::Release);
        tracing::info!(user = name, admin, by = %actor.principal, "user created");
        Ok(user.info())
    }

    /// Changes a user's password, and with it their [`UserInfo::credential`]. Their tokens stay valid.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::InvalidInput`] for a password that is refused, [`Error::Conflict`] when the user is
    /// being changed by somebody else.
    pub async fn set_password(&self, name: &str, password: &SecretString, actor: &Actor) -> Result<()> {
        let (version, mut user) = self.find_user(name).await?.ok_or_else(|| no_such_user(name))?;
        user.password = self.hasher.hash(password).await?;
        user.password_id = Some(Ulid::new());
        user.changed_by.clone_from(&actor.principal);
        user.changed_at = self.clock.now();
        self.documents.put(KIND, &document_id(name), version, &user).await?;
        tracing::info!(user = name, by = %actor.principal, "password changed");
        Ok(())
    }

    /// Deletes a user; their tokens are refused from then on.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::InvalidInput`] for the last administrator.
    pub async fn delete_user(&self, name: &str, actor: &Actor) -> Result<()> {
        let (version, user) = self.find_user(name).await?.ok_or_else(|| no_such_user(name))?;
        if user.admin && self.users().await?.iter().filter(|user| user.admin).count() < 2 {
            return Err(Error::InvalidInput(format!(
                "'{name}' is the last administrator; create another one before deleting this one"
            )));
        }
        self.documents.delete(KIND, &document_id(name), version).await?;
        // Without their user the tokens are dead already; marking them is for whoever reads the list.
        self.cache.forget();
        self.revoke_tokens_of(user.id, actor).await?;
        tracing::info!(user = name, by = %actor.principal, "user deleted");
        Ok(())
    }

    /// All users, sorted by name.
    ///
    /// # Errors
    /// When the bucket fails.
    pub async fn users(&self) -> Result<Vec<UserInfo>> {
        let documents = self.documents.list::<UserDocument>(KIND).await?;
        let mut users: Vec<_> = documents.iter().map(|(_, _, user)| user.info()).collect();
        users.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(users)
    }

    /// One user, as every server on the bucket knows them now.
    ///
    /// # Errors
    /// When the bucket fails.
    pub async fn user(&self, name: &str) -> Result<Option<UserInfo>> {
        Ok(self.find_user(name).await?.map(|(_, user)| user.info()))
    }

    /// Whether there is any user, and so whether login is possible at all. Cheap once there is one.
    ///
    /// # Errors
    /// When the bucket fails.
    pub async fn any_users(&self) -> Result<bool> {
        if self.inhabited.load(Ordering::Acquire) {
            return Ok(true);
        }
        let any = !self.documents.list::<UserDocument>(KIND).await?.is_empty();
        if any {
            self.inhabited.store(true, Ordering::Release);
        }
        Ok(any)
    }

    /// The user, if they exist and the password is theirs. An unknown user takes as long to refuse as a wrong password.
    ///
    /// # Errors
    /// [`Error::ResourceExhausted`] when too many logins are under way.
    pub async fn check_password(&self, name: &str, password: &SecretString) -> Result<Option<UserInfo>> {
        let user = self.find_user(name).await?.map(|(_, user)| user);
        let hash = user.as_ref().map(|user| user.password.clone());
        let good = self.hasher.verify(password, hash).await?;
        Ok(user.filter(|_| good).map(|user| user.info()))
    }

    /// A user's document and its version.
    pub(super) async fn find_user(&self, name: &str) -> Result<Option<(u64, UserDocument)>> {
        let found = self.documents.get::<UserDocument>(KIND, &document_id(name)).await?;
        if let Some((_, user)) = &found {
            check_format(&format!("user '{name}'"), user.format)?;
        }
        Ok(found)
    }
}

pub(super) fn no_such_user(name: &str) -> Error {
    Error::NotFound { what: "user", name: name.to_owned(), hint: String::new() }
}

#[cfg(test)]
mod tests {
    use skein_model::{ErrorKind, Kind};
    use skein_storage::{Bucket, Buckets};

    use super::*;
    use crate::{Catalog, CatalogOptions};

    async fn accounts() -> Accounts {
        let buckets = Buckets::new(vec![Bucket::in_memory("test")]).unwrap();
        Catalog::open(buckets, CatalogOptions::default()).await.unwrap().accounts().clone()
    }

    #[tokio::test]
    async fn a_user_logs_in_with_their_own_password_only() {
        let (accounts, actor) = (accounts().await, Actor::new("anonymous"));
        assert!(!accounts.any_users().await.unwrap());
        let ada = accounts.create_user("ada", &"correct horse".into(), true, &actor).await.unwrap();
        assert!(accounts.any_users().await.unwrap());
        assert_eq!(accounts.check_password("ada", &"correct horse".into()).await.unwrap(), Some(ada));
        for (name, password) in
            [("ada", "wrong horse"), ("ada", ""), ("eve", "correct horse"), ("Ada", "correct horse")]
        {
            assert_eq!(accounts.check_password(name, &password.into()).await.unwrap(), None, "{name} {password}");
        }
        accounts.set_password("ada", &"new password".into(), &actor).await.unwrap();
        assert!(accounts.check_password("ada", &"correct horse".into()).await.unwrap().is_none());
        assert!(accounts.check_password("ada", &"new password".into()).await.unwrap().is_some());
    }

    #[tokio::test]
    async fn names_are_unique_and_come_back_after_deletion() {
        let (accounts, actor) = (accounts().await, Actor::new("anonymous"));
        let error = accounts.create_user("bob", &"password 1".into(), false, &actor).await.unwrap_err();
        assert!(error.to_string().contains("first user"), "{error}");
        accounts.create_user("ada", &"password 1".into(), true, &actor).await.unwrap();
        accounts.create_user("bob", &"password 1".into(), false, &actor).await.unwrap();
        let error = accounts.create_user("bob", &"password 2".into(), false, &actor).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        accounts.delete_user("bob", &actor).await.unwrap();
        assert!(accounts.check_password("bob", &"password 1".into()).await.unwrap().is_none());
        assert_eq!(accounts.delete_user("bob", &actor).await.unwrap_err().kind(), ErrorKind::NotFound);
        accounts.create_user("bob", &"password 2".into(), false, &actor).await.unwrap();
        assert!(accounts.check_password("bob", &"password 1".into()).await.unwrap().is_none());
        let names: Vec<_> = accounts.users().await.unwrap().into_iter().map(|user| user.name).collect();
        assert_eq!(names, ["ada", "bob"]);
    }

    #[tokio::test]
    async fn a_credential_lasts_as_long_as_the_password_and_the_account() {
        let (accounts, actor) = (accounts().await, Actor::new("anonymous"));
        accounts.create_user("root", &"password 1".into(), true, &actor).await.unwrap();
        let credential = async || accounts.user("ada").await.unwrap().unwrap().credential;
        let made = accounts.create_user("ada", &"password 1".into(), true, &actor).await.unwrap().credential;
        assert_eq!(credential().await, made);
        accounts.set_password("ada", &"password 1".into(), &actor).await.unwrap();
        let changed = credential().await;
        assert_ne!(changed, made, "the same password, set again, is a new one");
        accounts.delete_user("ada", &actor).await.unwrap();
        assert_eq!(accounts.user("ada").await.unwrap(), None);
        accounts.create_user("ada", &"password 1".into(), true, &actor).await.unwrap();
        assert!(![made, changed].contains(&credential().await), "a namesake is somebody else");
    }

    #[tokio::test]
    async fn the_last_administrator_stays() {
        let (accounts, actor) = (accounts().await, Actor::new("anonymous"));
        accounts.create_user("ada", &"password 1".into(), true, &actor).await.unwrap();
        accounts.create_user("bob", &"password 1".into(), false, &actor).await.unwrap();
        assert_eq!(accounts.delete_user("ada", &actor).await.unwrap_err().kind(), ErrorKind::InvalidInput);
        accounts.create_user("eve", &"password 1".into(), true, &actor).await.unwrap();
        accounts.delete_user("ada", &actor).await.unwrap();
    }
}
