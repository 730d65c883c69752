//! Servers that divide statements among them.

use std::time::Duration;

use skein_flight_server::config::{Config, Role, Sources};

use super::{Client, TestServer};

/// A secret that the servers of a cluster share.
pub fn secret(config: &mut Config, text: &str) {
    let text = format!("[cluster]\nsecret = \"{text}\"");
    config.cluster.secret = Config::load(&Sources::default().with_text("test", &text)).unwrap().config.cluster.secret;
}

/// The secret of those that [`Cluster`] starts.
pub const SECRET: &str = "a secret of all servers of a cluster";

/// A coordinator with workers over its data.
pub struct Cluster {
    pub coordinator: TestServer,
    pub workers: Vec<TestServer>,
}

impl Cluster {
    pub async fn start(workers: usize) -> Self {
        let coordinator = TestServer::with(|config| {
            secret(config, SECRET);
            config.ingest.row_group_rows = 500;
            config.query.target_partitions = skein_flight_server::config::Auto::Set(3);
        })
        .await;
        let mut cluster = Self { coordinator, workers: Vec::new() };
        for _ in 0..workers {
            let worker = cluster.worker(|_| {}).await;
            cluster.workers.push(worker);
        }
        cluster.wait_for(workers).await;
        cluster
    }

    pub async fn worker(&self, change: impl FnOnce(&mut Config)) -> TestServer {
        let (data, address) = (self.coordinator.data().to_owned(), self.coordinator.address());
        TestServer::with(|config| {
            secret(config, SECRET);
            config.server.role = Role::Worker;
            config.cluster.coordinators = Some(format!("grpc://{address}"));
            config.cluster.heartbeat = Duration::from_millis(200);
            config.storage.data = data;
            change(config);
        })
        .await
    }

    pub async fn wait_for(&self, workers: usize) {
        for _ in 0..600 {
            if self.coordinator.running.state().engine.workers().len() == workers {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{workers} workers are expected: {:?}", self.coordinator.running.state().engine.workers());
    }

    /// A client whose statements run on workers wherever they can.
    pub async fn client(&self) -> Client {
        let mut client = self.coordinator.client().await;
        client.update("set distributed = 'always'").await.unwrap();
        client
    }

    /// The work on all workers has ended, and given back its memory.
    pub async fn is_idle(&self) {
        let busy = |server: &TestServer| {
            let state = server.running.state();
            (state.tasks.running(), state.in_flight.count(), state.engine.memory_reserved())
        };
        for _ in 0..600 {
            if self.workers.iter().all(|worker| busy(worker) == (0, 0, 0)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("still at work: {:?}", self.workers.iter().map(busy).collect::<Vec<_>>());
    }
}
