//! Checks credentials.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use hmac::Mac as _;
use moka::future::Cache;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use skein_catalog::accounts::{Accounts, UserInfo};
use skein_model::{AuthMethod, Clock, Principal};
use subtle::ConstantTimeEq as _;
use tonic::{Code, Status};

use super::{
    Credentials, Identity, Membership, ServerKey, SessionTokens, key, limiter::LoginLimiter, session_token::Refused,
};
use crate::{
    config::{AuthMode, Secret},
    status,
    telemetry::Metrics,
};

/// How long a password that was right is not hashed again. Basic credentials come with every request, and argon2 is slow
/// on purpose.
const PASSWORD_TTL: Duration = Duration::from_secs(60);
/// How long a look-up of a user is believed; changes made through this server are seen at once, those made through
/// another one after this time.
const USER_TTL: Duration = Duration::from_secs(2);

/// How a server asks for login.
#[derive(Debug, Clone)]
pub struct AuthenticatorOptions {
    /// When login is needed.
    pub mode: AuthMode,
    /// Whether only this machine can reach the server.
    pub loopback: bool,
    /// How long a session token is valid.
    pub session_ttl: TimeDelta,
    /// What the servers of a cluster prove by that they are.
    pub cluster_secret: Option<Secret>,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

/// Checks credentials against the accounts in the catalog.
pub struct Authenticator {
    accounts: Accounts,
    options: AuthenticatorOptions,
    metrics: Arc<Metrics>,
    session_tokens: SessionTokens,
    limiter: LoginLimiter,
    /// Set once users were seen; never cleared, so that losing the last one does not open the server.
    users_exist: AtomicBool,
    /// Counts the accounts changed through this server. What was read before a change is not believed after it.
    changes: AtomicU64,
    password_key: [u8; 32],
    passwords: Cache<[u8; 32], Arc<UserInfo>>,
    users: Cache<String, (u64, Option<Arc<UserInfo>>)>,
}

impl Authenticator {
    /// Looks whether there are users.
    ///
    /// # Errors
    /// When the accounts can't be read.
    pub async fn new(
        accounts: Accounts,
        key: &ServerKey,
        options: AuthenticatorOptions,
        metrics: Arc<Metrics>,
    ) -> Result<Self, skein_catalog::Error> {
        let this = Self {
            session_tokens: SessionTokens::new(key, options.session_ttl),
            users_exist: AtomicBool::new(accounts.any_users().await?),
            changes: AtomicU64::new(0),
            accounts,
            options,
            metrics,
            limiter: LoginLimiter::default(),
            password_key: ServerKey::random().derive("password cache"),
            passwords: Cache::builder().max_capacity(10_000).time_to_live(PASSWORD_TTL).build(),
            users: Cache::builder().max_capacity(10_000).time_to_live(USER_TTL).build(),
        };
        Ok(this)
    }

    /// Whether a request without credentials is refused.
    pub fn login_needed(&self) -> bool {
        match self.options.mode {
            AuthMode::None => false,
            AuthMode::Required => true,
            AuthMode::Auto => !self.options.loopback || self.users_exist.load(Ordering::Acquire),
        }
    }

    /// Forgets what is remembered of users and passwords; called after every change of an account.
    pub async fn account_changed(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.passwords.invalidate_all();
        self.users.invalidate_all();
        self.refresh().await;
    }

    /// Notices users that another process created.
    pub async fn refresh(&self) {
        match self.accounts.any_users().await {
            Ok(true) => self.users_exist.store(true, Ordering::Release),
            Ok(false) => {}
            Err(error) => tracing::warn!(error = %status::chain(&error), "users could not be listed"),
        }
    }

    /// Who sent a request.
    ///
    /// # Errors
    /// UNAUTHENTICATED for credentials that are missing, wrong, expired or revoked; RESOURCE_EXHAUSTED after too many
    /// wrong ones.
    pub async fn identify(&self, credentials: Credentials, peer: IpAddr) -> Result<Identity, Status> {
        if let Credentials::Bearer(token) = &credentials
            && self.is_cluster_secret(token)
        {
            return Ok(Identity::server());
        }
        if !self.login_needed() {
            return Ok(self.without_login(&credentials));
        }
        match credentials {
            Credentials::None => Err(refused("login is needed: send a user and password, or a token")),
            Credentials::Basic { name, password } => self.password(&name, &password, peer).await,
            Credentials::Bearer(token) if SessionTokens::recognises(token.expose_secret()) => {
                self.session(&token).await
            }
            Credentials::Bearer(token) => self.api_token(&token).await,
            Credentials::Certificate(name) => self.certificate(name).await,
        }
    }

    /// The token that stands for `identity` from now on.
    pub fn issue(&self, identity: &Identity) -> String {
        let now = self.options.clock.now();
        self.session_tokens.issue(identity, now)
    }

