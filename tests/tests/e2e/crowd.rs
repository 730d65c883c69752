//! Many clients at once: nobody takes what others need, and what is left behind ends.

use std::time::{Duration, Instant};

use arrow_flight::{CancelFlightInfoRequest, PollInfo};
use futures::StreamExt as _;
use prost::Message as _;
use serde_json::json;
use tonic::Code;

use crate::support::{Client, HeldTable, TestServer, half_an_upload, statement};

const ENDLESS: &str = "select value from generate_series(1, 1000000000000)";
/// All that can be running for a client.
const WORK: [&str; 5] = [
    "skein_queries_running",
    "skein_queries_queued",
    "skein_ingests_running",
    "skein_query_memory_bytes",
    "skein_query_spilled_bytes",
];

/// The value of a gauge.
async fn gauge(server: &TestServer, name: &str) -> f64 {
    let (_, text) = server.http("/metrics").await;
    let line =
        text.lines().find(|line| line.split(' ').next() == Some(name)).unwrap_or_else(|| panic!("{name}:\n{text}"));
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Waits until it is done.
pub async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !done().await {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    eprintln!("{what}: after {:?}", started.elapsed());
}

async fn all_work_ends(server: &TestServer) {
    for name in WORK {
        until(&format!("{name} returns to zero"), async || gauge(server, name).await == 0.0).await;
    }
    until("no call runs", async || server.running.state().in_flight.count() == 0).await;
}

#[tokio::test]
async fn a_dropped_stream_ends_its_work() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let joined =
        "select a.value as x, b.value as y from generate_series(1, 100000) a cross join generate_series(1, 100000) b";
    for sql in [ENDLESS, joined, "select count(*) from generate_series(1, 1000000000000)"] {
        let rows = client.plan(sql).await.unwrap();
        let ticket = rows.endpoint[0].ticket.clone().unwrap();
        let mut other = server.client().await;
        let reading = tokio::spawn(async move {
            let mut rows = other.stream(ticket).await.unwrap();
            while rows.next().await.is_some() {}
        });
        until("it runs", async || gauge(&server, "skein_queries_running").await == 1.0).await;
        reading.abort();
        assert!(reading.await.is_err());
        all_work_ends(&server).await;
    }
}

/// Two pieces, each of them with its first rows and half-way.
async fn two_pieces(t: &HeldTable, client: &mut Client) -> PollInfo {
    t.hold([1, 3]);
    let poll = client.poll(statement("select a, s from t where a % 2 = 0")).await.unwrap();
    let poll = t.until(client, poll, 2).await;
    until("both run", async || gauge(&t.server, "skein_queries_running").await == 2.0).await;
    poll
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pieces_of_a_polled_query_end_their_work() {
    let t = HeldTable::new().await;
    let mut client = t.server.client().await.header("x-skein-partitions", "2");
    // Their client reads a little of each and goes.
    let poll = two_pieces(&t, &mut client).await;
    for (endpoint, left) in poll.info.unwrap().endpoint.into_iter().zip([1.0, 0.0]) {
        let mut rows = client.stream(endpoint.ticket.unwrap()).await.unwrap();
        assert!(rows.next().await.unwrap().unwrap().num_rows() > 0);
        drop(rows);
        until("one less runs", async || gauge(&t.server, "skein_queries_running").await == left).await;
    }
    all_work_ends(&t.server).await;

    // Their client has come for none of them, or for one, and cancels.
    for opened in [0, 1] {
        let info = two_pieces(&t, &mut client).await.info.unwrap();
        let mut streams = Vec::new();
        for endpoint in info.endpoint.iter().take(opened) {
            streams.push(client.stream(endpoint.ticket.clone().unwrap()).await.unwrap());
        }
        let request = CancelFlightInfoRequest { info: Some(info) };
        client.raw_action("CancelFlightInfo", request.encode_to_vec()).await.unwrap();
        all_work_ends(&t.server).await;
    }
}

#[tokio::test]
async fn a_dropped_upload_ends_its_work() {
    let server = TestServer::start().await;
    let (upload, cable) = half_an_upload(&server).await;
    until("it runs", async || gauge(&server, "skein_ingests_running").await == 1.0).await;
    cable.abort();
    assert!(upload.await.unwrap().is_err());
    all_work_ends(&server).await;
}

#[tokio::test]
async fn a_dropped_update_ends_its_work() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let update = tokio::spawn(async move { client.update(&format!("create table t as {ENDLESS}")).await });
    until("it runs", async || gauge(&server, "skein_queries_running").await == 1.0).await;
    update.abort();
    assert!(update.await.is_err());
    all_work_ends(&server).await;
    until("its files are gone", async || server.files(".parquet").is_empty()).await;
}

