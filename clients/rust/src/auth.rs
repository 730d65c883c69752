//! What goes with every call: the bearer token and the server's cookies.

use std::sync::{Arc, Mutex, PoisonError};

use base64::{Engine, prelude::BASE64_STANDARD};
use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataMap, MetadataValue},
    service::Interceptor,
};

use crate::{Error, Result};

/// Adds the authorization and the cookies to every request. Clones share both.
#[derive(Clone, Default)]
pub(crate) struct Credentials(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    authorization: Option<MetadataValue<Ascii>>,
    /// Name and value of each cookie the server set; the session id is one.
    cookies: Vec<(String, String)>,
}

impl Credentials {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_token(&self, token: &str) -> Result<()> {
        self.state().authorization = Some(header(&format!("Bearer {token}"))?);
        Ok(())
    }

    pub fn set_basic(&self, user: &str, password: &str) -> Result<()> {
        if user.contains(':') {
            return Err(Error::Options("a user name cannot contain ':'".to_owned()));
        }
        let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
        self.state().authorization = Some(header(&format!("Basic {pair}"))?);
        Ok(())
    }

    /// The header that goes with every call now.
    pub fn authorization(&self) -> Option<MetadataValue<Ascii>> {
        self.state().authorization.clone()
    }

    /// Takes what a response says: a new bearer token, cookies to send from now on.
    pub fn learn(&self, metadata: &MetadataMap) {
        let mut state = self.state();
        if let Some(value) = metadata.get("authorization")
            && value.as_bytes().starts_with(b"Bearer ")
        {
            state.authorization = Some(value.clone());
        }
        for value in metadata.get_all("set-cookie") {
            let pair = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
            if let Some((name, value)) = pair.split_once('=') {
                let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
                state.cookies.retain(|(known, _)| *known != name);
                state.cookies.push((name, value));
            }
        }
    }
}

fn header(text: &str) -> Result<MetadataValue<Ascii>> {
    let mut value: MetadataValue<Ascii> =
        text.parse().map_err(|_| Error::Options("the token contains characters that cannot be sent".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let state = self.state();
        if let Some(value) = &state.authorization {
            request.metadata_mut().insert("authorization", value.clone());
        }
        if !state.cookies.is_empty() {
            let all: Vec<String> = state.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            if let Ok(value) = all.join("; ").parse() {
                request.metadata_mut().insert("cookie", value);
            }
        }
        drop(state);
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_come_back_and_the_last_value_counts() {
        let mut credentials = Credentials::default();
        credentials.set_token("t").unwrap();
        let mut metadata = MetadataMap::new();
        metadata.append("set-cookie", "a=1; Path=/".parse().unwrap());
        metadata.append("set-cookie", "b=2".parse().unwrap());
        credentials.learn(&metadata);
        let mut metadata = MetadataMap::new();
        metadata.append("set-cookie", "a=3".parse().unwrap());
        credentials.learn(&metadata);
        let request = credentials.call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get("cookie").unwrap(), "b=2; a=3");
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer t");
    }

    #[test]
    fn a_handshakes_bearer_replaces_the_password() {
        let mut credentials = Credentials::default();
        credentials.set_basic("ann", "pw").unwrap();
        assert!(credentials.set_basic("a:b", "pw").is_err());
        let mut metadata = MetadataMap::new();
        metadata.insert("authorization", "Bearer abc".parse().unwrap());
        credentials.learn(&metadata);
        let request = credentials.call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer abc");
    }
}
