//! The `Basic` scheme of the authorization header.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;

/// The user name and password in the value after `Basic `. None when it is not base64 of `name:password`.
pub(super) fn decode(encoded: &str) -> Option<(String, SecretString)> {
    let bytes = STANDARD.decode(encoded.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), SecretString::from(password.to_owned())))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn a_password_may_hold_colons() {
        let (name, password) = decode(&STANDARD.encode("ada:a:b")).unwrap();
        assert_eq!((name.as_str(), password.expose_secret()), ("ada", "a:b"));
    }

    #[test]
    fn noise_is_not_a_credential() {
        assert!(decode("%%%").is_none());
        assert!(decode(&STANDARD.encode("no colon")).is_none());
        assert!(decode(&STANDARD.encode([0xff, 0xfe])).is_none());
    }
}
