//! The HTTP/2 connection: TLS, window sizes, keep-alive.

use std::{path::Path, time::Duration};

use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::{ConnectOptions, Error, Result, options::Target};

/// A stream's throughput is capped at window / round trip, so windows are large.
const STREAM_WINDOW: u32 = 32 << 20;
const CONNECTION_WINDOW: u32 = 64 << 20;
/// Larger frames mean fewer of them to take apart.
const FRAME: u32 = 1 << 20;

/// Connects, or says why not.
pub(crate) async fn connect(options: &ConnectOptions) -> Result<Channel> {
    let target = options.target()?;
    let endpoint = endpoint(options, &target)?;
    endpoint
        .connect()
        .await
        .map_err(|error| Error::Connect { url: options.url.clone(), reason: without_noise(&Error::chain(&error)) })
}

fn endpoint(options: &ConnectOptions, target: &Target) -> Result<Endpoint> {
    let scheme = if target.tls { "https" } else { "http" };
    let invalid = |error: tonic::transport::Error| {
        Error::Options(format!("cannot use {:?}: {}", options.url, without_noise(&Error::chain(&error))))
    };
    let mut endpoint = Endpoint::from_shared(format!("{scheme}://{}", target.authority))
        .and_then(|endpoint| endpoint.user_agent(options.user_agent.clone()))
        .map_err(invalid)?
        .connect_timeout(options.connect_timeout)
        .tcp_nodelay(true)
        .tcp_keepalive(Some(Duration::from_secs(60)))
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(30))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_frame_size(FRAME);
    if target.tls {
        endpoint = endpoint.tls_config(tls(options)?).map_err(invalid)?;
    } else if options.ca.is_some() || options.cert.is_some() {
        return Err(Error::Options(format!(
            "certificates are given but {:?} does not use TLS; write grpc+tls://{}",
            options.url, target.authority
        )));
    }
    Ok(endpoint)
}

fn tls(options: &ConnectOptions) -> Result<ClientTlsConfig> {
    let mut config = match &options.ca {
        Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(read(ca)?)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    config = match (&options.cert, &options.key) {
        (Some(cert), Some(key)) => config.identity(Identity::from_pem(read(cert)?, read(key)?)),
        (None, None) => config,
        _ => return Err(Error::Options("a client certificate and its key must be given together".to_owned())),
    };
    Ok(match &options.server_name {
        Some(name) => config.domain_name(name),
        None => config,
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| Error::Options(format!("cannot read {}: {error}", path.display())))
}

/// Drops the wrappers' own words, which say nothing.
fn without_noise(reason: &str) -> String {
    let noise = ["transport error: ", "tcp connect error: ", "client error (Connect): "];
    noise.iter().fold(reason.to_owned(), |text, word| text.replace(word, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_listening_is_a_connection_error() {
        let error = connect(&ConnectOptions::new("grpc://127.0.0.1:1")).await.unwrap_err();
        assert!(error.is_connection(), "{error}");
        let text = error.to_string();
        assert!(text.starts_with("cannot connect to grpc://127.0.0.1:1: ") && text.contains("refused"), "{text}");
        assert!(!text.contains("transport error"), "{text}");
    }

    #[tokio::test]
    async fn certificates_without_tls_are_a_mistake() {
        let options = ConnectOptions::new("grpc://h:1").with_ca("ca.pem");
        assert!(connect(&options).await.unwrap_err().to_string().contains("write grpc+tls://h:1"));
    }
}
