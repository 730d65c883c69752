//! Users, passwords, tokens and the handshake.

use std::time::Duration;

use arrow_flight::{BasicAuth, HandshakeRequest};
use futures::{TryStreamExt as _, stream};
use prost::Message as _;
use serde_json::json;
use skein_flight_server::config::AuthMode;
use tonic::Code;

use crate::support::{Client, TestServer, shared_secret, table};

#[tokio::test]
async fn a_fresh_server_on_loopback_asks_for_nothing_until_the_first_user_exists() {
    let server = TestServer::start().await;
    let mut anyone = server.client().await;
    anyone.check_alive().await;
    let refused = anyone.action("user.create", &json!({"name": "ada", "password": "a long password"})).await;
    let status = refused.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("administrator"), "{}", status.message());

    let mut admin = server.admin().await;
    assert_eq!(anyone.rows("select 1").await.unwrap_err().code(), Code::Unauthenticated);
    admin.check_alive().await;
}

#[tokio::test]
async fn the_mode_decides() {
    let open = TestServer::with(|config| config.auth.mode = AuthMode::None).await;
    let mut admin = open.admin().await;
    admin.check_alive().await;
    open.client().await.check_alive().await;

    let closed = TestServer::with(|config| config.auth.mode = AuthMode::Required).await;
    let status = closed.client().await.rows("select 1").await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_handshake_gives_a_token_that_works_on_other_connections() {
    let server = TestServer::start().await;
    server.admin().await;
    let token = server.client().await.basic("root", "a long password").handshake().await.unwrap();
    server.client().await.bearer(&token).check_alive().await;
    // A token is good for another handshake.
    assert!(server.client().await.bearer(&token).handshake().await.is_ok());
}

#[tokio::test]
async fn older_clients_send_their_password_in_the_payload() {
    let server = TestServer::start().await;
    server.admin().await;
    let mut client = server.client().await;
    let basic = BasicAuth { username: "root".into(), password: "a long password".into() };
    let message = HandshakeRequest { protocol_version: 0, payload: basic.encode_to_vec().into() };
    let answer = client.flight.handshake(stream::iter([message])).await.unwrap();
    let token = answer.into_inner().try_next().await.unwrap().unwrap().payload;
    client.bearer(std::str::from_utf8(&token).unwrap()).check_alive().await;
}

#[tokio::test]
async fn whoever_has_not_logged_in_yet_cannot_make_the_server_hold_much() {
    let server = TestServer::start().await;
    server.admin().await;
    let mut client = server.client().await;
    let message = HandshakeRequest { protocol_version: 0, payload: vec![0; 1 << 20].into() };
    let status = client.flight.handshake(stream::iter([message])).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");
    client.basic("root", "a long password").check_alive().await;
}

#[tokio::test]
async fn a_session_ends_with_the_password_it_began_with() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let token = admin.handshake().await.unwrap();
    let mut session = server.client().await.bearer(&token);
    session.check_alive().await;
    admin.action("user.set_password", &json!({"name": "root", "password": "another long one"})).await.unwrap();
    assert_eq!(session.rows("select 1").await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(admin.rows("select 1").await.unwrap_err().code(), Code::Unauthenticated);
    server.client().await.basic("root", "another long one").check_alive().await;
}

/// Whether the client's credentials are refused, at the latest a few seconds after a change through another server.
async fn is_refused_soon(client: &mut Client) -> bool {
    for _ in 0..50 {
        match client.rows("select 1").await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(status) => return status.code() == Code::Unauthenticated,
        }
    }
    false
}

