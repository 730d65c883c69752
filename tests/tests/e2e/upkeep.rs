//! Upkeep in the background: what it does by itself, what it shows, and that it ends.

use std::time::Duration;

use arrow::{array::AsArray, datatypes::Int64Type};
use chrono::{TimeDelta, Utc};
use serde_json::json;
use skein_client::ConnectOptions;
use skein_model::ManualClock;
use tonic::Code;

use crate::support::{Client, TestServer};

/// A server that looks after its tables all the time.
async fn keeping(change: impl FnOnce(&mut skein_flight_server::config::MaintenanceConfig)) -> TestServer {
    TestServer::with(|config| {
        let keep = &mut config.maintenance;
        (keep.compact, keep.interval, keep.min_small_files) = (true, Duration::from_millis(20), 4);
        change(keep);
    })
    .await
}

async fn insert(client: &mut Client, table: &str, times: i64) {
    for i in 0..times {
        let sql = format!("insert into {table} select value from generate_series({i}00, {i}99) as g(value)");
        assert_eq!(client.update(&sql).await.unwrap(), 100);
    }
}

/// Waits until a count is what it should be.
async fn until(client: &mut Client, sql: &str, count: i64) {
    while number(client, sql).await != count {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The only number that a query answers with.
async fn number(client: &mut Client, sql: &str) -> i64 {
    let batches = client.query(sql).await.unwrap();
    batches[0].column(0).as_primitive::<Int64Type>().value(0)
}

#[tokio::test]
async fn small_files_and_deleted_rows_are_looked_after() {
    let server = keeping(|_| {}).await;
    let mut client = server.client().await;
    client.update("create table t (a bigint)").await.unwrap();
    insert(&mut client, "t", 6).await;
    let compacted = "select case when count(*) > 0 then 1 else 0 end from system.compactions \
                     where table_name = 't' and background and principal = 'maintenance' and version is not null";
    until(&mut client, compacted, 1).await;
    assert_eq!(number(&mut client, "select count(a) from t").await, 600);
    client.update("delete from t where a % 2 = 0").await.unwrap();
    let deleted = "select cast(coalesce(sum(deleted_rows), 0) as bigint) from system.files where table_name = 't'";
    until(&mut client, deleted, 0).await;
    assert_eq!(number(&mut client, "select count(a) from t").await, 300);
    assert_eq!(number(&mut client, "select count(a) from t version as of 4").await, 300, "old versions stay");
    let (_, metrics) = server.http("/metrics").await;
    assert!(!metrics.contains("skein_compactions_total{outcome=\"done\"} 0"), "{metrics}");
    for name in ["skein_compactions_running", "skein_compacted_files_total", "skein_expired_versions_total 0"] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
    let report = client.action("dataset.verify", &json!({"deep": true})).await.unwrap();
    assert_eq!(report["findings"], json!([]));
    // It ends with the server.
    server.running.shutdown();
    server.running.wait().await.unwrap();
}

#[tokio::test]
async fn nothing_is_done_unless_the_configuration_says_so() {
    let config = skein_flight_server::config::Config::default();
    assert!(!config.maintenance.compact && config.maintenance.keep_age.is_none() && !config.maintenance.collect);
    let server = keeping(|keep| keep.compact = false).await;
    let mut client = server.client().await;
    client.update("create table t (a bigint)").await.unwrap();
    insert(&mut client, "t", 5).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(number(&mut client, "select count(*) from system.compactions").await, 0);
    assert_eq!(number(&mut client, "select count(*) from system.files where table_name = 't'").await, 5);
}

#[tokio::test]
async fn old_versions_end_by_policy() {
    let server = keeping(|keep| (keep.compact, keep.keep_versions) = (false, Some(2))).await;
    let mut client = server.client().await;
    client.update("create table t (a bigint)").await.unwrap();
    insert(&mut client, "t", 5).await;
    // An expiry between two of the inserts is a version, too.
    let oldest = "select min(version) from system.snapshots where table_name = 't' and not expired";
    until(&mut client, &format!("select case when ({oldest}) >= 5 then 1 else 0 end"), 1).await;
    let status = client.query("select * from t version as of 3").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.message().contains("it was expired by maintenance"), "{status:?}");
    assert_eq!(number(&mut client, "select count(a) from t").await, 500);
    let (kept, rows) = ("select cast(max(version) - 1 as bigint)", "select cast(rows as bigint)");
    let kept = number(&mut client, &format!("{kept} from system.snapshots where table_name = 't'")).await;
    let rows = format!("{rows} from system.snapshots where table_name = 't' and version = {kept}");
    let rows = number(&mut client, &rows).await;
    assert_eq!(number(&mut client, &format!("select count(a) from t version as of {kept}")).await, rows);
}

/// Rows come and are deleted, files are compacted, versions expired: what only those needed goes after the grace time, and whoever
/// reads such a version may go on until then.
#[tokio::test]
async fn what_nobody_needs_goes_by_itself() {
    let clock = ManualClock::new(Utc::now());
    let server = TestServer::at(&clock, |config| {
        config.catalog.gc_grace = Duration::from_secs(60 * 60);
        let keep = &mut config.maintenance;
        (keep.compact, keep.interval, keep.min_small_files) = (true, Duration::from_millis(10), 4);
        (keep.keep_versions, keep.collect) = (Some(1), true);
    })
    .await;
    let mut client = server.client().await;
    client.update("create table t (a bigint)").await.unwrap();
    insert(&mut client, "t", 6).await;
    let url = format!("grpc://{}", server.address());
    let reader = skein_client::Client::connect(ConnectOptions::new(url)).await.unwrap().begin().await.unwrap();
    let sum = async || {
        let batches = reader.query("select sum(a) from t").await.unwrap().collect().await.unwrap();
        batches[0].column(0).as_primitive::<Int64Type>().value(0)
    };
    let rows = sum().await;
    let pinned = server.files(".parquet");

    client.update("delete from t where a % 2 = 0").await.unwrap();
    let deleted = "select cast(coalesce(sum(deleted_rows), 0) as bigint) from system.files where table_name = 't'";
    until(&mut client, deleted, 0).await;
    let only_compacted = "select case when min(version) = max(case when operation = 'compact' then version end) then 1 else 0 end \
                          from system.snapshots where table_name = 't' and not expired";
    until(&mut client, only_compacted, 1).await;
    clock.advance(TimeDelta::minutes(50));
    // The server does the same whenever its time comes.
    assert_eq!(client.action("dataset.gc", &json!({})).await.unwrap()["removed_files"], json!(0));
    let there = server.files(".parquet");
    assert!(pinned.iter().all(|file| there.contains(file)), "{pinned:?} of {there:?}");
    assert_eq!(sum().await, rows);

    clock.advance(TimeDelta::minutes(20));
    let needed = usize::try_from(number(&mut client, "select count(*) from system.files where table_name = 't'").await);
    while Ok(server.files(".parquet").len()) != needed || !server.files(".bin").is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(number(&mut client, "select count(a) from t").await, 300);
    let (_, metrics) = server.http("/metrics").await;
    for name in ["skein_collected_files_total", "skein_collected_bytes_total"] {
        assert!(metrics.contains(name) && !metrics.contains(&format!("{name} 0")), "{name}: {metrics}");
    }
    let report = client.action("dataset.verify", &json!({"deep": true})).await.unwrap();
    assert_eq!(report["findings"], json!([]));
    server.running.shutdown();
    server.running.wait().await.unwrap();
}

#[tokio::test]
async fn a_compaction_tells_how_far_it_is() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.update("create table t (a bigint)").await.unwrap();
    insert(&mut client, "t", 3).await;
    let request = serde_json::to_vec(&json!({"dataset": "t", "progress": true})).unwrap();
    let answers = client.raw_action("dataset.compact", request).await.unwrap();
    let answers: Vec<serde_json::Value> = answers.iter().map(|body| serde_json::from_slice(body).unwrap()).collect();
    let (last, progress) = answers.split_last().unwrap();
    assert_eq!((&last["changed"], &last["files_before"], last.get("progress")), (&json!(true), &json!(3), None));
    assert!(!progress.is_empty());
    for answer in progress {
        let progress = &answer["progress"];
        assert!(progress["rows_done"].as_u64() <= progress["rows"].as_u64(), "{answer}");
        assert!(["planning", "writing", "checking", "committing"].contains(&progress["state"].as_str().unwrap()));
    }
    let finished = "select count(*) from system.compactions where state = 'finished' and not background \
                    and files = 3 and files_done = 3 and \"rows\" = 300 and rows_done = 300 and attempt = 1 and version = 5";
    assert_eq!(number(&mut client, finished).await, 1);
    let status = client.action("dataset.compact", &json!({"dataset": "nosuch", "progress": true})).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}
