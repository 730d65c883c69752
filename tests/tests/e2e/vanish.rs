//! Clients that disappear half-way.

use std::time::Duration;

use arrow_flight::{FlightData, FlightDescriptor};
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use prost::Message as _;
use serde_json::json;
use skein_flight_server::auth::Rpc;
use tonic::Code;
use tower_service::Service as _;

use crate::support::{Client, TestServer, file_messages, flight_data, half_an_upload, numbers, path_descriptor};

/// Starts an upload, sends `messages`, then goes away: the stream is reset before its end.
async fn abandon(client: &Client, messages: Vec<FlightData>) {
    let frames = messages.into_iter().map(|message| {
        let mut frame = vec![0];
        frame.extend(u32::try_from(message.encoded_len()).unwrap().to_be_bytes());
        message.encode(&mut frame).unwrap();
        Ok(Frame::data(Bytes::from(frame)))
    });
    let gone = stream::once(async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        Err(std::io::Error::other("the client went away"))
    });
    let body = tonic::body::Body::new(StreamBody::new(stream::iter(frames).chain(gone)));
    let request = http::Request::post(format!("http://server{}", Rpc::DoPut.path()))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap();
    let mut channel = client.channel.clone();
    std::future::poll_fn(|cx| channel.poll_ready(cx)).await.unwrap();
    if let Ok(response) = channel.call(request).await {
        let _ = response.into_body().collect().await;
    }
}

async fn nothing_is_left(server: &TestServer, table: &str) {
    let mut client = server.client().await;
    let status = client.rows(&format!("select count(*) from {table}")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "nothing of it is visible");
    // The work ends with the call, and takes its files with it.
    for _ in 0..100 {
        if server.running.state().in_flight.count() == 0 && server.files(".parquet").is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("left behind: {:?}, {} calls", server.files(".parquet"), server.running.state().in_flight.count());
}

#[tokio::test]
async fn half_a_path_upload_is_no_upload() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let batches: Vec<_> = (0..20).map(|_| numbers(10_000)).collect();
    abandon(&client, flight_data(path_descriptor(&["half"]), &batches)).await;
    nothing_is_left(&server, "half").await;
    client.check_alive().await;
}

#[tokio::test]
async fn half_a_file_is_no_file() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let csv: String = std::iter::once("a,b\n".to_owned()).chain((0..50_000).map(|n| format!("{n},{n}\n"))).collect();
    let command = json!({"ingest_file": {"path": ["half"], "options": {"file_name": "half.csv"}}});
    abandon(&client, file_messages(&command, csv.as_bytes())).await;
    nothing_is_left(&server, "half").await;
    client.check_alive().await;
}

#[tokio::test]
async fn an_upload_dies_with_its_connection() {
    let server = TestServer::start().await;
    let (upload, cable) = half_an_upload(&server).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(server.running.state().in_flight.count(), 1);
    cable.abort();
    assert!(upload.await.unwrap().is_err());
    nothing_is_left(&server, "half").await;
}

#[tokio::test]
async fn a_reader_that_leaves_ends_its_query() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let sql =
        "select a.value as x, b.value as y from generate_series(1, 100000) a cross join generate_series(1, 100000) b";
    let info = client.plan(sql).await.unwrap();
    let mut rows = client.stream(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(rows.next().await.unwrap().unwrap().num_rows() > 0);
    drop(rows);
    let mut other = server.client().await;
    for _ in 0..100 {
        let state = other
            .rows("select state from system.queries where sql like '%generate_series(1, 100000) a%' and sql not like '%system.queries%'")
            .await
            .unwrap();
        if state == "cancelled" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the query went on");
}

#[tokio::test]
async fn a_query_is_cancelled_by_its_id() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let sql = "select a.value as slow from generate_series(1, 100000) a cross join generate_series(1, 100000) b";
    let info = client.plan(sql).await.unwrap();
    let mut rows = client.stream(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(rows.next().await.unwrap().is_ok());
    let mut other = server.client().await;
    let id = other
        .rows("select query_id from system.queries where state = 'running' and sql like 'select a.value as slow%'")
        .await
        .unwrap();
    assert_eq!(other.action("query.cancel", &json!({"query_id": id})).await.unwrap()["cancelled"], true);
    let mut last = Ok(());
    while let Some(batch) = rows.next().await {
        last = batch.map(drop);
    }
    let error = last.unwrap_err();
    assert!(error.to_string().to_lowercase().contains("cancel"), "a cut stream ends in an error: {error}");
    assert_eq!(other.action("query.cancel", &json!({"query_id": id})).await.unwrap()["cancelled"], false);
    let status = other.action("query.cancel", &json!({"query_id": "x"})).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_flight_is_cancelled_by_its_info() {
    use arrow_flight::{CancelFlightInfoRequest, CancelFlightInfoResult, CancelStatus};
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let sql = "select a.value as info from generate_series(1, 100000) a cross join generate_series(1, 100000) b";
    let info = client.plan(sql).await.unwrap();
    let mut rows = client.stream(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(rows.next().await.unwrap().is_ok());
    let request = CancelFlightInfoRequest { info: Some(info) };
    let bodies = client.raw_action("CancelFlightInfo", request.encode_to_vec()).await.unwrap();
    let result = CancelFlightInfoResult::decode(bodies[0].clone()).unwrap();
    assert_eq!(result.status(), CancelStatus::Cancelled);
    let mut last = Ok(());
    while let Some(batch) = rows.next().await {
        last = batch.map(drop);
    }
    assert!(last.is_err());
}

#[tokio::test]
async fn a_descriptor_alone_leaves_nothing() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let message = FlightData {
        flight_descriptor: Some(FlightDescriptor::new_path(vec!["half".into()])),
        ..FlightData::default()
    };
    let status = client.put(stream::iter([message])).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("schema"), "{}", status.message());
    nothing_is_left(&server, "half").await;
}
