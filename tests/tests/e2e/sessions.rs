//! Sessions: what they hold, who gets back in, when they end.

use std::time::Duration;

use tonic::Code;

use crate::support::{Client, TestServer};

/// Waits until `check` is true.
async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    for _ in 0..100 {
        if check().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not happen");
}

async fn temp_table(client: &mut Client) {
    client.update("create temp table mine as select 7 as n").await.unwrap();
    assert_eq!(client.rows("select n from mine").await.unwrap(), "7");
}

#[tokio::test]
async fn a_connection_is_a_session_and_ends_with_it() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    temp_table(&mut client).await;
    let mut other = server.client().await;
    assert_eq!(other.rows("select n from mine").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(server.running.state().sessions.len(), 2);
    drop(client);
    eventually("the end of the session", async || server.running.state().sessions.len() == 1).await;
}

#[tokio::test]
async fn a_bearer_token_is_a_session_across_connections() {
    let server = TestServer::start().await;
    let token = server.client().await.handshake().await.unwrap();
    temp_table(&mut server.client().await.bearer(&token)).await;
    assert_eq!(server.client().await.bearer(&token).rows("select n from mine").await.unwrap(), "7");
}

#[tokio::test]
async fn the_cookie_is_a_session_across_connections_for_its_principal_only() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let body = serde_json::json!({"name": "ada", "password": "a long password"});
    admin.action("user.create", &body).await.unwrap();
    let mut first = server.client().await.basic("ada", "a long password");
    let request = first.request(crate::support::statement("select 1"));
    let answer = first.flight.get_flight_info(request).await.unwrap();
    let set = answer.metadata().get("set-cookie").expect("a cookie").to_str().unwrap().to_owned();
    let cookie = set.split(';').next().unwrap().to_owned();
    temp_table(&mut first).await;

    let mut second = server.client().await.basic("ada", "a long password").header("cookie", &cookie);
    assert_eq!(second.rows("select n from mine").await.unwrap(), "7");
    let mut thief = server.client().await.basic("root", "a long password").header("cookie", &cookie);
    assert_eq!(thief.rows("select n from mine").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn an_idle_session_is_forgotten() {
    let server = TestServer::with(|config| config.server.session_idle = Duration::from_millis(200)).await;
    let token = server.client().await.handshake().await.unwrap();
    temp_table(&mut server.client().await.bearer(&token)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut client = server.client().await.bearer(&token);
    let sessions = &server.running.state().sessions;
    eventually("the end of the idle session", async || {
        sessions.sweep(std::time::Instant::now() + Duration::from_secs(3600));
        sessions.is_empty()
    })
    .await;
    assert_eq!(client.rows("select n from mine").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn closing_a_session_drops_its_tables() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    temp_table(&mut client).await;
    client.raw_action("CloseSession", Vec::new()).await.unwrap();
    assert_eq!(client.rows("select n from mine").await.unwrap_err().code(), Code::NotFound);
}

#[tokio::test]
async fn sessions_are_listed() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let rows = client.rows("select principal from system.sessions").await.unwrap();
    assert_eq!(rows, "anonymous");
}
