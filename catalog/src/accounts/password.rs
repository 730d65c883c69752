//! Password hashing: argon2id, on blocking threads, a few at a time.

use std::sync::{Arc, LazyLock};

use argon2::{
    Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version,
    password_hash::{PasswordHash, SaltString},
};
use rand::RngCore;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::{Error, Result};

/// OWASP's recommendation for argon2id: 19 MiB, 2 passes, 1 lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const HASH_BYTES: usize = 32;
/// Shorter ones are guessed; NIST SP 800-63B draws the line here.
const MIN_CHARACTERS: usize = 8;
/// Hashing a longer one would let a client choose how long the server works.
const MAX_BYTES: usize = 1024;
/// Hashes computed at a time: 4 x 19 MiB.
const AT_A_TIME: usize = 4;
/// Logins that may wait for their turn; the next one is turned away at once.
const WAITING: usize = 256;

/// What the password of a user who does not exist is compared with, so that the answer takes as long as for one who
/// does. Nothing hashes to zeros.
static NOBODY: LazyLock<String> = LazyLock::new(|| {
    let zeros = |bytes: usize| "A".repeat((bytes * 4).div_ceil(3));
    format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}${}${}", zeros(16), zeros(HASH_BYTES))
});

/// Hashes and checks passwords with bounded memory.
#[derive(Debug, Clone)]
pub(super) struct Hasher {
    turns: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl Hasher {
    pub(super) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_A_TIME)), queue: Arc::new(Semaphore::new(AT_A_TIME + WAITING)) }
    }

    /// The hash of a new password, as a PHC string.
    pub(super) async fn hash(&self, password: &SecretString) -> Result<String> {
        check_new(password.expose_secret())?;
        let password = password.clone();
        self.run(move || {
            let mut salt = [0; 16];
            rand::rng().fill_bytes(&mut salt);
            let failed = |error| Error::Internal(format!("hashing a password failed: {error}"));
            let salt = SaltString::encode_b64(&salt).map_err(failed)?;
            let hash = argon2()?.hash_password(password.expose_secret().as_bytes(), &salt).map_err(failed)?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether `password` has this hash. `None` stands for a user who does not exist: it takes as long and is false.
    pub(super) async fn verify(&self, password: &SecretString, hash: Option<String>) -> Result<bool> {
        let too_long = password.expose_secret().len() > MAX_BYTES;
        let password = if too_long { SecretString::from("") } else { password.clone() };
        let known = hash.is_some() && !too_long;
        self.run(move || {
            let text = hash.as_deref().unwrap_or(&NOBODY);
            let parsed = PasswordHash::new(text)
                .map_err(|error| Error::Internal(format!("a stored password hash cannot be read: {error}")))?;
            let matches = argon2()?.verify_password(password.expose_secret().as_bytes(), &parsed).is_ok();
            Ok(matches && known)
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let busy =
            |_| Error::ResourceExhausted("too many logins at the same time; try again in a few seconds".to_owned());
        let place = Arc::clone(&self.queue).try_acquire_owned().map_err(busy)?;
        let turn =
            Arc::clone(&self.turns).acquire_owned().await.map_err(|_| busy(tokio::sync::TryAcquireError::Closed))?;
        let job = tokio::task::spawn_blocking(move || {
            // Held until the memory is free again, even when the client has gone.
            let _held = (place, turn);
            work()
        });
        job.await.map_err(|error| Error::Internal(format!("password hashing ended early: {error}")))?
    }
}

fn argon2() -> Result<Argon2<'static>> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES))
        .map_err(|error| Error::Internal(format!("argon2 refused its parameters: {error}")))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn check_new(password: &str) -> Result<()> {
    if password.chars().count() < MIN_CHARACTERS {
        return Err(Error::InvalidInput(format!(
            "the password has fewer than {MIN_CHARACTERS} characters; choose a longer one"
        )));
    }
    if password.len() > MAX_BYTES {
        return Err(Error::InvalidInput(format!(
            "the password is longer than {MAX_BYTES} bytes; choose a shorter one"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use skein_model::{ErrorKind, Kind};

    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let hasher = Hasher::new();
        let hash = hasher.hash(&"correct horse".into()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hasher.verify(&"correct horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!hasher.verify(&"wrong horse".into(), Some(hash.clone())).await.unwrap());
        assert!(!hasher.verify(&"x".repeat(5000).into(), Some(hash)).await.unwrap());
    }

    #[tokio::test]
    async fn nobody_costs_as_much_as_somebody() {
        let hasher = Hasher::new();
        let hash = hasher.hash(&"correct horse".into()).await.unwrap();
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..5 {
            for (which, hash) in [Some(hash.clone()), None].into_iter().enumerate() {
                let start = Instant::now();
                assert!(!hasher.verify(&"wrong horse".into(), hash).await.unwrap());
                times[which].push(start.elapsed().as_secs_f64());
            }
        }
        let fastest = |times: &[f64]| times.iter().copied().fold(f64::INFINITY, f64::min);
        let ratio = fastest(&times[1]) / fastest(&times[0]);
        assert!((0.5..2.0).contains(&ratio), "{ratio}");
    }

    #[tokio::test]
    async fn a_flood_is_turned_away_and_leaves_no_trace() {
        let hasher = Hasher { turns: Arc::new(Semaphore::new(1)), queue: Arc::new(Semaphore::new(2)) };
        let attempts = (0..10).map(|_| {
            let hasher = hasher.clone();
            async move { hasher.verify(&"wrong horse".into(), None).await }
        });
        let outcomes = futures::future::join_all(attempts).await;
        let refused: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
        assert!(!refused.is_empty() && refused.len() < 10);
        assert!(refused.iter().all(|error| error.kind() == ErrorKind::ResourceExhausted));
        assert!(!hasher.verify(&"wrong horse".into(), None).await.unwrap());
    }

    #[tokio::test]
    async fn short_and_endless_passwords_are_refused() {
        let hasher = Hasher::new();
        for password in ["", "seven77", &"x".repeat(1025)] {
            let error = hasher.hash(&password.to_owned().into()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
    }
}
