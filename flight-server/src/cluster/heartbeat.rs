//! How a worker makes itself known: it tells each coordinator again and again, and once more when it ends.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use serde_json::json;
use skein_client::{Client, ConnectOptions};
use skein_proto::Action;
use skein_query::distributed::Url;
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{Tasks, VERSION, connections::own_certificate};
use crate::config::Config;

/// How long coordinators may take to hear that a worker ends.
const GOODBYE: Duration = Duration::from_secs(2);

/// What a worker tells its coordinators.
#[derive(Debug)]
pub struct Heartbeat {
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

struct Sender {
    coordinator: ConnectOptions,
    url: Url,
    every: Duration,
    buckets: Vec<String>,
    tasks: Arc<Tasks>,
    stop: CancellationToken,
}

impl Heartbeat {
    /// Begins to tell the coordinators that `config` names that a worker listens on `address`.
    ///
    /// # Errors
    /// When there is no URL that others can reach it by.
    pub fn start(config: &Config, address: SocketAddr, tasks: &Arc<Tasks>) -> Result<Self, String> {
        let url = advertised(config, address)?;
        let (stop, mut all) = (CancellationToken::new(), JoinSet::new());
        let buckets = config.storage.effective_buckets().into_iter().map(|bucket| bucket.name).collect::<Vec<_>>();
        for coordinator in config.cluster.coordinators() {
            let sender = Sender {
                coordinator: options(config, &coordinator),
                url: url.clone(),
                every: config.cluster.heartbeat,
                buckets: buckets.clone(),
                tasks: Arc::clone(tasks),
                stop: stop.clone(),
            };
            all.spawn(sender.run());
        }
        tracing::info!(%url, coordinators = config.cluster.coordinators().len(), "this server is a worker");
        Ok(Self { tasks: all, stop })
    }

    /// Tells the coordinators that this worker takes no more work.
    pub async fn leave(mut self) {
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if timeout(GOODBYE, all).await.is_err() {
            tracing::warn!("not every coordinator could be told that this worker ends");
        }
    }
}

impl Sender {
    async fn run(self) {
        let mut client = None;
        let mut is_known = false;
        while !self.stop.is_cancelled() {
            match self.tell(&mut client, false).await {
                Ok(()) if !is_known => tracing::info!(coordinator = self.coordinator.url(), "registered"),
                Ok(()) => {}
                Err(error) => {
                    // The connection may be to a server that is gone.
                    client = None;
                    tracing::warn!(coordinator = self.coordinator.url(), %error, "this worker could not register");
                }
            }
            is_known = client.is_some();
            let _ = timeout(self.every, self.stop.cancelled()).await;
        }
        if let Err(error) = self.tell(&mut client, true).await {
            tracing::warn!(coordinator = self.coordinator.url(), %error, "this worker could not say that it ends");
        }
    }

    async fn tell(&self, client: &mut Option<Client>, leaving: bool) -> Result<(), skein_client::Error> {
        let client = match client {
            Some(client) => client,
            None => client.insert(Client::connect(self.coordinator.clone()).await?),
        };
        let request = json!({
            "url": self.url.as_str(),
            "version": VERSION,
            "running_tasks": self.tasks.running(),
            "heartbeat_ms": u64::try_from(self.every.as_millis()).unwrap_or(u64::MAX),
            "buckets": self.buckets,
            "leaving": leaving,
        });
        client.action(Action::WorkerRegister.name(), &request).await.map(drop)
    }
}

fn options(config: &Config, coordinator: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(coordinator).with_user_agent(format!("skein-worker/{VERSION}"));
    if let Some(secret) = &config.cluster.secret {
        options = options.with_token(secret.expose());
    }
    // Plain connections have no use for certificates, and say so.
    if !is_secure(coordinator) {
        return options;
    }
    if let Some(ca) = &config.cluster.ca {
        options = options.with_ca(ca);
    }
    match own_certificate(&config.tls) {
        Some((cert, key)) => options.with_client_cert(cert, key),
        None => options,
    }
}

fn is_secure(url: &str) -> bool {
    ["grpc+tls://", "grpcs://", "https://"].iter().any(|scheme| url.starts_with(scheme))
}

/// The URL that others reach this server by.
fn advertised(config: &Config, address: SocketAddr) -> Result<Url, String> {
    let text = match &config.cluster.advertise {
        Some(url) => url.clone(),
        None if address.ip().is_unspecified() => {
            return Err(format!(
                "cluster.advertise: others can't reach a worker at {address}; set the URL that they can"
            ));
        }
        None if config.tls.cert.is_some() => format!("grpc+tls://{address}"),
        None => format!("grpc://{address}"),
    };
    worker_url(&text).ok_or_else(|| format!("cluster.advertise: {text:?} is no URL such as grpc://host:8815"))
}

/// A worker's URL as it is called: with the scheme of HTTP, with a host, and without anything after the port.
pub(crate) fn worker_url(text: &str) -> Option<Url> {
    let (scheme, rest) = text.split_once("://")?;
    let scheme = match scheme {
        "grpc" | "grpc+tcp" | "http" => "http",
        "grpc+tls" | "grpcs" | "https" => "https",
        _ => return None,
    };
    let url: Url = format!("{scheme}://{rest}").parse().ok()?;
    let is_plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    (url.host_str().is_some_and(|host| !host.is_empty()) && is_plain).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_reached_by_a_plain_url() {
        assert_eq!(worker_url("grpc://w1:8815").unwrap().as_str(), "http://w1:8815/");
        assert_eq!(worker_url("grpc+tls://w1:8815").unwrap().as_str(), "https://w1:8815/");
        for wrong in ["", "w1:8815", "ftp://w1", "http://", "http://w1/path", "http://me@w1", "http://w1?x=1"] {
            assert!(worker_url(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_worker_that_listens_everywhere_has_to_say_where_it_is() {
        let mut config = Config::default();
        let everywhere = "0.0.0.0:8815".parse().unwrap();
        assert!(advertised(&config, everywhere).unwrap_err().contains("cluster.advertise"));
        config.cluster.advertise = Some("grpc://w1:8815".to_owned());
        assert_eq!(advertised(&config, everywhere).unwrap().as_str(), "http://w1:8815/");
    }
}