#[tokio::test]
async fn a_session_ends_on_every_server_of_the_bucket() {
    let here = TestServer::with(shared_secret).await;
    let mut admin = here.admin().await;
    admin.action("user.create", &json!({"name": "ada", "password": "a long password"})).await.unwrap();
    let there = here.beside().await;
    let root = there.client().await.basic("root", "a long password").handshake().await.unwrap();
    let mut others = there.client().await.bearer(&root);
    let session = |token: &str| {
        let token = token.to_owned();
        let there = &there;
        async move { there.client().await.bearer(&token) }
    };

    // A new password ends the sessions begun with the old one, and the old one itself, also where both are remembered.
    let begun = here.client().await.basic("ada", "a long password").handshake().await.unwrap();
    let (mut ada, mut basic) = (session(&begun).await, there.client().await.basic("ada", "a long password"));
    ada.check_alive().await;
    basic.check_alive().await;
    admin.action("user.set_password", &json!({"name": "ada", "password": "another long one"})).await.unwrap();
    assert!(is_refused_soon(&mut ada).await && is_refused_soon(&mut basic).await);
    others.check_alive().await;

    // So does the end of the account, and a namesake with the same password does not bring them back.
    let begun = there.client().await.basic("ada", "another long one").handshake().await.unwrap();
    let mut ada = session(&begun).await;
    ada.check_alive().await;
    admin.action("user.delete", &json!({"name": "ada"})).await.unwrap();
    assert!(is_refused_soon(&mut ada).await);
    admin.action("user.create", &json!({"name": "ada", "password": "another long one"})).await.unwrap();
    there.client().await.basic("ada", "another long one").check_alive().await;
    assert_eq!(ada.rows("select 1").await.unwrap_err().code(), Code::Unauthenticated);
    let mut on_the_other = here.client().await.bearer(&begun);
    assert_eq!(on_the_other.rows("select 1").await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn an_expired_session_token_is_refused() {
    let server = TestServer::with(|config| config.auth.session_token_ttl = Duration::from_secs(1)).await;
    server.admin().await;
    let token = server.client().await.basic("root", "a long password").handshake().await.unwrap();
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let status = server.client().await.bearer(&token).rows("select 1").await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("expired"), "{}", status.message());
}

#[tokio::test]
async fn an_api_token_works_until_it_is_revoked() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let made = admin.action("token.create", &json!({"label": "notebook"})).await.unwrap();
    let text = made["token"].as_str().unwrap();
    let mut client = server.client().await.bearer(text);
    client.check_alive().await;
    let handed_back = client.handshake().await.unwrap();
    assert_eq!(handed_back, text, "the token stays the one that can be revoked");
    admin.action("token.revoke", &json!({"id": made["id"]})).await.unwrap();
    assert_eq!(client.rows("select 1").await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_deleted_user_is_out_at_once_and_the_last_administrator_stays() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    admin.action("user.create", &json!({"name": "ada", "password": "a long password"})).await.unwrap();
    let mut ada = server.client().await.basic("ada", "a long password");
    ada.check_alive().await;
    admin.action("user.delete", &json!({"name": "ada"})).await.unwrap();
    assert_eq!(ada.rows("select 1").await.unwrap_err().code(), Code::Unauthenticated);
    let status = admin.action("user.delete", &json!({"name": "root"})).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("last administrator"), "{}", status.message());
}

#[tokio::test]
async fn guessing_passwords_is_slowed_down() {
    let server = TestServer::start().await;
    server.admin().await;
    let mut guesser = server.client().await;
    let mut codes = Vec::new();
    for guess in 0..12 {
        guesser = guesser.basic("root", &format!("guess {guess}"));
        codes.push(guesser.rows("select 1").await.unwrap_err().code());
    }
    assert_eq!(codes[0], Code::Unauthenticated);
    assert_eq!(codes[11], Code::ResourceExhausted, "{codes:?}");
}

#[tokio::test]
async fn secrets_are_nowhere_to_be_read() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    let made = admin.action("token.create", &json!({"label": "x"})).await.unwrap();
    let secret = made["token"].as_str().unwrap().rsplit('_').next().unwrap().to_owned();
    let users = table(&admin.query("select * from system.users").await.unwrap());
    let tokens = table(&admin.query("select * from system.tokens").await.unwrap());
    assert!(users.contains("root") && !users.contains("argon2") && !users.contains("a long password"), "{users}");
    assert!(tokens.contains(made["id"].as_str().unwrap()) && !tokens.contains(&secret), "{tokens}");
    for file in server.files("") {
        let bytes = std::fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(&secret) && !text.contains("a long password"), "{file}");
    }
}
