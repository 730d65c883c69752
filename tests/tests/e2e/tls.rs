//! TLS and client certificates.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use skein_flight_server::{config::Config, server::Running};
use tonic::{
    Code,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity},
};

use crate::support::{Client, TestServer};

/// An authority, and the folder its files are in.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Test authority");
        Self { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap() }
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for `localhost` with the common name `name` (none when empty), and its key.
    fn issue(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if !name.is_empty() {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub fn configure(&self, folder: &Path, config: &mut Config) {
        let (certificate, key) = self.issue("server");
        std::fs::create_dir_all(folder).unwrap();
        for (name, text) in [("ca.pem", self.pem()), ("cert.pem", certificate), ("key.pem", key)] {
            std::fs::write(folder.join(name), text).unwrap();
        }
        config.tls.cert = Some(folder.join("cert.pem"));
        config.tls.key = Some(folder.join("key.pem"));
    }

    pub async fn connect(&self, server: &TestServer, identity: Option<(String, String)>) -> Result<Channel, String> {
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(self.pem())).domain_name("localhost");
        if let Some((certificate, key)) = identity {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        let endpoint = Endpoint::from_shared(format!("https://{}", server.address())).unwrap();
        endpoint.tls_config(tls).unwrap().connect().await.map_err(|error| error.to_string())
    }
}

#[tokio::test]
async fn a_client_that_trusts_the_authority_gets_in_and_plain_text_does_not() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let server = TestServer::with(|config| authority.configure(folder.path(), config)).await;
    Client::new(authority.connect(&server, None).await.unwrap()).check_alive().await;
    let stranger = Authority::new();
    assert!(stranger.connect(&server, None).await.is_err());
    let plain = Endpoint::from_shared(format!("http://{}", server.address())).unwrap().connect().await;
    if let Ok(channel) = plain {
        assert!(Client::new(channel).rows("select 1").await.is_err());
    }
}

#[tokio::test]
async fn the_common_name_of_a_certificate_is_the_principal() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let server = TestServer::with(|config| {
        authority.configure(folder.path(), config);
        config.tls.client_ca = Some(folder.path().join("ca.pem"));
        config.auth.mode = skein_flight_server::config::AuthMode::Required;
    })
    .await;
    let mut ada = Client::new(authority.connect(&server, Some(authority.issue("ada"))).await.unwrap());
    assert_eq!(ada.rows("select principal from system.sessions").await.unwrap(), "ada");
    let status = ada.action("dataset.gc", &serde_json::json!({})).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "a certificate does not make an administrator");

    // Without a certificate one may connect, and then has to log in.
    let mut nobody = Client::new(authority.connect(&server, None).await.unwrap());
    assert_eq!(nobody.rows("select 1").await.unwrap_err().code(), Code::Unauthenticated);
    let mut nameless = Client::new(authority.connect(&server, Some(authority.issue(""))).await.unwrap());
    let status = nameless.rows("select 1").await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("common name"), "{}", status.message());

    // A certificate of somebody else's authority is worth nothing.
    let forged = Authority::new().issue("ada");
    if let Ok(channel) = authority.connect(&server, Some(forged)).await {
        assert!(Client::new(channel).rows("select 1").await.is_err());
    }
}

#[tokio::test]
async fn a_certificate_can_be_required() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let server = TestServer::with(|config| {
        authority.configure(folder.path(), config);
        config.tls.client_ca = Some(folder.path().join("ca.pem"));
        config.tls.require_client_cert = true;
    })
    .await;
    if let Ok(channel) = authority.connect(&server, None).await {
        assert!(Client::new(channel).rows("select 1").await.is_err());
    }
    let with = authority.connect(&server, Some(authority.issue("ada"))).await.unwrap();
    Client::new(with).check_alive().await;
}

#[tokio::test]
async fn beyond_loopback_login_and_tls_are_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.server.listen = "0.0.0.0:0".parse().unwrap();
    config.server.http_listen = None;
    config.storage.data = folder.path().join("data");
    let refused = Running::start(config.clone()).await.err().unwrap().to_string();
    assert!(refused.contains("TLS") && refused.contains("allow_insecure_remote"), "{refused}");

    let authority = Authority::new();
    authority.configure(folder.path(), &mut config);
    let running = Running::start(config.clone()).await.unwrap();
    running.shutdown();
    running.wait().await.unwrap();
    config.auth.mode = skein_flight_server::config::AuthMode::None;
    let refused = Running::start(config.clone()).await.err().unwrap().to_string();
    assert!(refused.contains("login"), "{refused}");

    config.tls = Default::default();
    config.server.allow_insecure_remote = true;
    let running = Running::start(config).await.unwrap();
    running.shutdown();
    running.wait().await.unwrap();
}
