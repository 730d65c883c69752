//! The server under test.

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use skein_flight_server::{
    config::{Config, Sources},
    server::Running,
};
use skein_model::{ManualClock, SystemClock};
use skein_storage::{Bucket, Buckets};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tonic::transport::{Channel, Endpoint};

use super::Client;

/// A server on ports of its own, with its data in a temporary folder.
pub struct TestServer {
    pub running: Running,
    config: Config,
    folder: TempDir,
}

impl TestServer {
    /// A server as `skein serve` makes it without any configuration.
    pub async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// A server over buckets of the test's own making.
    pub async fn over(buckets: Buckets) -> Self {
        Self::over_with(buckets, |_| {}).await
    }

    /// As [`TestServer::over`], with a configuration that `change` has changed.
    pub async fn over_with(buckets: Buckets, change: impl FnOnce(&mut Config)) -> Self {
        let (folder, config) = Self::configure(change);
        let running = Running::start_over(config.clone(), buckets, Arc::new(SystemClock)).await.unwrap();
        Self { running, config, folder }
    }

    /// A server whose time a test can move.
    pub async fn at(clock: &ManualClock, change: impl FnOnce(&mut Config)) -> Self {
        let (folder, config) = Self::configure(change);
        let bucket = Bucket::open(config.storage.effective_buckets().remove(0)).await.unwrap();
        let buckets = Buckets::new(vec![bucket]).unwrap();
        let running = Running::start_over(config.clone(), buckets, Arc::new(clock.clone())).await.unwrap();
        Self { running, config, folder }
    }

    /// A server whose configuration `change` has changed.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let (folder, config) = Self::configure(change);
        let running = Running::start(config.clone()).await.unwrap();
        Self { running, config, folder }
    }

    /// Another server over the same folder, which this one has to have the shared secret for.
    pub async fn beside(&self) -> Self {
        let data = self.data().to_owned();
        Self::with(|config| {
            shared_secret(config);
            config.storage.data = data;
        })
        .await
    }

    fn configure(change: impl FnOnce(&mut Config)) -> (TempDir, Config) {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.server.listen = "127.0.0.1:0".parse().unwrap();
        config.server.http_listen = Some("127.0.0.1:0".parse().unwrap());
        config.server.drain_timeout = Duration::from_secs(5);
        config.storage.data = folder.path().join("data");
        change(&mut config);
        (folder, config)
    }

    /// Stops it and starts it again over the same folder, on another port.
    pub async fn restart(self) -> Self {
        self.running.shutdown();
        self.running.wait().await.unwrap();
        let running = Running::start(self.config.clone()).await.unwrap();
        Self { running, config: self.config, folder: self.folder }
    }

    pub fn address(&self) -> SocketAddr {
        self.running.local_addr()
    }

    /// Where its local bucket is.
    pub fn data(&self) -> &Path {
        &self.config.storage.data
    }

    /// A folder beside the data, for files of the test.
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// A new connection.
    pub async fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.address())).unwrap().connect().await.unwrap()
    }

    /// A client without credentials, on a connection of its own.
    pub async fn client(&self) -> Client {
        Client::new(self.channel().await)
    }

    /// A client logged in as an administrator; creates that user, which turns login on.
    pub async fn admin(&self) -> Client {
        let mut first = self.client().await;
        let body = serde_json::json!({"name": "root", "password": "a long password", "admin": true});
        first.action("user.create", &body).await.unwrap();
        self.client().await.basic("root", "a long password")
    }

    /// The file names below `tables/` that end in `suffix`.
    pub fn files(&self, suffix: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.data().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.to_string_lossy().ends_with(suffix) {
                    found.push(path.to_string_lossy().into_owned());
                }
            }
        }
        found
    }

    /// GET of a path of the HTTP port.
    pub async fn http(&self, path: &str) -> (u16, String) {
        http_get(self.running.http_addr().unwrap(), path).await
    }
}

/// The secret of all servers that are to take each other's tickets and sessions.
pub fn shared_secret(config: &mut Config) {
    let text = "[server]\nticket_secret = \"0123456789abcdef0123456789abcdef\"";
    let loaded = Config::load(&Sources::default().with_text("test", text)).unwrap();
    config.server.ticket_secret = loaded.config.server.ticket_secret;
}

/// A GET without an HTTP client: status and body.
pub async fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

/// A TCP connection to `server` that can be pulled out.
pub async fn cable(server: SocketAddr) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let (mut near, _) = listener.accept().await.unwrap();
        let mut far = TcpStream::connect(server).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    });
    (address, task)
}
