//! The options every client command shares.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use skein_client::{Client, ConnectOptions, DEFAULT_URL};

use super::{Failure, output, secret};

/// Where the server is, and who asks.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub struct Connect {
    /// The server: grpc://HOST:PORT, or grpc+tls://HOST:PORT with TLS.
    #[arg(long, env = "SKEIN_URL", default_value = DEFAULT_URL, hide_env_values = true)]
    pub url: String,
    /// Log in as this user; the password comes from SKEIN_PASSWORD, or is asked for.
    #[arg(short, long, env = "SKEIN_USER", hide_env_values = true)]
    pub user: Option<String>,
    /// Read an API token from this file. SKEIN_TOKEN holds one, too.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Trust the authorities in this PEM file instead of the system's.
    #[arg(long, value_name = "PEM", env = "SKEIN_CA", hide_env_values = true)]
    pub ca: Option<PathBuf>,
    /// Present this client certificate.
    #[arg(long, value_name = "PEM", requires = "key")]
    pub cert: Option<PathBuf>,
    /// The private key of --cert.
    #[arg(long, value_name = "PEM", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Expect this name in the server's certificate instead of the URL's host.
    #[arg(long, value_name = "NAME")]
    pub server_name: Option<String>,
    /// Give up connecting after so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub connect_timeout: u64,
}

impl Connect {
    /// Connects and logs in.
    pub async fn client(&self) -> Result<Client, Failure> {
        Ok(Client::connect(self.options()?).await?)
    }

    fn options(&self) -> Result<ConnectOptions, Failure> {
        let mut options = ConnectOptions::new(&self.url)
            .with_user_agent(concat!("skein-cli/", env!("CARGO_PKG_VERSION")))
            .with_connect_timeout(Duration::from_secs(self.connect_timeout));
        if let Some(ca) = &self.ca {
            options = options.with_ca(ca);
        }
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            options = options.with_client_cert(cert, key);
        }
        if let Some(name) = &self.server_name {
            options = options.with_server_name(name);
        }
        if let Some(token) = self.token()? {
            return Ok(options.with_token(token));
        }
        match &self.user {
            Some(user) => Ok(options.with_login(user, password(user)?)),
            None => Ok(options),
        }
    }

    /// A token wins over a user.
    fn token(&self) -> Result<Option<String>, Failure> {
        if let Some(path) = &self.token_file {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
            return Ok(Some(text.trim().to_owned()));
        }
        Ok(std::env::var("SKEIN_TOKEN").ok().filter(|token| !token.is_empty()))
    }
}

fn password(user: &str) -> Result<String, Failure> {
    if let Ok(password) = std::env::var("SKEIN_PASSWORD") {
        return Ok(password);
    }
    if !output::can_ask() {
        return Err(Failure::usage(format!("there is no password for {user}"))
            .hint("set SKEIN_PASSWORD, or run this where the password can be asked for"));
    }
    secret::prompt(&format!("Password of {user}:"))
}
