//! TLS of the Flight port, and the refusal to listen without it where others can reach it.

use std::{io, path::Path, time::Duration};

use tonic::transport::{Certificate, Identity, ServerTlsConfig};

use crate::config::{AuthMode, Config, TlsConfig};

/// How long a client may take for the TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// Why TLS could not be set up, or why the server must not listen.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("tls.{key}: {path}: {source}; check the path and that the server's user may read it")]
    File {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: String,
        /// What went wrong.
        source: io::Error,
    },
    /// A file holds nothing of the kind it should.
    #[error("tls.{key}: {path} holds no PEM section '{expected}'")]
    NotPem {
        /// The configuration key.
        key: &'static str,
        /// The file.
        path: String,
        /// What was looked for.
        expected: &'static str,
    },
    /// One of two keys that belong together is missing.
    #[error("tls.{present} is set and tls.{missing} is not; set both or neither")]
    Half {
        /// The key that is there.
        present: &'static str,
        /// The key that is not.
        missing: &'static str,
    },
    /// The listener would be open to others without protection.
    #[error(
        "refusing to listen on {listen} without {what}: others can reach that address; set up {what}, listen on \
         127.0.0.1, or set server.allow_insecure_remote = true"
    )]
    Exposed {
        /// The address.
        listen: std::net::SocketAddr,
        /// What is missing.
        what: &'static str,
    },
}

/// Refuses an address that others can reach without login or without TLS.
///
/// # Errors
/// [`TlsError::Exposed`].
pub fn check_exposure(config: &Config) -> Result<(), TlsError> {
    if config.is_loopback() || config.server.allow_insecure_remote {
        return Ok(());
    }
    let what = match (matches!(config.auth.mode, AuthMode::None), config.tls.cert.is_none()) {
        (true, true) => "login and TLS",
        (true, false) => "login",
        (false, true) => "TLS",
        (false, false) => return Ok(()),
    };
    Err(TlsError::Exposed { listen: config.server.listen, what })
}

/// The TLS set-up of the listener; None when the configuration names no certificate.
///
/// # Errors
/// When a file can't be read or is not PEM, or a key is missing.
pub fn server_config(config: &TlsConfig) -> Result<Option<ServerTlsConfig>, TlsError> {
    let (cert, key) = match (&config.cert, &config.key) {
        (None, None) => {
            return match (&config.client_ca, config.require_client_cert) {
                (Some(_), _) => Err(TlsError::Half { present: "client_ca", missing: "cert" }),
                (None, true) => Err(TlsError::Half { present: "require_client_cert", missing: "cert" }),
                (None, false) => Ok(None),
            };
        }
        (Some(_), None) => return Err(TlsError::Half { present: "cert", missing: "key" }),
        (None, Some(_)) => return Err(TlsError::Half { present: "key", missing: "cert" }),
        (Some(cert), Some(key)) => (cert, key),
    };
    let identity =
        Identity::from_pem(read_pem("cert", cert, "BEGIN CERTIFICATE")?, read_pem("key", key, "PRIVATE KEY")?);
    let mut tls = ServerTlsConfig::new().identity(identity).timeout(HANDSHAKE);
    match &config.client_ca {
        Some(ca) => {
            let root = Certificate::from_pem(read_pem("client_ca", ca, "BEGIN CERTIFICATE")?);
            tls = tls.client_ca_root(root).client_auth_optional(!config.require_client_cert);
        }
        None if config.require_client_cert => {
            return Err(TlsError::Half { present: "require_client_cert", missing: "client_ca" });
        }
        None => {}
    }
    Ok(Some(tls))
}

fn read_pem(key: &'static str, path: &Path, expected: &'static str) -> Result<Vec<u8>, TlsError> {
    let name = || path.display().to_string();
    let bytes = std::fs::read(path).map_err(|source| TlsError::File { key, path: name(), source })?;
    if String::from_utf8_lossy(&bytes).contains(expected) {
        Ok(bytes)
    } else {
        Err(TlsError::NotPem { key, path: name(), expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_configuration_names_the_missing_key() {
        let config = TlsConfig { cert: Some("cert.pem".into()), ..TlsConfig::default() };
        assert_eq!(
            server_config(&config).unwrap_err().to_string(),
            "tls.cert is set and tls.key is not; set both or neither"
        );
        assert!(server_config(&TlsConfig::default()).unwrap().is_none());
    }

    #[test]
    fn an_open_address_needs_login_and_tls() {
        let mut config = Config::default();
        assert!(check_exposure(&config).is_ok());
        config.server.listen = "0.0.0.0:8815".parse().unwrap();
        assert!(check_exposure(&config).unwrap_err().to_string().contains("without TLS"));
        config.auth.mode = AuthMode::None;
        assert!(check_exposure(&config).unwrap_err().to_string().contains("login and TLS"));
        config.server.allow_insecure_remote = true;
        assert!(check_exposure(&config).is_ok());
    }
}
