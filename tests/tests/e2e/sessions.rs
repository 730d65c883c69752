//! Sessions: what they hold, who gets back in, when they end.

use std::time::Duration;

use tonic::Code;

use crate::support::{Client, TestServer};

/// Waits until `check` is true.
async fn eventually(what: &str, mut check: impl AsyncFnMut() -> bool) {
    for _ in 0..600 {
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
async fn an_idle_session_is_forgotten_and_one_in_use_is_not() {
    let server = TestServer::with(|config| config.server.session_idle = Duration::from_millis(200)).await;
    let token = server.client().await.handshake().await.unwrap();
    temp_table(&mut server.client().await.bearer(&token)).await;
    // A stream that nobody reads on holds the session of its connection, and the connection stays.
    let mut reader = server.client().await;
    let endless = reader.plan("select value from generate_series(1, 1000000000000)").await.unwrap();
    let rows = reader.stream(endless.endpoint[0].ticket.clone().unwrap()).await.unwrap();
    let sessions = &server.running.state().sessions;
    // The server looks for them by itself, and no request comes meanwhile.
    eventually("the end of the idle session", async || sessions.len() == 1).await;
    let mut client = server.client().await.bearer(&token);
    assert_eq!(client.rows("select n from mine").await.unwrap_err().code(), Code::NotFound);
    drop(rows);
    eventually("the end of all sessions", async || sessions.is_empty()).await;
    // Whoever comes back has a new one.
    assert_eq!(reader.rows("select 1").await.unwrap(), "1");
}

#[tokio::test]
async fn a_user_has_so_many_sessions_and_no_more() {
    let server = TestServer::with(|config| config.server.max_sessions_per_user = Some(1)).await;
    let mut admin = server.admin().await;
    let body = serde_json::json!({"name": "bob", "password": "another password"});
    admin.action("user.create", &body).await.unwrap();
    let bob = async || server.client().await.basic("bob", "another password");
    let (mut first, mut second) = (bob().await, bob().await);
    temp_table(&mut first).await;
    let refused = second.rows("select 1").await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("server.max_sessions_per_user"), "{}", refused.message());
    // Others have theirs, and nobody has lost one.
    assert_eq!(admin.rows("select 1").await.unwrap(), "1");
    assert_eq!(first.rows("select n from mine").await.unwrap(), "7");
    first.raw_action("CloseSession", Vec::new()).await.unwrap();
    assert_eq!(second.rows("select 1").await.unwrap(), "1");
}

/// The rows of each message of a result, whose one column has eight bytes a row.
async fn messages(client: &mut Client, sql: &str) -> Vec<usize> {
    client.query(sql).await.unwrap().iter().map(|batch| batch.num_rows()).collect()
}

#[tokio::test]
async fn messages_are_as_large_as_the_session_says() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let sql = "select value from generate_series(1, 8192)";
    assert_eq!(messages(&mut client, sql).await, [8192], "64 KiB are one message");
    client.update("set message_bytes = 16384").await.unwrap();
    let small = messages(&mut client, sql).await;
    assert!((4..=6).contains(&small.len()) && small.iter().all(|rows| rows * 8 <= 16384), "{small:?}");
    assert_eq!(small.iter().sum::<usize>(), 8192);
    client.update("set message_rows = 1000").await.unwrap();
    let rows = messages(&mut client, sql).await;
    assert!(rows.len() >= 9 && rows.iter().all(|rows| *rows <= 1000), "{rows:?}");
    client.update("reset message_rows").await.unwrap();
    client.update("set message_bytes = 'auto'").await.unwrap();
    assert_eq!(messages(&mut client, sql).await, [8192]);
}

#[tokio::test]
async fn the_time_zone_decides_what_a_time_is() {
    let server = TestServer::start().await;
    let (mut berlin, mut other) = (server.client().await, server.client().await);
    berlin.update("set timezone = 'Europe/Berlin'").await.unwrap();
    // A text without an offset is a time in the session's zone: two hours ahead in summer, one in winter.
    for (text, utc, in_berlin) in
        [("2024-07-01 12:00:00", "1719835200", "1719828000"), ("2024-01-01 12:00:00", "1704110400", "1704106800")]
    {
        let sql = format!("select cast(cast(timestamptz '{text}' as bigint) / 1000000000 as bigint)");
        assert_eq!(other.rows(&sql).await.unwrap(), utc, "{text}");
        assert_eq!(berlin.rows(&sql).await.unwrap(), in_berlin, "{text}");
    }
    let hour = "select extract(hour from cast('2024-07-01T22:30:00Z' as timestamp with time zone))";
    assert_eq!((other.rows(hour).await.unwrap(), berlin.rows(hour).await.unwrap()), ("22".to_owned(), "0".to_owned()));
    let day = "select cast(cast('2024-07-01T22:30:00Z' as timestamp with time zone) as varchar)";
    assert!(other.rows(day).await.unwrap().starts_with("2024-07-01T22:30:00"));
    assert_eq!(berlin.rows(day).await.unwrap(), "2024-07-02T00:30:00+02:00");
    berlin.update("reset timezone").await.unwrap();
    assert_eq!(berlin.rows(hour).await.unwrap(), "22");
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
