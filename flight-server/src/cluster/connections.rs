//! Connections to workers, kept and shared.

use std::{collections::HashMap, error::Error as StdError, path::Path, time::Duration};

use http::{HeaderValue, header::AUTHORIZATION};
use parking_lot::Mutex;
use skein_query::distributed::{Channel, Url};
use tonic::{
    body::Body,
    transport::{Certificate, ClientTlsConfig, Endpoint, Identity},
};
use tower::ServiceExt as _;

use crate::config::{ClusterConfig, Secret, TlsConfig};

/// A worker that does not answer for so long is lost.
const CONNECT: Duration = Duration::from_secs(5);
/// How often a silent connection is asked whether it is alive, and how long an answer may take.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
const ALIVE_WITHIN: Duration = Duration::from_secs(5);
/// As for clients: a stream is bounded by window / round trip.
const STREAM_WINDOW: u32 = 16 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;

/// Connections to workers.
pub struct Connections {
    ca: Option<Certificate>,
    identity: Option<Identity>,
    authorization: Option<HeaderValue>,
    open: Mutex<HashMap<Url, Channel>>,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").field("open", &self.open.lock().len()).finish_non_exhaustive()
    }
}

impl Connections {
    /// Connections that trust and present what `config` says.
    ///
    /// # Errors
    /// When the authorities can't be read, or the secret can't be sent.
    pub fn new(config: &ClusterConfig, tls: &TlsConfig) -> Result<Self, String> {
        let ca = config.ca.as_deref().map(|path| read("cluster.ca", path)).transpose()?.map(Certificate::from_pem);
        let identity = match own_certificate(tls) {
            Some((cert, key)) => Some(Identity::from_pem(read("tls.cert", cert)?, read("tls.key", key)?)),
            None => None,
        };
        let authorization = config.secret.as_ref().map(authorization).transpose()?;
        Ok(Self { ca, identity, authorization, open: Mutex::default() })
    }

    /// The connection to `url`.
    pub(super) async fn to(&self, url: &Url) -> Result<Channel, Box<dyn StdError + Send + Sync>> {
        if let Some(channel) = self.open.lock().get(url) {
            return Ok(channel.clone());
        }
        let channel = self.connect(url).await?;
        Ok(self.open.lock().entry(url.clone()).or_insert(channel).clone())
    }

    /// The next call opens a new connection.
    pub(super) fn close(&self, url: &Url) {
        self.open.lock().remove(url);
    }

    async fn connect(&self, url: &Url) -> Result<Channel, Box<dyn StdError + Send + Sync>> {
        let mut endpoint = Endpoint::from_shared(url.to_string())?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(ALIVE_EVERY)
            .keep_alive_timeout(ALIVE_WITHIN)
            .keep_alive_while_idle(true)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW);
        if url.scheme() == "https" {
            let tls = match &self.identity {
                Some(identity) => ClientTlsConfig::new().identity(identity.clone()),
                None => ClientTlsConfig::new(),
            };
            endpoint = endpoint.tls_config(match &self.ca {
                Some(ca) => tls.ca_certificate(ca.clone()),
                None => tls.with_native_roots(),
            })?;
        }
        let authorization = self.authorization.clone();
        let with_secret = move |mut request: http::Request<Body>| {
            if let Some(value) = &authorization {
                request.headers_mut().insert(AUTHORIZATION, value.clone());
            }
            request
        };
        Ok(Channel::new(endpoint.connect().await?.map_request(with_secret)))
    }
}

/// The certificate that a server presents to others, with its key: where clients have certificates, servers have, too.
pub(super) fn own_certificate(tls: &TlsConfig) -> Option<(&Path, &Path)> {
    tls.client_ca.as_ref()?;
    Some((tls.cert.as_deref()?, tls.key.as_deref()?))
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{key}: {} cannot be read: {error}", path.display()))
}

fn authorization(secret: &Secret) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", secret.expose()))
        .map_err(|_| "cluster.secret holds characters that a header can't; use printable ASCII".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