    fn without_login(&self, credentials: &Credentials) -> Identity {
        let mut identity = Identity::anonymous();
        if self.options.cluster_secret.is_none() {
            identity.membership = Membership::Open;
        }
        match credentials {
            Credentials::Bearer(token) => {
                let claims = self.session_tokens.check(token.expose_secret(), self.options.clock.now());
                identity.session = claims.ok().map(|claims| claims.session);
            }
            Credentials::Certificate(name) => {
                identity.principal = Principal { name: name.clone(), method: AuthMethod::Certificate };
            }
            Credentials::None | Credentials::Basic { .. } => {}
        }
        identity
    }

    /// Compares digests, which takes as long wherever they differ.
    fn is_cluster_secret(&self, token: &SecretString) -> bool {
        let digest = |text: &str| Sha256::digest(text);
        let secret = self.options.cluster_secret.as_ref();
        secret.is_some_and(|secret| digest(secret.expose()).ct_eq(&digest(token.expose_secret())).into())
    }

    async fn password(&self, name: &str, password: &SecretString, peer: IpAddr) -> Result<Identity, Status> {
        let key = self.password_digest(name, password);
        // Remembered for longer than a user is: another server may have changed the password since, or the user's rights.
        if let Some(known) = self.passwords.get(&key).await
            && let Some(user) = self.user(name).await?.filter(|user| user.credential == known.credential)
        {
            return Ok(Identity::of(&user, AuthMethod::Password));
        }
        if let Some(wait) = self.limiter.wait(peer, name, Instant::now()) {
            self.metrics.login("limited");
            let seconds = wait.as_secs().max(1);
            let message = format!("too many wrong passwords; wait {seconds} s and try again");
            return Err(status::new(Code::ResourceExhausted, message));
        }
        let user = self.accounts.check_password(name, password).await.map_err(|error| status::from_error(&error))?;
        match user {
            Some(user) => {
                self.metrics.login("ok");
                let user = Arc::new(user);
                self.passwords.insert(key, Arc::clone(&user)).await;
                Ok(Identity::of(&user, AuthMethod::Password))
            }
            None => {
                self.metrics.login("refused");
                self.limiter.failed(peer, name, Instant::now());
                tracing::warn!(user = name, %peer, "wrong user or password");
                Err(refused("the user or the password is wrong"))
            }
        }
    }

    async fn session(&self, token: &SecretString) -> Result<Identity, Status> {
        let claims = self.session_tokens.check(token.expose_secret(), self.options.clock.now()).map_err(|why| {
            refused(match why {
                Refused::Expired => "the session token has expired; log in again",
                Refused::Forged => "the session token was not made by this server; log in again",
            })
        })?;
        if claims.method == AuthMethod::None {
            return Err(refused("the session began before login was needed; log in"));
        }
        let user = self.user(&claims.user).await?;
        let mut identity = match (user, claims.method) {
            (Some(user), method) if claims.credential == Some(user.credential) => Identity::of(&user, method),
            (None, AuthMethod::Certificate) if claims.credential.is_none() => Identity::certificate(claims.user),
            _ => return Err(refused("the account of this session was changed or deleted; log in again")),
        };
        identity.session = Some(claims.session);
        Ok(identity)
    }

    async fn api_token(&self, token: &SecretString) -> Result<Identity, Status> {
        let checked =
            self.accounts.check_token(token.expose_secret()).await.map_err(|error| status::from_error(&error))?;
        match checked {
            Some(user) => Ok(Identity::of(&user, AuthMethod::Token)),
            None => {
                self.metrics.login("refused");
                Err(refused("the token is wrong, expired or revoked; make a new one with 'skein token create'"))
            }
        }
    }

    async fn certificate(&self, name: String) -> Result<Identity, Status> {
        Ok(match self.user(&name).await? {
            Some(user) => Identity::of(&user, AuthMethod::Certificate),
            None => Identity::certificate(name),
        })
    }

    async fn user(&self, name: &str) -> Result<Option<Arc<UserInfo>>, Status> {
        let changes = self.changes.load(Ordering::SeqCst);
        if let Some((_, user)) = self.users.get(name).await.filter(|(before, _)| *before == changes) {
            return Ok(user);
        }
        let user = self.accounts.user(name).await.map_err(|error| status::from_error(&error))?.map(Arc::new);
        self.users.insert(name.to_owned(), (changes, user.clone())).await;
        Ok(user)
    }

    fn password_digest(&self, name: &str, password: &SecretString) -> [u8; 32] {
        let mut mac = key::mac(&self.password_key);
        mac.update(&(name.len() as u64).to_le_bytes());
        mac.update(name.as_bytes());
        mac.update(password.expose_secret().as_bytes());
        mac.finalize().into_bytes().into()
    }
}

fn refused(message: &str) -> Status {
    status::new(Code::Unauthenticated, message)
}
