//! A table whose files can be held back one by one, so that a test decides how far a query gets.

use std::{collections::HashSet, sync::Arc};

use arrow_flight::PollInfo;
use skein_flight_server::config::{Auto, Config};
use skein_storage::{
    Bucket, Buckets,
    fault::{FaultStore, Op},
};

use super::{
    Client,
    server::{TestServer, shared_secret},
};

/// Rows of each of the four files.
const ROWS: i64 = 60_000;

/// `t`, with `a` from 1 on and a text `s`, in four files in a store in memory.
pub struct HeldTable {
    pub server: TestServer,
    pub store: Arc<FaultStore>,
    buckets: Buckets,
    files: Vec<String>,
}

impl HeldTable {
    pub const ROWS: i64 = 4 * ROWS;

    pub async fn new() -> Self {
        let store = FaultStore::new(Bucket::in_memory("inner").store());
        let buckets = Buckets::new(vec![Bucket::from_store("held", store.clone())]).unwrap();
        let server = Self::serve(&buckets).await;
        let mut client = server.client().await;
        let mut files = Vec::new();
        for (verb, n) in ["create table t as", "insert into t", "insert into t", "insert into t"].iter().zip(0..) {
            let (first, last) = (n * ROWS + 1, (n + 1) * ROWS);
            store.take_calls();
            let rows = format!("select v as a, md5(concat('x', v)) as s from generate_series({first}, {last}) as g(v)");
            client.update(&format!("{verb} {rows}")).await.unwrap();
            let written: HashSet<_> = store.take_calls().into_iter().map(|call| call.key).collect();
            files.extend(written.into_iter().filter(|key| key.ends_with(".parquet")));
        }
        assert_eq!(files.len(), 4);
        Self { server, store, buckets, files }
    }

    async fn serve(buckets: &Buckets) -> TestServer {
        let configure = |config: &mut Config| {
            shared_secret(config);
            config.query.target_partitions = Auto::Set(4);
        };
        TestServer::over_with(buckets.clone(), configure).await
    }

    /// From now on these files cannot be read, and the others can.
    pub fn hold(&self, files: impl IntoIterator<Item = usize>) {
        self.store.hold_these(Op::Get, files.into_iter().map(|n| self.files[n].clone()));
    }

    /// Stops the server and starts another one over the same table, which knows nothing of what the first one did.
    pub async fn restart(self) -> Self {
        self.server.running.shutdown();
        self.server.running.wait().await.unwrap();
        let server = Self::serve(&self.buckets).await;
        Self { server, ..self }
    }

    /// Polls until there are so many endpoints.
    pub async fn until(&self, client: &mut Client, mut poll: PollInfo, endpoints: usize) -> PollInfo {
        while poll.info.as_ref().unwrap().endpoint.len() < endpoints {
            let next = client.poll(poll.flight_descriptor.clone().unwrap()).await.unwrap();
            let (before, after) = (poll.info.as_ref().unwrap(), next.info.as_ref().unwrap());
            assert!(after.endpoint.starts_with(&before.endpoint), "what was there is there, as it was");
            poll = next;
        }
        poll
    }
}
