//! The bearer token a handshake gives out: signed claims, so that it is checked without a look-up and outlives a restart.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac as _};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use skein_model::{AuthMethod, SessionId};
use ulid::Ulid;

use super::{Identity, ServerKey, key};

/// What every session token starts with; API tokens start differently.
const PREFIX: &str = "skeins.";

/// What a session token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionClaims {
    /// The session it opens.
    pub session: SessionId,
    /// The principal's name.
    pub user: String,
    /// How the principal proved itself at the handshake.
    pub method: AuthMethod,
    /// The account's credential at that time; None for whoever has no account.
    #[serde(default)]
    pub credential: Option<Ulid>,
    /// When it stops being valid, in seconds since 1970.
    pub expires: i64,
}

/// Why a session token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It was not made with this server's key, or was changed.
    Forged,
    /// Its time is over.
    Expired,
}

/// Makes and checks session tokens.
#[derive(Debug, Clone)]
pub struct SessionTokens {
    key: [u8; 32],
    ttl: TimeDelta,
}

impl SessionTokens {
    /// Tokens signed with a key derived from `key`, valid for `ttl`.
    pub fn new(key: &ServerKey, ttl: TimeDelta) -> Self {
        Self { key: key.derive("session token"), ttl }
    }

    /// A token for whoever `identity` is.
    pub fn issue(&self, identity: &Identity, now: DateTime<Utc>) -> String {
        let claims = SessionClaims {
            session: SessionId::generate(),
            user: identity.principal.name.clone(),
            method: identity.principal.method,
            credential: identity.credential,
            expires: (now + self.ttl).timestamp(),
        };
        // Strings and numbers always serialise; an empty payload would only make a token that is refused.
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims).unwrap_or_default());
        let signature = URL_SAFE_NO_PAD.encode(self.mac(&payload).finalize().into_bytes());
        format!("{PREFIX}{payload}.{signature}")
    }

    /// Whether `text` looks like a session token at all.
    pub fn recognises(text: &str) -> bool {
        text.starts_with(PREFIX)
    }

    /// The claims of a token, if this server signed them and they have not expired.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(&self, text: &str, now: DateTime<Utc>) -> Result<SessionClaims, Refused> {
        let (payload, signature) =
            text.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.')).ok_or(Refused::Forged)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| Refused::Forged)?;
        // Compares in constant time.
        self.mac(payload).verify_slice(&signature).map_err(|_| Refused::Forged)?;
        let bytes = URL_SAFE_NO_PAD.decode(payload).map_err(|_| Refused::Forged)?;
        let claims: SessionClaims = serde_json::from_slice(&bytes).map_err(|_| Refused::Forged)?;
        if now.timestamp() >= claims.expires { Err(Refused::Expired) } else { Ok(claims) }
    }

    fn mac(&self, payload: &str) -> Hmac<Sha256> {
        let mut mac = key::mac(&self.key);
        mac.update(payload.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use skein_model::Principal;

    use super::*;

    fn ada() -> Identity {
        let principal = Principal { name: "ada".to_owned(), method: AuthMethod::Password };
        Identity { principal, credential: Some(Ulid::new()), ..Identity::anonymous() }
    }

    #[test]
    fn a_token_is_good_until_it_expires() {
        let tokens = SessionTokens::new(&ServerKey::random(), TimeDelta::hours(1));
        let now = Utc::now();
        let token = tokens.issue(&ada(), now);
        assert_eq!(tokens.check(&token, now).unwrap().user, "ada");
        assert_eq!(tokens.check(&token, now + TimeDelta::hours(1)), Err(Refused::Expired));
    }

    #[test]
    fn a_changed_or_foreign_token_is_refused() {
        let (ours, theirs) = (ServerKey::random(), ServerKey::random());
        let now = Utc::now();
        let tokens = SessionTokens::new(&ours, TimeDelta::hours(1));
        let foreign = SessionTokens::new(&theirs, TimeDelta::hours(1)).issue(&ada(), now);
        assert_eq!(tokens.check(&foreign, now), Err(Refused::Forged));
        let good = tokens.issue(&ada(), now);
        let changed = good.replacen("skeins.e", "skeins.f", 1);
        assert_eq!(tokens.check(&changed, now), Err(Refused::Forged));
        assert_eq!(tokens.check("skeins.", now), Err(Refused::Forged));
    }
}
