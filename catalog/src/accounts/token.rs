//! The persisted form of a token, document kind `token`, and the text that clients send.

use chrono::{DateTime, Utc};
use rand::distr::{Alphanumeric, SampleString};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use ulid::Ulid;

use super::TokenInfo;
use crate::{Error, Result, writer::hex};

/// The document kind.
pub(super) const KIND: &str = "token";
/// What every token starts with, so that scanners of leaked secrets find them.
const PREFIX: &str = "skein_";
/// 43 characters of 62 carry 256 bits.
const SECRET_CHARACTERS: usize = 43;
/// Longest label, in bytes.
const MAX_LABEL_BYTES: usize = 256;

/// A token as it is stored: with the hash of its text, never with the text.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct TokenDocument {
    pub(super) format: u32,
    pub(super) id: Ulid,
    pub(super) user: String,
    pub(super) user_id: Ulid,
    pub(super) label: String,
    /// SHA-256 of the whole text, in hex. The text has 256 random bits, so a slow hash would add nothing.
    pub(super) sha256: String,
    pub(super) created_by: String,
    pub(super) created_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) revoked_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) revoked_by: Option<String>,
}

impl TokenDocument {
    pub(super) fn info(&self) -> TokenInfo {
        TokenInfo {
            id: self.id.to_string(),
            user: self.user.clone(),
            label: self.label.clone(),
            created_by: self.created_by.clone(),
            created_at: self.created_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
        }
    }

    /// Whether the token is good at `now`, apart from its secret.
    pub(super) fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|expires| now < expires)
    }

    /// Compares in a time that says nothing about where the difference is.
    pub(super) fn matches(&self, hash: &TokenHash) -> bool {
        self.sha256.as_bytes().ct_eq(hex(hash).as_bytes()).into()
    }
}

/// SHA-256 of a token's text.
pub(super) type TokenHash = [u8; 32];

/// The hash of a token's text.
pub(super) fn hash(text: &str) -> TokenHash {
    Sha256::digest(text.as_bytes()).into()
}

/// The text of a new token.
pub(super) fn generate(id: Ulid) -> (SecretString, TokenHash) {
    let text = format!("{PREFIX}{id}_{}", Alphanumeric.sample_string(&mut rand::rng(), SECRET_CHARACTERS));
    let hash = hash(&text);
    (SecretString::from(text), hash)
}

/// The id in a token's text; `None` when the text is not a token's.
pub(super) fn parse(text: &str) -> Option<Ulid> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let plausible = secret.len() == SECRET_CHARACTERS && secret.bytes().all(|byte| byte.is_ascii_alphanumeric());
    // Ids are written in upper case only; another spelling would be a second text for one token.
    let id: Ulid = id.parse().ok().filter(|parsed: &Ulid| parsed.to_string() == id)?;
    plausible.then_some(id)
}

/// Refuses labels that would mislead in a list.
pub(super) fn check_label(label: &str) -> Result<()> {
    if label.len() > MAX_LABEL_BYTES || label.chars().any(char::is_control) {
        return Err(Error::InvalidInput(format!(
            "the token's label is longer than {MAX_LABEL_BYTES} bytes or holds control characters; shorten it"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const GOLDEN: &str = include_str!("golden/token-1.json");

    #[test]
    fn the_golden_file_is_read_and_written_unchanged() {
        let token: TokenDocument = serde_json::from_str(GOLDEN).unwrap();
        assert_eq!(token.label, "nightly load");
        assert!(!token.is_live(token.expires_at.unwrap()));
        assert_eq!(serde_json::to_string_pretty(&token).unwrap(), GOLDEN.trim_end());
        let future = GOLDEN.replacen('{', "{\"scopes\": [],", 1);
        assert!(serde_json::from_str::<TokenDocument>(&future).is_ok());
    }

    #[test]
    fn a_token_names_itself_and_nothing_else_is_a_token() {
        let id = Ulid::new();
        let (text, hash_at_birth) = generate(id);
        let text = text.expose_secret();
        assert_eq!(parse(text), Some(id));
        assert_eq!(hash(text), hash_at_birth);
        assert_eq!(text.len(), "skein_".len() + 26 + 1 + 43);
        for other in
            ["", "skein_", "skein__", &text[1..], &text[..text.len() - 1], &format!("{text}x"), &text.to_lowercase()]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
