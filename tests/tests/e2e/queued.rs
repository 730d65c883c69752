//! A query that waits for its turn keeps its connection.

use std::time::Duration;

use skein_flight_server::config::Auto;
use tonic::transport::Endpoint;

use crate::support::{Client, TestServer};

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_query_answers_pings_until_it_runs() {
    let server = TestServer::with(|config| config.query.max_concurrent = Auto::Set(1)).await;
    let mut busy = server.client().await;
    // One that works: the slot of one that only waits for its client would go to the next.
    let running =
        tokio::spawn(async move { busy.rows("select count(*) from generate_series(1, 1000000000000)").await });
    let is_in = |state: &str| server.running.state().engine.queries().iter().any(|query| query.state.as_str() == state);
    while !is_in("running") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

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
    while !is_in("queued") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // Twice as long as the client waits for a pong.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(is_in("queued") && !answer.is_finished());
    running.abort();
    let batches = answer.await.unwrap().unwrap();
    assert_eq!(crate::support::table(&batches), "42");
}
