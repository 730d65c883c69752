//! A query that waits for its turn keeps its connection.

use std::{net::SocketAddr, time::Duration};

use skein_flight_server::config::{Auto, Config};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tonic::{Status, transport::Endpoint};

use crate::support::{Client, TestServer};

/// A server whose one slot is taken, until the task that holds it is aborted.
async fn busy_server(change: impl FnOnce(&mut Config)) -> (TestServer, JoinHandle<Result<String, Status>>) {
    let server = TestServer::with(|config| {
        config.query.max_concurrent = Auto::Set(1);
        change(config);
    })
    .await;
    let mut busy = server.client().await;
    // One that works: the slot of one that only waits for its client would go to the next.
    let running =
        tokio::spawn(async move { busy.rows("select count(*) from generate_series(1, 1000000000000)").await });
    while !is_in(&server, "running") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (server, running)
}

/// Whether a query is in a state.
fn is_in(server: &TestServer, state: &str) -> bool {
    server.running.state().engine.queries().iter().any(|query| query.state.as_str() == state)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_query_answers_pings_until_it_runs() {
    let (server, running) = busy_server(|_| {}).await;

    // A client, or a proxy, that gives up a connection which does not answer its pings.
    let channel = Endpoint::from_shared(format!("http://{}", server.address()))
        .unwrap()
        .http2_keep_alive_interval(Duration::from_millis(100))
        .keep_alive_timeout(Duration::from_secs(1))
        .keep_alive_while_idle(true)
        .connect()
        .await
        .unwrap();
    let mut waiting = Client::new(channel);
    let info = waiting.plan("select 42 as a").await.unwrap();
    let ticket = info.endpoint[0].ticket.clone().unwrap();
    let answer = tokio::spawn(async move { waiting.read(ticket).await });
    while !is_in(&server, "queued") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Twice as long as the client waits for a pong.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(is_in(&server, "queued") && !answer.is_finished());
    running.abort();
    let batches = answer.await.unwrap().unwrap();
    assert_eq!(crate::support::table(&batches), "42");
}

/// A proxy for one connection, which it cuts when nothing comes from the server's side for `patience`.
async fn impatient_proxy(server: SocketAddr, patience: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let far = TcpStream::connect(server).await.unwrap();
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (near.into_split(), far.into_split());
        let up = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        let mut bytes = vec![0; 64 << 10];
        while let Ok(Ok(count @ 1..)) = tokio::time::timeout(patience, from_server.read(&mut bytes)).await {
            if to_client.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
        up.abort();
    });
    address
}

/// What becomes of a query that is queued behind another for longer than a proxy has patience.
async fn queued_behind_a_proxy(keepalive: Option<Duration>) -> Result<String, Status> {
    let (server, running) = busy_server(|config| config.server.keepalive_interval = keepalive).await;
    let proxy = impatient_proxy(server.address(), Duration::from_secs(2)).await;
    let channel = Endpoint::from_shared(format!("http://{proxy}")).unwrap().connect().await.unwrap();
    let answer = tokio::spawn(async move { Client::new(channel).rows("select 42 as a").await });
    tokio::time::sleep(Duration::from_secs(4)).await;
    running.abort();
    answer.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_pings_keep_a_proxy_from_cutting_a_queued_query() {
    assert_eq!(queued_behind_a_proxy(Some(Duration::from_millis(200))).await.unwrap(), "42");
    assert!(queued_behind_a_proxy(None).await.is_err(), "the proxy of this test cuts nothing");
}
