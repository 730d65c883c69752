//! Results in several endpoints, polling, renewing and cancelling, over the wire.

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{ArrayRef, AsArray as _, Int64Array, RecordBatch, StringArray},
    datatypes::Int64Type,
};
use arrow_flight::{
    CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus, FlightEndpoint, FlightInfo,
    RenewFlightEndpointRequest,
    sql::{ActionCancelQueryRequest, ActionCancelQueryResult, Any, ProstMessageExt},
};
use futures::future::join_all;
use prost::Message as _;
use skein_flight_server::config::Auto;
use tonic::Code;

use crate::support::{Client, TestServer, batch, path_descriptor, shared_secret, statement};

const PARTITIONS: &str = "x-skein-partitions";

async fn server_with_table() -> TestServer {
    let server = TestServer::with(|config| {
        shared_secret(config);
        config.ingest.row_group_rows = 8192;
        config.query.max_concurrent = Auto::Set(2);
    })
    .await;
    let mut client = server.client().await;
    for numbers in [1..=60_000, 60_001..=100_000_i64] {
        let text = StringArray::from_iter_values(numbers.clone().map(|n| format!("n{n}")));
        let rows = vec![("a", Arc::new(Int64Array::from_iter_values(numbers)) as ArrayRef), ("s", Arc::new(text))];
        client.upload(&["t"], &[batch(rows)]).await.unwrap();
    }
    server
}

async fn plan(client: &mut Client, partitions: &str, sql: &str) -> FlightInfo {
    client.clone().header(PARTITIONS, partitions).plan(sql).await.unwrap()
}

async fn read(client: &Client, endpoint: &FlightEndpoint) -> Vec<RecordBatch> {
    client.clone().read(endpoint.ticket.clone().unwrap()).await.unwrap()
}

/// All endpoints at the same time; the first column in the endpoints' order.
async fn read_all(client: &Client, info: &FlightInfo) -> Vec<i64> {
    let batches = join_all(info.endpoint.iter().map(|endpoint| read(client, endpoint))).await.concat();
    let first = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    batches.iter().flat_map(first).collect()
}

/// Each number once, in order; says where it is not.
fn assert_whole(rows: Vec<i64>) {
    let wrong = rows.iter().zip(1..).find(|(row, expected)| *row != expected);
    assert!(
        wrong.is_none() && rows.len() == 100_000,
        "{} rows; the first wrong one and its place: {wrong:?}",
        rows.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_read_side_by_side_are_the_whole_here_elsewhere_and_after_a_restart() {
    let server = server_with_table().await;
    let mut client = server.client().await;
    let info = client.clone().header(PARTITIONS, "7").info(path_descriptor(&["t"])).await.unwrap();
    assert_eq!((info.endpoint.len(), info.ordered, info.total_records), (7, true, 100_000));
    // Seven streams share the two slots there are with everybody.
    assert_whole(read_all(&client, &info).await);
    client.update("insert into t values (0, 'late')").await.unwrap();
    let other = server.beside().await;
    assert_whole(read_all(&other.client().await, &info).await);
    let server = server.restart().await;
    assert_whole(read_all(&server.client().await, &info).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_divided_results_at_once_do_not_wait_for_each_other() {
    let server = server_with_table().await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        let mut client = server.client().await;
        let info = plan(&mut client, "8", "select a from t where a % 2 = 0").await;
        streams.push(async move { read_all(&client, &info).await.len() });
    }
    assert_eq!(join_all(streams).await, [50_000; 4]);
}

#[tokio::test]
async fn only_who_is_known_to_read_all_endpoints_gets_several_unasked() {
    let server = server_with_table().await;
    let client = server.client().await;
    assert_eq!(client.clone().info(path_descriptor(&["t"])).await.unwrap().endpoint.len(), 1);
    let status = client.clone().header(PARTITIONS, "0").plan("select 1").await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains(PARTITIONS), "{}", status.message());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polled_query_tells_how_far_it_is_until_it_is_there() {
    let server = server_with_table().await;
    let mut client = server.client().await;
    let sql = "select count(*) as n from t as x, t as y where x.a % 5000 = y.a % 5000 and x.s <> y.s";
    let answer = client.polled(sql).await;
    let info = answer.info.unwrap();
    assert_eq!(read_all(&client, &info).await, [1_900_000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_cancelled_from_another_connection() {
    let server = server_with_table().await;
    let mut client = server.client().await;
    let sql = "select x.a from t as x, t as y order by x.a + y.a";
    let answer = client.poll(statement(sql)).await.unwrap();
    let again = answer.flight_descriptor.expect("ten thousand million rows take a while");
    let request = CancelFlightInfoRequest { info: answer.info };
    let mut other = server.client().await;
    let bodies = other.raw_action("CancelFlightInfo", request.encode_to_vec()).await.unwrap();
    let result = CancelFlightInfoResult::decode(bodies[0].clone()).unwrap();
    assert_eq!(result.status(), CancelStatus::Cancelled);
    assert_eq!(client.poll(again).await.unwrap_err().code(), Code::Cancelled);
    let running = || server.running.state().engine.queries().iter().any(|query| query.finished.is_none());
    for _ in 0..200 {
        if !running() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!running(), "a cancelled query runs on");

    // CancelQuery, of a stream that runs.
    let info = client.plan("select x.a from t as x, t as y").await.unwrap();
    let mut stream = client.stream(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(futures::StreamExt::next(&mut stream).await.is_some());
    let request = ActionCancelQueryRequest { info: info.encode_to_vec().into() };
    let bodies = other.raw_action("CancelQuery", request.as_any().encode_to_vec()).await.unwrap();
    let result: ActionCancelQueryResult = Any::decode(bodies[0].clone()).unwrap().unpack().unwrap().unwrap();
    assert_eq!(result.result, CancelStatus::Cancelled as i32);
}

#[tokio::test]
async fn an_endpoint_is_renewed() {
    let server = server_with_table().await;
    let mut client = server.client().await;
    let info = plan(&mut client, "2", "select a from t").await;
    let renew =
        |endpoint: &FlightEndpoint| RenewFlightEndpointRequest { endpoint: Some(endpoint.clone()) }.encode_to_vec();
    let bodies = client.raw_action("RenewFlightEndpoint", renew(&info.endpoint[1])).await.unwrap();
    let renewed = FlightEndpoint::decode(bodies[0].clone()).unwrap();
    assert!(
        renewed.expiration_time.as_ref().unwrap().seconds >= info.endpoint[1].expiration_time.as_ref().unwrap().seconds
    );
    assert_eq!(read(&client, &renewed).await, read(&client, &info.endpoint[1]).await);
    let mut broken = renewed.clone();
    broken.ticket = Some(arrow_flight::Ticket::new("select 1"));
    let status = client.raw_action("RenewFlightEndpoint", renew(&broken)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}
