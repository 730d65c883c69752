//! Tokens: made, listed, revoked, and let in.

use chrono::{DateTime, Utc};
use ulid::Ulid;

use super::{
    Accounts, NewToken, TokenInfo, UserInfo,
    token::{self, KIND, TokenDocument},
    user::{FORMAT, check_format},
    users::no_such_user,
};
use crate::{Actor, Error, Result};

/// How often a revocation is tried again when somebody else changes the same token.
const ATTEMPTS: usize = 5;

impl Accounts {
    /// Creates a token that acts for `user`. Its text is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such user; [`Error::InvalidInput`] for an expiry in the past or a label that
    /// is too long.
    pub async fn create_token(
        &self,
        user: &str,
        label: &str,
        expires_at: Option<DateTime<Utc>>,
        actor: &Actor,
    ) -> Result<NewToken> {
        token::check_label(label)?;
        let now = self.clock.now();
        if let Some(expires) = expires_at.filter(|expires| *expires <= now) {
            return Err(Error::InvalidInput(format!(
                "the token would expire at {expires}, which is past; give a later time"
            )));
        }
        let (_, owner) = self.find_user(user).await?.ok_or_else(|| no_such_user(user))?;
        let id = Ulid::new();
        let (secret_text, hash) = token::generate(id);
        let document = TokenDocument {
            format: FORMAT,
            id,
            user: owner.name,
            user_id: owner.id,
            label: label.to_owned(),
            sha256: crate::writer::hex(&hash),
            created_by: actor.principal.clone(),
            created_at: now,
            expires_at,
            revoked_at: None,
            revoked_by: None,
        };
        self.documents.put(KIND, &id.to_string(), 0, &document).await?;
        tracing::info!(token = %id, user, by = %actor.principal, "token created");
        Ok(NewToken { id: id.to_string(), secret_text })
    }

    /// Revokes a token. This process refuses it at once, other servers within seconds. Revoking one twice is no error.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such token.
    pub async fn revoke_token(&self, id: &str, actor: &Actor) -> Result<()> {
        let unknown = || Error::NotFound { what: "token", name: id.to_owned(), hint: String::new() };
        let id: Ulid = id.parse().map_err(|_| unknown())?;
        for _ in 0..ATTEMPTS {
            let (version, token) = self.find_token(id).await?.ok_or_else(unknown)?;
            match self.revoke(version, token, actor).await {
                Err(Error::Conflict { .. }) => {}
                outcome => return outcome,
            }
        }
        Err(Error::Conflict { what: format!("token '{id}'"), reason: "it keeps being changed".to_owned() })
    }

    /// All tokens, revoked and expired ones too, sorted by id and so by age.
    ///
    /// # Errors
    /// When the bucket fails.
    pub async fn tokens(&self) -> Result<Vec<TokenInfo>> {
        let documents = self.documents.list::<TokenDocument>(KIND).await?;
        Ok(documents.iter().map(|(_, _, token)| token.info()).collect())
    }

    /// The user a token acts for, if it is genuine, neither expired nor revoked, and its user still exists.
    ///
    /// # Errors
    /// When the bucket fails; a bad token is no error.
    pub async fn check_token(&self, text: &str) -> Result<Option<UserInfo>> {
        let Some(id) = token::parse(text) else { return Ok(None) };
        let hash = token::hash(text);
        if let Some(user) = self.cache.get(&hash, self.clock.now()) {
            return Ok(Some(user));
        }
        let epoch = self.cache.epoch();
        let Some((_, token)) = self.find_token(id).await? else { return Ok(None) };
        if !token.matches(&hash) || !token.is_live(self.clock.now()) {
            return Ok(None);
        }
        // A later user with the same name has another id.
        let owner = self.find_user(&token.user).await?.filter(|(_, user)| user.id == token.user_id);
        let Some((_, owner)) = owner else { return Ok(None) };
        let user = owner.info();
        self.cache.insert(hash, user.clone(), token.expires_at, epoch);
        Ok(Some(user))
    }

    /// Marks all live tokens of a user as revoked.
    pub(super) async fn revoke_tokens_of(&self, user: Ulid, actor: &Actor) -> Result<()> {
        for (id, _, token) in self.documents.list::<TokenDocument>(KIND).await? {
            if token.user_id == user && token.revoked_at.is_none() {
                self.revoke_token(&id, actor).await?;
            }
        }
        Ok(())
    }

    async fn revoke(&self, version: u64, mut token: TokenDocument, actor: &Actor) -> Result<()> {
        if token.revoked_at.is_none() {
            token.revoked_at = Some(self.clock.now());
            token.revoked_by = Some(actor.principal.clone());
            self.documents.put(KIND, &token.id.to_string(), version, &token).await?;
            tracing::info!(token = %token.id, user = token.user, by = %actor.principal, "token revoked");
        }
        self.cache.forget();
        Ok(())
    }

