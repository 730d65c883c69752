//! The persisted form of a user, document kind `user`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use skein_model::MAX_USER_NAME_BYTES;
use ulid::Ulid;

use super::UserInfo;
use crate::{Error, Result, writer::hex};

/// The document kind.
pub(super) const KIND: &str = "user";
/// The version of the form below.
pub(super) const FORMAT: u32 = 1;

/// A user as it is stored. Not `Debug`: it holds the password's hash.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct UserDocument {
    pub(super) format: u32,
    /// Tells a user from an earlier one with the same name: tokens belong to the id.
    pub(super) id: Ulid,
    pub(super) name: String,
    /// PHC string.
    pub(super) password: String,
    /// A new one with each password. None until the first change, and in documents from before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) password_id: Option<Ulid>,
    pub(super) admin: bool,
    pub(super) created_by: String,
    pub(super) created_at: DateTime<Utc>,
    pub(super) changed_by: String,
    pub(super) changed_at: DateTime<Utc>,
}

impl UserDocument {
    pub(super) fn info(&self) -> UserInfo {
        UserInfo {
            name: self.name.clone(),
            admin: self.admin,
            credential: self.password_id.unwrap_or(self.id),
            created_by: self.created_by.clone(),
            created_at: self.created_at,
        }
    }
}

/// The document id of a user: a name is never a path.
pub(super) fn document_id(name: &str) -> String {
    hex(&Sha256::digest(name.as_bytes()))
}

/// Refuses names that could not log in or that would mislead in a log.
pub(super) fn check_name(name: &str) -> Result<()> {
    let refuse = |why: &str| Err(Error::InvalidInput(format!("the user name {name:?} {why}")));
    if name.is_empty() {
        return refuse("is empty; give it at least one character");
    }
    if name.len() > MAX_USER_NAME_BYTES {
        return Err(Error::InvalidInput(format!(
            "the user name is {} bytes long; the limit is {MAX_USER_NAME_BYTES}",
            name.len()
        )));
    }
    if name.contains(':') {
        return refuse("holds a colon, which Basic authentication ends names with; leave it out");
    }
    if name.chars().any(char::is_control) || name.trim() != name {
        return refuse("holds control characters or starts or ends in a space; leave them out");
    }
    if name.eq_ignore_ascii_case("anonymous") {
        return refuse("is the name of whoever has not logged in; choose another one");
    }
    Ok(())
}

/// Refuses a document that a newer Skein wrote.
pub(super) fn check_format(what: &str, format: u32) -> Result<()> {
    if format > FORMAT {
        return Err(Error::Unimplemented(format!(
            "{what} is stored in format {format}, and this Skein knows formats up to {FORMAT}; upgrade it"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = include_str!("golden/user-1.json");

    #[test]
    fn the_golden_file_is_read_and_written_unchanged() {
        let user: UserDocument = serde_json::from_str(GOLDEN).unwrap();
        assert_eq!(user.name, "ada");
        assert!(user.admin);
        assert_eq!(serde_json::to_string_pretty(&user).unwrap(), GOLDEN.trim_end());
    }

    #[test]
    fn fields_of_the_future_are_ignored_and_formats_of_the_future_refused() {
        let future = GOLDEN.replacen('{', "{\"shoe_size\": 38,", 1);
        assert!(serde_json::from_str::<UserDocument>(&future).is_ok());
        assert!(check_format("user 'ada'", 2).is_err());
    }

    #[test]
    fn names_that_would_mislead_are_refused() {
        for name in ["", " ada", "ada:x", "a\nb", "Anonymous", &"x".repeat(129)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        for name in ["ada", "ada@example.org", "José", "../etc", "x y"] {
            check_name(name).unwrap();
        }
    }
}
