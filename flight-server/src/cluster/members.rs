//! The workers that a coordinator knows.

use std::{collections::HashMap, error::Error as StdError, sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::BoxFuture;
use parking_lot::RwLock;
use skein_model::Clock;
use skein_query::distributed::{Channel, Cluster, Failure, Url, WorkerInfo};

use super::{Connections, failure};

/// Workers that are kept; one more is refused. A mistake makes many, a cluster of this engine never does.
const MOST: usize = 1024;
/// A worker that has missed so many heartbeats is gone.
const MISSED: i32 = 3;
/// Heartbeats are no rarer than this, whatever a worker says.
const RAREST: Duration = Duration::from_secs(60);

/// What a worker says of itself.
#[derive(Debug, Clone)]
pub struct Registration {
    /// Where it is reached.
    pub url: Url,
    /// Its version.
    pub version: String,
    /// Tasks that run on it.
    pub tasks: u64,
    /// When it will be heard of again.
    pub heartbeat: Duration,
}

#[derive(Debug)]
struct Member {
    info: WorkerInfo,
    expires: DateTime<Utc>,
}

/// The workers of a coordinator, and the connections to workers of either side.
#[derive(Debug)]
pub struct Members {
    clock: Arc<dyn Clock>,
    connections: Connections,
    workers: RwLock<HashMap<Url, Member>>,
}

impl Members {
    /// Nobody yet.
    pub fn new(connections: Connections, clock: Arc<dyn Clock>) -> Self {
        Self { clock, connections, workers: RwLock::default() }
    }

    /// A worker was heard of. False when there are too many to keep another one.
    pub fn heard_of(&self, worker: Registration) -> bool {
        let now = self.clock.now();
        let lasts = worker.heartbeat.min(RAREST).saturating_mul(MISSED.unsigned_abs());
        let expires = now + TimeDelta::from_std(lasts).unwrap_or(TimeDelta::MAX);
        let mut workers = self.workers.write();
        workers.retain(|_, member| member.expires > now);
        if !workers.contains_key(&worker.url) {
            if workers.len() >= MOST {
                return false;
            }
            tracing::info!(worker = %worker.url, version = worker.version, "a worker has registered");
        }
        let since = workers.get(&worker.url).map_or(now, |known| known.info.since);
        let Registration { url, version, tasks, .. } = worker;
        let info = WorkerInfo { url: url.clone(), since, last_heartbeat: now, version, tasks };
        workers.insert(url, Member { info, expires });
        true
    }

    /// A worker has said that it ends.
    pub fn leaves(&self, worker: &Url) {
        if self.workers.write().remove(worker).is_some() {
            tracing::info!(%worker, "a worker has left");
        }
    }
}

impl Cluster for Members {
    fn workers(&self) -> Vec<WorkerInfo> {
        let now = self.clock.now();
        let alive = |member: &Member| (member.expires > now).then(|| member.info.clone());
        let mut workers: Vec<_> = self.workers.read().values().filter_map(alive).collect();
        workers.sort_by(|one, other| one.url.cmp(&other.url));
        workers
    }

    fn channel<'a>(&'a self, worker: &'a Url) -> BoxFuture<'a, Result<Channel, Box<dyn StdError + Send + Sync>>> {
        Box::pin(self.connections.to(worker))
    }

    fn failure(&self, error: &(dyn StdError + 'static)) -> Failure {
        failure::of(error)
    }

    fn lost(&self, worker: &Url, why: &str) {
        self.connections.close(worker);
        if self.workers.write().remove(worker).is_some() {
            tracing::warn!(%worker, why, "a worker was lost; it gets no work until it is heard of again");
        }
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::config::{ClusterConfig, TlsConfig};

    #[derive(Debug)]
    struct Hand(Mutex<DateTime<Utc>>);

    impl Clock for Hand {
        fn now(&self) -> DateTime<Utc> {
            *self.0.lock()
        }
    }

    fn worker(url: &str) -> Registration {
        let heartbeat = Duration::from_secs(2);
        Registration { url: url.parse().unwrap(), version: "1".to_owned(), tasks: 3, heartbeat }
    }

    #[test]
    fn a_worker_that_is_not_heard_of_disappears() {
        let clock = Arc::new(Hand(Mutex::new(Utc::now())));
        let connections = Connections::new(&ClusterConfig::default(), &TlsConfig::default()).unwrap();
        let members = Members::new(connections, Arc::clone(&clock) as Arc<dyn Clock>);
        assert!(members.heard_of(worker("http://b:1")) && members.heard_of(worker("http://a:1")));
        let urls: Vec<_> = members.workers().iter().map(|worker| worker.url.to_string()).collect();
        assert_eq!(urls, ["http://a:1/", "http://b:1/"]);

        *clock.0.lock() += TimeDelta::seconds(5);
        assert!(members.heard_of(worker("http://a:1")));
        *clock.0.lock() += TimeDelta::seconds(2);
        let left = members.workers();
        assert_eq!((left.len(), left[0].last_heartbeat - left[0].since), (1, TimeDelta::seconds(5)));

        members.lost(&left[0].url, "gone");
        assert!(members.workers().is_empty());
        assert!(members.heard_of(worker("http://a:1")) && members.workers().len() == 1);
        members.leaves(&left[0].url);
        assert!(members.workers().is_empty());
    }
}
