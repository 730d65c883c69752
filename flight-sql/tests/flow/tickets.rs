//! Tickets: signed, bound to a principal, good on any server, for a while.

use arrow_flight::{FlightDescriptor, Ticket};
use skein_model::{ErrorKind, Kind};

use crate::support::{Fixture, failed, query, rows, ticket};

#[tokio::test]
async fn another_server_serves_the_ticket_at_the_same_snapshot() {
    let f = Fixture::new().await;
    f.query("create table t as select 1 as a").await;
    let info = f.info(&query("select * from t")).await.unwrap();
    f.query("insert into t values (2)").await;
    for server in [&f.sql, &f.another_server(b"key")] {
        let answer = server.open(&f.session, &ticket(&info)).await.unwrap();
        assert_eq!(rows(answer).await.unwrap(), ["1"]);
    }
    assert_eq!(f.query("select count(*) from t").await, ["2"]);
}

#[tokio::test]
async fn a_ticket_is_its_owners_until_it_expires() {
    let f = Fixture::new().await;
    let info = f.info(&query("select 1")).await.unwrap();
    let ticket = ticket(&info);
    let kind = |error: skein_flight_sql::Error| (error.kind(), error.to_string());

    let (denied, text) = kind(failed(f.sql.open(&f.session_of("bob"), &ticket).await));
    assert!(denied == ErrorKind::PermissionDenied && text.contains("another user"), "{text}");
    let (forged, text) = kind(failed(f.another_server(b"other key").open(&f.session, &ticket).await));
    assert!(forged == ErrorKind::PermissionDenied && text.contains("signature"), "{text}");
    let mut damaged = ticket.ticket.to_vec();
    damaged.truncate(20);
    assert_eq!(kind(failed(f.sql.open(&f.session, &Ticket::new(damaged)).await)).0, ErrorKind::PermissionDenied);

    f.clock.advance(chrono::TimeDelta::hours(2));
    let (expired, text) = kind(failed(f.sql.open(&f.session, &ticket).await));
    assert!(expired == ErrorKind::InvalidInput && text.contains("expired"), "{text}");
}

#[tokio::test]
async fn garbage_is_refused_with_what_would_be_right() {
    let f = Fixture::new().await;
    for bytes in [&b"\xff\xfe\x00"[..], b"", b"{\"a\": 1}"] {
        let error = failed(f.sql.open(&f.session, &Ticket::new(bytes.to_vec())).await);
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("name of a table"), "{error}");
    }
    let error = failed(f.info(&FlightDescriptor::default()).await);
    assert!(error.to_string().contains("neither a path nor a command"), "{error}");
}

#[tokio::test]
async fn a_command_works_as_a_ticket_too() {
    let f = Fixture::new().await;
    let answer = f.sql.open(&f.session, &Ticket::new(query("select 7").cmd)).await.unwrap();
    assert_eq!(rows(answer).await.unwrap(), ["7"]);
}
