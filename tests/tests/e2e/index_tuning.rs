//! A server that dies while it tunes an index: the index is as it was, and the next one tunes it.

use std::time::Duration;

use serde_json::{Value, json};
use skein_client::{Client, ConnectOptions};

use crate::support::process::Process;

async fn text(client: &Client, sql: &str) -> Vec<String> {
    let batches = client.query(sql).await.unwrap().collect().await.unwrap();
    let column = |batch: &arrow::array::RecordBatch| {
        let text = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8).unwrap();
        let text = arrow::array::AsArray::as_string::<i32>(&text);
        text.iter().map(|value| value.unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    batches.iter().flat_map(column).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_while_it_tunes_leaves_the_index_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let serve = async |dies_at: &str| {
        let server = Process::serve(&data, &[], &[("SKEIN_CRASH_AT", dies_at), ("SKEIN__CATALOG__REFRESH", "0ms")]);
        let client = Client::connect(ConnectOptions::new(server.url.clone())).await.unwrap();
        (server, client)
    };
    let (mut server, client) = serve("").await;
    client.update("create table t (id bigint, e float[4])").await.unwrap();
    let rows = "select v, [cos(v), sin(v), cos(v * 7) / 4, sin(v * 11) / 4] from generate_series(0, 599) as g(v)";
    client.update(&format!("insert into t {rows}")).await.unwrap();
    let build =
        json!({"dataset": "t", "column": "e", "name": "i", "kind": "factory", "factory": "PQ1x4np", "wait": true});
    client.action("index.create", &build).await.unwrap();
    let live = text(&client, "select live_generation from system.indexes").await;
    server.process.kill().unwrap();
    server.process.wait().unwrap();

    // What is taken is built at the end of the job.
    let (mut server, client) = serve("index.built").await;
    let tune = json!({"name": "i", "recall_floor": 0.9, "candidates": [{"kind": "hnsw"}], "wait": true});
    assert!(client.action("index.autotune", &tune).await.is_err(), "it was not built");
    assert!(!server.process.wait().unwrap().success());

    let (mut server, client) = serve("").await;
    assert_eq!(text(&client, "select live_generation from system.indexes").await, live);
    let state = "select state from system.jobs where kind = 'index.autotune'";
    // The lease of the dead server has to be over first.
    for _ in 0..240 {
        if text(&client, state).await == ["succeeded"] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(text(&client, state).await, ["succeeded"]);
    let result = text(&client, "select result from system.jobs where kind = 'index.autotune'").await;
    let result: Value = serde_json::from_str(&result[0]).unwrap();
    assert_eq!(result["changed"], true, "{result}");
    assert_ne!(text(&client, "select live_generation from system.indexes").await, live);
    server.process.kill().unwrap();
    server.process.wait().unwrap();
}