    async fn find_token(&self, id: Ulid) -> Result<Option<(u64, TokenDocument)>> {
        let found = self.documents.get::<TokenDocument>(KIND, &id.to_string()).await?;
        if let Some((_, token)) = &found {
            check_format(&format!("token '{id}'"), token.format)?;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::TimeDelta;
    use secrecy::ExposeSecret;
    use skein_model::{ErrorKind, Kind, ManualClock};
    use skein_storage::{Bucket, Buckets};

    use super::*;
    use crate::{Catalog, CatalogOptions};

    async fn open(bucket: &Bucket, clock: &ManualClock) -> Accounts {
        let options = CatalogOptions { clock: Arc::new(clock.clone()), ..CatalogOptions::default() };
        let buckets = Buckets::new(vec![bucket.clone()]).unwrap();
        Catalog::open(buckets, options).await.unwrap().accounts().clone()
    }

    async fn with_ada() -> (Accounts, Bucket, ManualClock, Actor) {
        let (bucket, clock) = (Bucket::in_memory("test"), ManualClock::new(Utc::now()));
        let (accounts, actor) = (open(&bucket, &clock).await, Actor::new("root"));
        accounts.create_user("ada", &"correct horse".into(), true, &actor).await.unwrap();
        accounts.create_user("eve", &"correct horse".into(), true, &actor).await.unwrap();
        (accounts, bucket, clock, actor)
    }

    #[tokio::test]
    async fn a_token_lets_its_user_in_until_it_is_revoked() {
        let (accounts, bucket, clock, actor) = with_ada().await;
        let token = accounts.create_token("ada", "nightly load", None, &actor).await.unwrap();
        let text = token.secret_text.expose_secret();
        let other = open(&bucket, &clock).await;
        for server in [&accounts, &other] {
            assert_eq!(server.check_token(text).await.unwrap().unwrap().name, "ada");
        }
        let forged = format!("{}{}", &text[..text.len() - 1], if text.ends_with('A') { 'B' } else { 'A' });
        assert_eq!(accounts.check_token(&forged).await.unwrap(), None);
        accounts.revoke_token(&token.id, &actor).await.unwrap();
        accounts.revoke_token(&token.id, &actor).await.unwrap();
        assert_eq!(accounts.check_token(text).await.unwrap(), None);
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        assert_eq!(other.check_token(text).await.unwrap(), None);
        let listed = accounts.tokens().await.unwrap();
        assert_eq!((listed.len(), listed[0].label.as_str()), (1, "nightly load"));
        assert!(listed[0].revoked_at.is_some());
    }

    #[tokio::test]
    async fn an_expired_token_is_refused_although_it_is_cached() {
        let (accounts, _, clock, actor) = with_ada().await;
        let expires = clock_now(&clock) + TimeDelta::hours(1);
        let token = accounts.create_token("ada", "", Some(expires), &actor).await.unwrap();
        let text = token.secret_text.expose_secret();
        assert!(accounts.check_token(text).await.unwrap().is_some());
        clock.advance(TimeDelta::hours(1));
        assert_eq!(accounts.check_token(text).await.unwrap(), None);
        let error = accounts.create_token("ada", "", Some(expires), &actor).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }

    #[tokio::test]
    async fn tokens_die_with_their_user_and_a_namesake_does_not_revive_them() {
        let (accounts, _, _, actor) = with_ada().await;
        let token = accounts.create_token("ada", "", None, &actor).await.unwrap();
        let text = token.secret_text.expose_secret();
        assert!(accounts.check_token(text).await.unwrap().is_some());
        accounts.delete_user("ada", &actor).await.unwrap();
        assert_eq!(accounts.check_token(text).await.unwrap(), None);
        assert!(accounts.tokens().await.unwrap()[0].revoked_at.is_some());
        accounts.create_user("ada", &"another horse".into(), true, &actor).await.unwrap();
        assert_eq!(accounts.check_token(text).await.unwrap(), None);
    }

    #[tokio::test]
    async fn the_secret_is_stored_and_shown_nowhere() {
        let (accounts, bucket, _, actor) = with_ada().await;
        let token = accounts.create_token("ada", "", None, &actor).await.unwrap();
        let text = token.secret_text.expose_secret();
        let secret = text.rsplit('_').next().unwrap();
        assert!(!format!("{token:?} {accounts:?}").contains(secret));
        for object in bucket.list("").await.unwrap() {
            let bytes = bucket.get(object.location.as_ref()).await.unwrap();
            let content = String::from_utf8_lossy(&bytes);
            assert!(!content.contains(secret) && !content.contains("correct horse"), "{}", object.location);
        }
    }

    fn clock_now(clock: &ManualClock) -> DateTime<Utc> {
        skein_model::Clock::now(clock)
    }
}
