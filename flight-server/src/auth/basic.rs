//! The `Basic` scheme of the authorization header.

use base64::{
    Engine as _,
    alphabet::STANDARD as ALPHABET,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use secrecy::SecretString;

/// Arrow's Go client leaves the padding out, all others send it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The user name and password in the value after `Basic `. None when it is not base64 of `name:password`.
pub(super) fn decode(encoded: &str) -> Option<(String, SecretString)> {
    let bytes = BASE64.decode(encoded.trim()).ok()?;
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
        let (name, password) = decode(&BASE64.encode("ada:a:b")).unwrap();
        assert_eq!((name.as_str(), password.expose_secret()), ("ada", "a:b"));
    }

    #[test]
    fn padding_may_be_missing() {
        let (name, password) = decode("YTpi").map(|(n, p)| (n, p.expose_secret().to_owned())).unwrap();
        assert_eq!((name.as_str(), password.as_str()), ("a", "b"));
        assert!(decode("YWRhOnB3").is_some() && decode("YWRhOnB3ZA").is_some() && decode("YWRhOnB3ZA==").is_some());
    }

    #[test]
    fn noise_is_not_a_credential() {
        assert!(decode("%%%").is_none());
        assert!(decode(&BASE64.encode("no colon")).is_none());
        assert!(decode(&BASE64.encode([0xff, 0xfe])).is_none());
    }
}