#[tokio::test]
async fn a_dropped_query_leaves_the_queue() {
    let server = TestServer::with(|config| config.query.max_concurrent = one()).await;
    let mut client = server.client().await;
    let ticket =
        client.plan("select count(*) from generate_series(1, 1000000000000)").await.unwrap().endpoint[0].ticket.clone();
    let mut first = server.client().await;
    let first = tokio::spawn(async move { first.read(ticket.unwrap()).await });
    until("one runs", async || gauge(&server, "skein_queries_running").await == 1.0).await;
    let second = tokio::spawn(async move { client.rows("select 1").await });
    until("one waits", async || gauge(&server, "skein_queries_queued").await == 1.0).await;
    second.abort();
    until("none waits", async || gauge(&server, "skein_queries_queued").await == 0.0).await;
    first.abort();
    all_work_ends(&server).await;
}

#[tokio::test]
async fn a_client_that_never_reads_does_not_hold_up_others() {
    let server = TestServer::with(|config| config.query.max_concurrent = one()).await;
    let mut client = server.client().await;
    let ticket = client.plan(ENDLESS).await.unwrap().endpoint[0].ticket.clone().unwrap();
    let mut rows = client.stream(ticket).await.unwrap();
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(server.client().await);
    }
    for other in &mut others {
        for _ in 0..3 {
            assert_eq!(other.rows("select count(*) from generate_series(1, 1000)").await.unwrap(), "1000");
        }
    }
    // And when it reads at last, it reads all, in order.
    let mut next = 1;
    while next < 10_000_000 {
        let batch = rows.next().await.unwrap().unwrap();
        let values = batch.column(0).as_any().downcast_ref::<arrow::array::Int64Array>().unwrap();
        assert_eq!(values.value(0), next);
        next += i64::try_from(batch.num_rows()).unwrap();
    }
    drop(rows);
    all_work_ends(&server).await;
}

#[tokio::test]
async fn a_user_past_the_limit_is_told_so() {
    let server = TestServer::with(|config| {
        config.query.max_concurrent_per_user = Some(1);
        config.query.max_queued_per_user = Some(1);
    })
    .await;
    let mut admin = server.admin().await;
    admin.action("user.create", &json!({"name": "bob", "password": "another password", "admin": false})).await.unwrap();
    let counting = "select count(*) from generate_series(1, 1000000000000)";
    let mut tasks = Vec::new();
    for (waiting, running) in [(0.0, 1.0), (1.0, 1.0)] {
        let mut client = server.client().await.basic("bob", "another password");
        tasks.push(tokio::spawn(async move { client.rows(counting).await }));
        until("it runs or waits", async || {
            gauge(&server, "skein_queries_queued").await == waiting
                && gauge(&server, "skein_queries_running").await == running
        })
        .await;
    }
    let mut bob = server.client().await.basic("bob", "another password");
    let refused = bob.rows("select 1").await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("max_queued_per_user"), "{}", refused.message());
    // Others go on.
    assert_eq!(admin.rows("select 1").await.unwrap(), "1");
    for task in tasks {
        task.abort();
    }
    all_work_ends(&server).await;
}

#[tokio::test]
async fn sessions_are_bounded_and_idle_ones_make_room() {
    let server = TestServer::with(|config| config.server.max_sessions = 2).await;
    let (mut first, mut second) = (server.client().await, server.client().await);
    first.update("set timezone = 'Europe/Berlin'").await.unwrap();
    second.update("create temp table t as select 1 as n").await.unwrap();
    let mut third = server.client().await;
    let refused = third.rows("select 1").await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("server.max_sessions"), "{}", refused.message());
    // Those that are open keep what they have.
    assert_eq!(second.rows("select n from t").await.unwrap(), "1");
    drop(first);
    until("its session ends with its connection", async || third.rows("select 1").await.is_ok()).await;
}

fn one() -> skein_flight_server::config::Auto<usize> {
    skein_flight_server::config::Auto::Set(1)
}
