//! A coordinator and its workers as processes of their own.

use std::{path::Path, process::Command, time::Duration};

use tonic::{Code, transport::Endpoint};

use crate::{
    distributed::{ENDLESS, QUERIES, fill, plan_of, sorted},
    support::{Client, process::Process},
};

const SECRET: (&str, &str) = ("SKEIN__CLUSTER__SECRET", "a secret of all servers of a cluster");

/// Ends the process, however the test ends.
struct Server(Process);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.process.kill();
        let _ = self.0.process.wait();
    }
}

impl Server {
    fn coordinator(data: &Path) -> Self {
        Self(Process::serve(data, &["--set", "ingest.row_group_rows=500"], &[SECRET]))
    }

    fn worker(data: &Path, coordinator: &Self) -> Self {
        let coordinators = format!("cluster.coordinators={}", coordinator.0.url);
        let arguments = ["--role", "worker", "--set", &coordinators, "--set", "cluster.heartbeat=200ms"];
        Self(Process::serve(data, &arguments, &[SECRET]))
    }

    /// Its URL as errors and `system.workers` have it.
    fn http(&self) -> String {
        self.0.url.replace("grpc://", "http://")
    }

    async fn client(&self) -> Client {
        Client::new(Endpoint::from_shared(self.http()).unwrap().connect().await.unwrap())
    }

    fn terminate(mut self) -> Option<i32> {
        let pid = self.0.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.0.process.wait().unwrap().code()
    }
}

/// Waits until a query of one number gives it.
async fn until(client: &mut Client, sql: &str, expected: &str) {
    let mut rows = String::new();
    for _ in 0..600 {
        rows = client.rows(sql).await.unwrap();
        if rows == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{sql}: {rows}, and {expected} is expected");
}

const WORKERS: &str = "select count(*) from system.workers";

#[tokio::test(flavor = "multi_thread")]
async fn three_processes_answer_as_one_and_a_killed_worker_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let coordinator = Server::coordinator(&data);
    let workers = [Server::worker(&data, &coordinator), Server::worker(&data, &coordinator)];
    let (mut one, mut many) = (coordinator.client().await, coordinator.client().await);
    until(&mut one, WORKERS, "2").await;
    one.update("set distributed = 'never'").await.unwrap();
    many.update("set distributed = 'always'").await.unwrap();
    fill(&mut one).await;
    one.update("delete from lines where id % 7 = 0").await.unwrap();
    for (sql, _) in QUERIES {
        assert_eq!(sorted(&mut many, sql).await, sorted(&mut one, sql).await, "{sql}");
    }

    // One is killed while it works.
    assert!(plan_of(&mut many, ENDLESS).await.contains("Stage"));
    let mut other = many.clone();
    let reading = tokio::spawn(async move { other.query(ENDLESS).await.map(drop) });
    until(&mut one, "select count(*) from system.workers where running_tasks > 0", "2").await;
    let [killed, left] = workers;
    let url = killed.http();
    drop(killed);
    let status = reading.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(status.message().contains(&url) && status.message().contains("again"), "{status}");
    until(&mut one, WORKERS, "1").await;
    until(&mut one, "select count(*) from system.workers where running_tasks = 0", "1").await;

    // The same statements again, on who is left; and with a new one beside it.
    let (sql, _) = QUERIES[6];
    let expected = sorted(&mut one, sql).await;
    assert_eq!(sorted(&mut many, sql).await, expected);
    let again = Server::worker(&data, &coordinator);
    until(&mut one, WORKERS, "2").await;
    assert_eq!(sorted(&mut many, sql).await, expected);

    // One that is told to end says so before it does; then everything runs here.
    assert_eq!(again.terminate(), Some(0));
    until(&mut one, WORKERS, "1").await;
    assert_eq!(sorted(&mut many, sql).await, expected);
    assert_eq!(left.terminate(), Some(0));
    until(&mut one, WORKERS, "0").await;
    assert_eq!(sorted(&mut many, sql).await, expected);
    assert_eq!(coordinator.terminate(), Some(0));
}
