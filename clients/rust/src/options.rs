//! Where to connect and as whom.

use std::{fmt, path::PathBuf, time::Duration};

use crate::{Error, Result};

/// Where a server without configuration listens.
pub const DEFAULT_URL: &str = "grpc://127.0.0.1:8815";
/// The port when the URL has none.
const DEFAULT_PORT: u16 = 8815;

/// Where to connect, as whom, and with which certificates.
#[derive(Clone)]
pub struct ConnectOptions {
    pub(crate) url: String,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) server_name: Option<String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) user_agent: String,
}

impl ConnectOptions {
    /// A server's URL: `grpc://host:port` without TLS, `grpc+tls://host:port` with. The port is 8815 when left out.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            user: None,
            password: None,
            token: None,
            ca: None,
            cert: None,
            key: None,
            server_name: None,
            connect_timeout: Duration::from_secs(10),
            user_agent: concat!("skein-rust/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// From `SKEIN_URL`, `SKEIN_USER`, `SKEIN_PASSWORD` and `SKEIN_TOKEN`; the default URL when there is none.
    pub fn from_env() -> Self {
        let var = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        let mut options = Self::new(var("SKEIN_URL").unwrap_or_else(|| DEFAULT_URL.to_owned()));
        options.user = var("SKEIN_USER");
        options.password = var("SKEIN_PASSWORD");
        options.token = var("SKEIN_TOKEN");
        options
    }

    /// Logs in with a user's password, by the Basic handshake.
    #[must_use]
    pub fn with_login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self.password = Some(password.into());
        self
    }

    /// Authenticates with an API token. It wins over a user and password.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Trusts the authorities in this PEM file instead of the system's.
    #[must_use]
    pub fn with_ca(mut self, pem: impl Into<PathBuf>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// Presents a client certificate (PEM files): mutual TLS.
    #[must_use]
    pub fn with_client_cert(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.cert = Some(cert.into());
        self.key = Some(key.into());
        self
    }

    /// Expects this name in the server's certificate instead of the URL's host.
    #[must_use]
    pub fn with_server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Gives up connecting after this long. Default: 10 seconds.
    #[must_use]
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How the client names itself to the server.
    #[must_use]
    pub fn with_user_agent(mut self, agent: impl Into<String>) -> Self {
        self.user_agent = agent.into();
        self
    }

    /// The URL as given.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where to connect.
    pub(crate) fn target(&self) -> Result<Target> {
        let (scheme, rest) = self.url.split_once("://").unwrap_or(("grpc", &self.url));
        let tls = match scheme {
            "grpc" | "grpc+tcp" | "http" => false,
            "grpc+tls" | "grpcs" | "https" => true,
            _ => {
                return Err(Error::Options(format!(
                    "the URL {:?} starts with an unknown scheme; use grpc:// or grpc+tls://",
                    self.url
                )));
            }
        };
        let authority = rest.trim_end_matches('/');
        if authority.is_empty() || authority.contains(['/', '@', '?', ' ']) {
            return Err(Error::Options(format!("the URL {:?} must look like {scheme}://host:port", self.url)));
        }
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:{DEFAULT_PORT}") };
        Ok(Target { tls, authority })
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ConnectOptions");
        shown.field("url", &self.url).field("user", &self.user).field("ca", &self.ca).finish_non_exhaustive()
    }
}

/// A URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub tls: bool,
    /// `host:port`.
    pub authority: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<Target> {
        ConnectOptions::new(url).target()
    }

    #[test]
    fn urls_of_the_usual_forms() {
        assert_eq!(target("grpc://h:1").unwrap(), Target { tls: false, authority: "h:1".into() });
        assert_eq!(target("grpc+tls://h").unwrap(), Target { tls: true, authority: "h:8815".into() });
        assert_eq!(target("127.0.0.1:9/").unwrap().authority, "127.0.0.1:9");
        assert_eq!(target("grpc://[::1]:9").unwrap().authority, "[::1]:9");
        assert_eq!(target("grpc://[::1]").unwrap().authority, "[::1]:8815");
        assert!(target("ftp://h").unwrap_err().to_string().contains("unknown scheme"));
        assert!(target("grpc://").is_err());
        assert!(target("grpc://user@h").is_err());
    }

    #[test]
    fn secrets_do_not_show() {
        let options = ConnectOptions::new("grpc://h").with_login("ann", "hush").with_token("tok");
        let shown = format!("{options:?}");
        assert!(shown.contains("ann") && !shown.contains("hush") && !shown.contains("tok\""), "{shown}");
    }
}
