//! The state that users and tokens share.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use moka::sync::Cache;
use skein_model::Clock;

use super::{UserInfo, password::Hasher, token::TokenHash};
use crate::Documents;

/// How long another server's revocation can go unnoticed here.
const CACHE_TTL: Duration = Duration::from_secs(2);
/// Tokens kept in the cache.
const CACHE_ENTRIES: u64 = 10_000;

/// Users and tokens of a catalog. Cheap to clone.
///
/// ```no_run
/// # use skein_catalog::{Accounts, Actor};
/// # async fn example(accounts: Accounts) -> skein_catalog::Result<()> {
/// let actor = Actor::new("anonymous");
/// accounts.create_user("ada", &"correct horse".into(), true, &actor).await?;
/// assert!(accounts.check_password("ada", &"correct horse".into()).await?.is_some());
/// let token = accounts.create_token("ada", "nightly load", None, &actor).await?;
/// accounts.revoke_token(&token.id, &actor).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Accounts {
    pub(super) documents: Documents,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) hasher: Hasher,
    pub(super) cache: TokenCache,
    /// There has been a user once; the last administrator cannot be deleted, so there is one for ever.
    pub(super) inhabited: Arc<AtomicBool>,
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts").finish_non_exhaustive()
    }
}

impl Accounts {
    /// The accounts kept in `documents`.
    pub fn new(documents: Documents, clock: Arc<dyn Clock>) -> Self {
        let (hasher, cache) = (Hasher::new(), TokenCache::new());
        Self { documents, clock, hasher, cache, inhabited: Arc::default() }
    }
}

/// A token that was found good a moment ago.
#[derive(Clone)]
struct Known {
    user: UserInfo,
    expires_at: Option<DateTime<Utc>>,
    epoch: u64,
}

/// Tokens found good in the last seconds, so that not every request reads documents from the bucket.
#[derive(Clone)]
pub(super) struct TokenCache {
    known: Cache<TokenHash, Known>,
    /// Counts revocations in this process. What was read before one is not believed after it.
    epoch: Arc<AtomicU64>,
}

impl TokenCache {
    fn new() -> Self {
        let known = Cache::builder().max_capacity(CACHE_ENTRIES).time_to_live(CACHE_TTL).build();
        Self { known, epoch: Arc::default() }
    }

    /// The epoch to remember before a token is read for [`TokenCache::insert`].
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    pub(super) fn get(&self, hash: &TokenHash, now: DateTime<Utc>) -> Option<UserInfo> {
        let known = self.known.get(hash)?;
        let fresh = known.epoch == self.epoch() && known.expires_at.is_none_or(|expires| now < expires);
        fresh.then_some(known.user)
    }

    pub(super) fn insert(&self, hash: TokenHash, user: UserInfo, expires_at: Option<DateTime<Utc>>, epoch: u64) {
        self.known.insert(hash, Known { user, expires_at, epoch });
    }

    /// Forgets everything; call it after a token or a user is gone from the documents.
    pub(super) fn forget(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.known.invalidate_all();
    }
}
