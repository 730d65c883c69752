//! Calls over HTTP/1.1: one request with its retries.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::TokioExecutor,
};
use secrecy::{ExposeSecret, SecretString};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto::ring};

use super::{retry, wire};
use crate::{Error, Result};

/// What is read of the answer to a refused request.
const MAX_MESSAGE_BYTES: usize = 64 << 10;
/// Until the other side has to have taken the connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// One address of a provider, with its connections.
#[derive(Debug)]
pub(super) struct Client {
    pool: Pool<HttpsConnector<HttpConnector>, Full<Bytes>>,
    model: String,
    uri: Uri,
    key: Option<SecretString>,
    timeout: Duration,
    retries: u32,
}

/// What came of a request that was answered.
pub(super) enum Answer {
    /// The body.
    Done(Bytes),
    /// The provider does not take what was in the request; the message says why.
    Refused(String),
}

/// What came of one attempt that failed and may be repeated.
struct Failure {
    reason: String,
    timed_out: bool,
    wait: Option<Duration>,
}

impl Client {
    /// A client of one URL. Opens no connection.
    pub fn new(model: &str, url: &str, key: Option<SecretString>, timeout: Duration, retries: u32) -> Result<Self> {
        let provider = |reason: String| Error::Provider { model: model.to_owned(), url: url.to_owned(), reason };
        let uri: Uri = url.parse().map_err(|e| provider(format!("this cannot be called: {e}")))?;
        let secure = uri.scheme_str() == Some("https");
        let tls = tls(secure).map_err(|e| provider(format!("TLS cannot be set up: {e}")))?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
        let pool = Pool::builder(TokioExecutor::new()).pool_idle_timeout(Duration::from_secs(30)).build(connector);
        Ok(Self { pool, model: model.to_owned(), uri, key, timeout, retries })
    }

    /// Sends a request until it is answered, refused for good, or the attempts are used up. An answer of more than `limit` bytes is an error.
    pub async fn post(&self, body: Vec<u8>, limit: usize) -> Result<Answer> {
        let body = Bytes::from(body);
        let mut failed = 0;
        loop {
            let failure = match tokio::time::timeout(self.timeout, self.attempt(body.clone(), limit)).await {
                Ok(Ok(answer)) => return answer,
                Ok(Err(failure)) => failure,
                Err(_) => Failure { reason: String::new(), timed_out: true, wait: None },
            };
            failed += 1;
            let asks_too_much = failure.wait.is_some_and(|wait| wait > retry::LONGEST);
            if failed > self.retries || asks_too_much {
                return Err(self.give_up(failure, failed));
            }
            let pause = failure.wait.unwrap_or_default().max(retry::pause(failed));
            tracing::debug!(model = self.model, url = %self.uri, failed, ?pause, reason = failure.reason, "a provider is tried again");
            tokio::time::sleep(pause).await;
        }
    }

    fn give_up(&self, failure: Failure, attempts: u32) -> Error {
        let (model, url) = (self.model.clone(), self.uri.to_string());
        if failure.timed_out {
            return Error::Timeout { model, url, seconds: self.timeout.as_secs(), attempts };
        }
        let wait =
            failure.wait.map(|wait| format!("; it asks to be left alone for {} s", wait.as_secs())).unwrap_or_default();
        Error::Unavailable { model, url, attempts, reason: format!("{}{wait}", failure.reason) }
    }

    /// One attempt: an answer or an error that is final, or a failure that may pass.
    async fn attempt(&self, body: Bytes, limit: usize) -> Result<Result<Answer>, Failure> {
        let passing = |reason: String| Failure { reason, timed_out: false, wait: None };
        let request = match self.request(body) {
            Ok(request) => request,
            Err(error) => return Ok(Err(error)),
        };
        let response = self.pool.request(request).await.map_err(|e| passing(self.clean(&told(&e))))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let limit = if status.is_success() { limit } else { MAX_MESSAGE_BYTES };
        let body = match read(response, limit).await {
            Ok(body) => body,
            Err(Unread::TooLong) if status.is_success() => {
                return Ok(Err(self.provider(format!("the answer is longer than {limit} bytes"))));
            }
            Err(Unread::TooLong) => Bytes::new(),
            Err(Unread::Lost(reason)) => return Err(passing(format!("the answer broke off: {reason}"))),
        };
        if status.is_success() {
            return Ok(Ok(Answer::Done(body)));
        }
        let message = self.clean(&wire::message(&body));
        if retry::may_pass(status) {
            return Err(Failure {
                reason: format!("{status}: {message}"),
                timed_out: false,
                wait: retry::asked(&headers, SystemTime::now()),
            });
        }
        Ok(self.refused(status, message))
    }

    fn refused(&self, status: StatusCode, message: String) -> Result<Answer> {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let hint = if self.key.is_some() {
                    "check the variable that api_key_env names"
                } else {
                    "name the key's variable in api_key_env"
                };
                let (model, url) = (self.model.clone(), self.uri.to_string());
                Err(Error::Refused { model, url, status: status.as_u16(), reason: format!("{message}; {hint}") })
            }
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                Ok(Answer::Refused(message))
            }
            StatusCode::NOT_FOUND => {
                Err(self
                    .provider(format!("{status}: {message}; check models.{0}.url and models.{0}.model", self.model)))
            }
            _ => Err(self.provider(format!("{status}: {message}"))),
        }
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>> {
        let mut request = Request::post(&self.uri)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("skein/", env!("CARGO_PKG_VERSION")));
        if let Some(key) = &self.key {
            let value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()));
            let mut value = value
                .map_err(|_| self.provider("the API key has characters that no HTTP header can have".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        request.body(Full::new(body)).map_err(|e| self.provider(format!("the request cannot be made: {e}")))
    }

    /// A message without the key, which some providers repeat.
    fn clean(&self, message: &str) -> String {
        match &self.key {
            Some(key) if !key.expose_secret().is_empty() => message.replace(key.expose_secret(), "***"),
            _ => message.to_owned(),
        }
    }

    /// An error about this provider.
    pub fn provider(&self, reason: String) -> Error {
        Error::Provider { model: self.model.clone(), url: self.uri.to_string(), reason }
    }
}

/// TLS with ring and the system's certificates; with none where nothing is encrypted, so that a machine without certificates can call its neighbours.
fn tls(secure: bool) -> std::io::Result<ClientConfig> {
    use hyper_rustls::ConfigBuilderExt;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(std::io::Error::other)?;
    Ok(if secure {
        builder.with_native_roots()?.with_no_client_auth()
    } else {
        builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth()
    })
}

/// Why a body could not be read.
enum Unread {
    TooLong,
    Lost(String),
}

async fn read(response: Response<Incoming>, limit: usize) -> Result<Bytes, Unread> {
    match Limited::new(response.into_body(), limit).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Unread::TooLong),
        Err(error) => Err(Unread::Lost(told(error.as_ref()))),
    }
}

/// An error with its causes: hyper's own text says little.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
