//! Tickets: whose, for how long, and after a restart.

use arrow_flight::Ticket;
use serde_json::json;
use tonic::Code;

use crate::support::{TestServer, numbers, shared_secret, table};

async fn ticket(client: &mut crate::support::Client, sql: &str) -> Ticket {
    client.plan(sql).await.unwrap().endpoint[0].ticket.clone().unwrap()
}

#[tokio::test]
async fn a_changed_ticket_is_refused() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let good = ticket(&mut client, "select 42").await;
    for at in [4, 20, good.ticket.len() - 1] {
        let mut bytes = good.ticket.to_vec();
        bytes[at] ^= 0x01;
        let status = client.read(Ticket::new(bytes)).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "byte {at}: {status:?}");
    }
    assert_eq!(table(&client.read(good).await.unwrap()), "42");
}

#[tokio::test]
async fn a_ticket_is_for_whoever_asked_for_it() {
    let server = TestServer::start().await;
    let mut admin = server.admin().await;
    admin.action("user.create", &json!({"name": "ada", "password": "a long password"})).await.unwrap();
    let ticket = ticket(&mut admin, "select 42").await;
    let mut ada = server.client().await.basic("ada", "a long password");
    assert_eq!(ada.read(ticket).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_ticket_outlives_the_server_and_still_names_the_same_snapshot() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.upload(&["t"], &[numbers(3)]).await.unwrap();
    let before = ticket(&mut client, "select count(*) from t").await;
    client.upload(&["t"], &[numbers(5)]).await.unwrap();
    let server = server.restart().await;
    let mut client = server.client().await;
    assert_eq!(table(&client.read(before).await.unwrap()), "3");
    assert_eq!(client.rows("select count(*) from t").await.unwrap(), "8");
}

#[tokio::test]
async fn a_ticket_of_another_server_is_refused() {
    let (here, there) = (TestServer::start().await, TestServer::start().await);
    let foreign = ticket(&mut there.client().await, "select 42").await;
    let status = here.client().await.read(foreign).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().contains("GetFlightInfo"), "{}", status.message());
}

#[tokio::test]
async fn servers_that_share_a_secret_serve_each_others_tickets() {
    let (here, there) = (TestServer::with(shared_secret).await, TestServer::with(shared_secret).await);
    let foreign = ticket(&mut there.client().await, "select 42").await;
    assert_eq!(table(&here.client().await.read(foreign).await.unwrap()), "42");
}

#[tokio::test]
async fn the_ticket_of_an_update_runs_it_once_whatever_happens_to_the_server() {
    let server = TestServer::with(shared_secret).await;
    let mut client = server.client().await;
    client.update("create table t (n bigint)").await.unwrap();
    let used = ticket(&mut client, "insert into t values (1)").await;
    let unused = ticket(&mut client, "insert into t values (2)").await;
    assert_eq!(table(&client.read(used.clone()).await.unwrap()), "1");
    let status = client.read(used.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert!(status.message().contains("has run already"), "{}", status.message());

    // A server that cannot know whether it ran does not run it.
    let other = server.beside().await;
    let status = other.client().await.read(unused.clone()).await.unwrap_err();
    assert_eq!(status.code(), Code::Aborted);
    assert!(status.message().contains("another server"), "{}", status.message());
    let server = server.restart().await;
    let mut client = server.client().await;
    for ticket in [used, unused] {
        let status = client.read(ticket).await.unwrap_err();
        assert_eq!(status.code(), Code::Aborted);
        assert!(status.message().contains("before this one restarted"), "{}", status.message());
    }
    assert_eq!(client.rows("select count(*) from t").await.unwrap(), "1");
    assert_eq!(client.rows("insert into t values (3)").await.unwrap(), "1");
}

#[tokio::test]
async fn plain_text_is_a_ticket_too() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    assert_eq!(table(&client.read(Ticket::new("select 42")).await.unwrap()), "42");
    let status = client.read(Ticket::new(vec![0xff, 0xfe, 0x00])).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let status = client.read(Ticket::new("")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    client.check_alive().await;
}
