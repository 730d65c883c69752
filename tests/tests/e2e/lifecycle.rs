//! From start to drain, and what is seen from outside meanwhile.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::support::{TestServer, flight_data, http_get, numbers, path_descriptor};

const LONG_QUERY: &str =
    "select a.value as x from generate_series(1, 100000) a cross join generate_series(1, 100000) b";

#[tokio::test]
async fn data_survives_a_restart() {
    let server = TestServer::start().await;
    server.client().await.upload(&["t"], &[numbers(9)]).await.unwrap();
    let server = server.restart().await;
    assert_eq!(server.client().await.rows("select count(*) from t").await.unwrap(), "9");
}

#[tokio::test]
async fn users_survive_a_restart_and_so_do_their_sessions() {
    let server = TestServer::start().await;
    let token = server.admin().await.handshake().await.unwrap();
    let server = server.restart().await;
    assert_eq!(server.client().await.rows("select 1").await.unwrap_err().code(), Code::Unauthenticated);
    server.client().await.basic("root", "a long password").check_alive().await;
    server.client().await.bearer(&token).check_alive().await;
}

#[tokio::test]
async fn a_drain_lets_uploads_finish() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let (sender, receiver) = futures::channel::mpsc::unbounded();
    for message in flight_data(path_descriptor(&["t"]), &[numbers(10)]) {
        sender.unbounded_send(message).unwrap();
    }
    let upload = tokio::spawn(async move { client.put(receiver).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let http = server.running.http_addr().unwrap();
    server.running.shutdown();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(http_get(http, "/readyz").await.0, 503, "not ready while draining");
    assert_eq!(http_get(http, "/healthz").await.0, 200);
    drop(sender);
    assert!(upload.await.unwrap().is_ok());
    server.running.wait().await.unwrap();
}

#[tokio::test]
async fn a_drain_ends_in_time_and_cuts_what_is_left() {
    let server = TestServer::with(|config| config.server.drain_timeout = Duration::from_secs(1)).await;
    let mut client = server.client().await;
    let info = client.plan(LONG_QUERY).await.unwrap();
    let mut rows = client.stream(info.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    assert!(rows.next().await.unwrap().is_ok());
    let started = Instant::now();
    server.running.shutdown();
    server.running.wait().await.unwrap();
    assert!(started.elapsed() >= Duration::from_millis(900) && started.elapsed() < Duration::from_secs(4));
    let mut last = Ok(());
    while let Some(batch) = rows.next().await {
        last = batch.map(drop);
    }
    assert!(last.is_err(), "a cut stream ends in an error, never short");
}

#[tokio::test]
async fn an_idle_client_does_not_hold_the_drain_up() {
    let server = TestServer::with(|config| config.server.drain_timeout = Duration::from_secs(30)).await;
    let mut client = server.client().await;
    client.check_alive().await;
    let mut health = HealthClient::new(client.channel.clone());
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let started = Instant::now();
    server.running.shutdown();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    server.running.wait().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn health_is_known_by_service() {
    let server = TestServer::start().await;
    let mut health = HealthClient::new(server.channel().await);
    for service in ["", "arrow.flight.protocol.FlightService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
}

#[tokio::test]
async fn the_http_port_tells_metrics() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.upload(&["t"], &[numbers(7)]).await.unwrap();
    client.query("select n from t").await.unwrap();
    let _ = client.query("select nonsense(1)").await;
    assert_eq!(server.http("/readyz").await.0, 200);
    assert_eq!(server.http("/nothing").await.0, 404);
    let (code, text) = server.http("/metrics").await;
    assert_eq!(code, 200);
    for line in [
        r#"skein_rpc_total{rpc="DoGet",code="Ok"} 1"#,
        r#"skein_rpc_total{rpc="DoPut",code="Ok"} 1"#,
        r#"skein_rpc_total{rpc="GetFlightInfo",code="InvalidArgument"} 1"#,
        "skein_rows_sent_total 7",
        "skein_rows_received_total 7",
        "skein_sessions 1",
        "skein_queries_running 0",
        "# TYPE skein_rpc_duration_seconds histogram",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn a_taken_port_is_a_clear_error() {
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = skein_flight_server::config::Config::default();
    config.server.listen = server.address();
    config.server.http_listen = None;
    config.storage.data = folder.path().join("data");
    let error = skein_flight_server::server::Running::start(config).await.err().unwrap().to_string();
    assert!(error.contains("server.listen") && error.contains(&server.address().to_string()), "{error}");
}

#[tokio::test]
async fn two_servers_over_one_bucket_see_each_other() {
    let first = TestServer::start().await;
    let data = first.data().to_owned();
    let second = TestServer::with(|config| config.storage.data = data).await;
    first.client().await.upload(&["t"], &[numbers(3)]).await.unwrap();
    assert_eq!(second.client().await.rows("select count(*) from t").await.unwrap(), "3");
    second.client().await.upload(&["t"], &[numbers(4)]).await.unwrap();
    assert_eq!(first.client().await.rows("select count(*) from t").await.unwrap(), "7");
    // Users, too: the other server asks for login soon after.
    first.admin().await;
    for _ in 0..200 {
        let answer = second.client().await.rows("select 1").await;
        if answer.is_err_and(|status| status.code() == Code::Unauthenticated) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the second server stayed open");
}

#[tokio::test]
async fn many_connections_at_once() {
    let server = TestServer::start().await;
    let calls = stream::iter(0..64).map(async |n| {
        let mut client = server.client().await;
        client.rows(&format!("select {n}")).await.unwrap()
    });
    let answers: Vec<_> = calls.buffer_unordered(64).collect().await;
    assert_eq!(answers.len(), 64);
}
