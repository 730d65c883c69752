//! A server that dies while it builds an index: the next one builds it, nothing half is live, and searches are right all along.

use std::{path::Path, time::Duration};

use arrow::{array::AsArray, datatypes::Int64Type};
use serde_json::{Value, json};
use skein_client::{Client, ConnectOptions};

use crate::support::process::Process;

async fn serve(data: &Path, dies_at: &str) -> (Process, Client) {
    let server = Process::serve(data, &[], &[("SKEIN_CRASH_AT", dies_at), ("SKEIN__CATALOG__REFRESH", "0ms")]);
    let client = Client::connect(ConnectOptions::new(server.url.clone())).await.unwrap();
    (server, client)
}

async fn nearest(client: &Client) -> Vec<i64> {
    let sql = "select id from t order by l2_distance(e, [10.2, 0]) limit 3";
    let batches = client.query(sql).await.unwrap().collect().await.unwrap();
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

async fn search(client: &Client) -> Value {
    let request = json!({"dataset": "t", "vectors": [{"values": [10.2, 0]}], "k": 3, "columns": ["id"]});
    client.action("vector.search", &request).await.unwrap()
}

async fn text(client: &Client, sql: &str) -> Vec<String> {
    let batches = client.query(sql).await.unwrap().collect().await.unwrap();
    let column = |batch: &arrow::array::RecordBatch| {
        let text = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8).unwrap();
        text.as_string::<i32>().iter().map(|value| value.unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    batches.iter().flat_map(column).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_whose_server_died_is_done_by_the_next() {
    for point in ["index.built", "index.written", "index.listed"] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let (mut server, client) = serve(&data, point).await;
        client.update("create table t (id bigint, e float[2])").await.unwrap();
        client.update("insert into t select v, [v, 0] from generate_series(0, 499) as g(v)").await.unwrap();
        let build = json!({"dataset": "t", "column": "e", "name": "i", "wait": true});
        assert!(client.action("index.create", &build).await.is_err(), "{point} was not reached");
        assert!(!server.process.wait().unwrap().success());

        let (mut server, client) = serve(&data, "").await;
        assert_eq!(nearest(&client).await, [10, 11, 9], "without the index");
        assert_eq!(text(&client, "select live_generation from system.indexes").await, [""]);
        // Whoever does not want to wait until the dead server's lease is over builds it now.
        let built = client.action("index.rebuild", &json!({"name": "i", "wait": true})).await.unwrap();
        assert!(built["job"].as_str().is_some_and(|job| !job.is_empty()), "{built}");
        assert_eq!(nearest(&client).await, [10, 11, 9]);
        let answer = search(&client).await;
        assert_eq!((answer["index"].as_str(), answer["strategy"].as_str()), (Some("public.i"), Some("index")));
        let report = client.action("dataset.verify", &json!({"deep": true})).await.unwrap();
        assert_eq!(report["findings"], json!([]), "{point}");
        server.process.kill().unwrap();
        server.process.wait().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_server_is_not_heard_of_is_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (mut server, client) = serve(&data, "index.built").await;
    client.update("create table t (id bigint, e float[2])").await.unwrap();
    client.update("insert into t select v, [v, 0] from generate_series(0, 99) as g(v)").await.unwrap();
    let _ = client.action("index.create", &json!({"dataset": "t", "column": "e", "name": "i", "wait": true})).await;
    server.process.wait().unwrap();
    let (mut server, client) = serve(&data, "").await;
    // The lease of the dead server has to be over first.
    for _ in 0..240 {
        if text(&client, "select state from system.jobs").await == ["succeeded"] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(text(&client, "select state from system.jobs").await, ["succeeded"]);
    assert_eq!(text(&client, "select attempts from system.jobs").await, ["2"]);
    assert_eq!(search(&client).await["index"], "public.i");
    server.process.kill().unwrap();
    server.process.wait().unwrap();
}
