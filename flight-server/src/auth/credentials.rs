//! What a request offers as proof of who sent it.

use http::{HeaderMap, header::AUTHORIZATION};
use rustls_pki_types::CertificateDer;
use secrecy::SecretString;
use tonic::{Code, Status};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::basic;
use crate::status;

/// One request's credentials, not yet checked.
#[derive(Debug)]
pub enum Credentials {
    /// Nothing at all.
    None,
    /// A name and a password.
    Basic {
        /// The user's name.
        name: String,
        /// The password, as sent.
        password: SecretString,
    },
    /// A session token or an API token.
    Bearer(SecretString),
    /// The common name of a client certificate that TLS has verified already.
    Certificate(String),
}

impl Credentials {
    /// Reads the authorization header, else the client certificate. `certificates` are the peer's verified ones, leaf
    /// first.
    ///
    /// # Errors
    /// UNAUTHENTICATED for a header that can't be read and a certificate without a common name.
    pub fn from_request(headers: &HeaderMap, certificates: Option<&Vec<CertificateDer<'_>>>) -> Result<Self, Status> {
        match headers.get(AUTHORIZATION) {
            Some(value) => Self::from_header(value),
            None => match certificates.and_then(|chain| chain.first()) {
                Some(leaf) => common_name(leaf).map(Self::Certificate),
                None => Ok(Self::None),
            },
        }
    }

    fn from_header(value: &http::HeaderValue) -> Result<Self, Status> {
        let text = value.to_str().map_err(|_| unreadable("it is not text"))?;
        let (scheme, rest) = text.split_once(' ').ok_or_else(|| unreadable("it has no scheme"))?;
        if scheme.eq_ignore_ascii_case("basic") {
            let (name, password) =
                basic::decode(rest).ok_or_else(|| unreadable("it is not base64 of name:password"))?;
            Ok(Self::Basic { name, password })
        } else if scheme.eq_ignore_ascii_case("bearer") {
            Ok(Self::Bearer(SecretString::from(rest.trim().to_owned())))
        } else {
            Err(unreadable("its scheme is neither Basic nor Bearer"))
        }
    }
}

fn unreadable(why: &str) -> Status {
    status::new(
        Code::Unauthenticated,
        format!("the authorization header can't be read: {why}; send 'Basic <base64>' or 'Bearer <token>'"),
    )
}

fn common_name(certificate: &CertificateDer<'_>) -> Result<String, Status> {
    let refused = |why: &str| status::new(Code::Unauthenticated, format!("the client certificate {why}"));
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| refused("can't be parsed"))?;
    let name = parsed.subject().iter_common_name().next().and_then(|cn| cn.as_str().ok());
    match name {
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err(refused("has no common name (CN) in its subject; issue one whose CN is the user's name")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Credentials, Status> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        Credentials::from_request(&headers, None)
    }

    #[test]
    fn schemes_are_read_without_regard_to_case() {
        assert!(matches!(read("basic YTpi").unwrap(), Credentials::Basic { name, .. } if name == "a"));
        assert!(matches!(read("BEARER x").unwrap(), Credentials::Bearer(_)));
        assert!(matches!(Credentials::from_request(&HeaderMap::new(), None).unwrap(), Credentials::None));
    }

    #[test]
    fn an_unreadable_header_is_refused_and_not_ignored() {
        for value in ["Basic", "Basic !!!", "Digest x", ""] {
            assert_eq!(read(value).unwrap_err().code(), Code::Unauthenticated, "{value}");
        }
    }
}
