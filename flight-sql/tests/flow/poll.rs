//! PollFlightInfo, CancelFlightInfo and RenewFlightEndpoint.

use arrow_flight::{FlightDescriptor, FlightEndpoint, PollInfo, Ticket};
use skein_flight_sql::{Answer, CancelOutcome, FlightSql, Options};
use skein_model::{ErrorKind, Kind};
use skein_query::EngineConfig;

use crate::support::{Fixture, failed, ints, prepared, query, rows, schema_of, ticket};

const LONG: &str = "select a % 7 as r, count(*) as n from t group by r order by r";

/// One query at a time: what holds the slot decides how long the others take.
async fn fixture() -> Fixture {
    let config = EngineConfig { max_concurrent_queries: 1, target_partitions: 2, ..EngineConfig::default() };
    let f = Fixture::with_engine(Options::default(), config).await;
    f.query("create table t as select v as a from generate_series(1, 700) as g(v)").await;
    f
}

async fn slot_taken(f: &Fixture) -> Answer {
    f.open(&f.info(&query("select * from t")).await.unwrap()).await.unwrap()
}

fn is_working(poll: &PollInfo) -> bool {
    let info = poll.info.as_ref().unwrap();
    assert!(!info.schema.is_empty() && info.endpoint.is_empty() == poll.flight_descriptor.is_some(), "{poll:?}");
    poll.flight_descriptor.is_some()
}

/// Asks again until it is there.
async fn finished(f: &Fixture, sql: &FlightSql, mut poll: PollInfo) -> PollInfo {
    while let Some(descriptor) = &poll.flight_descriptor {
        assert!(poll.progress.is_none_or(|progress| (0.0..=1.0).contains(&progress)), "{poll:?}");
        assert!(poll.expiration_time.is_some());
        poll = sql.poll(&f.session, descriptor).await.unwrap();
    }
    assert_eq!(poll.progress, Some(1.0));
    poll
}

async fn counts(f: &Fixture, sql: &FlightSql, poll: &PollInfo) -> Vec<String> {
    let info = poll.info.as_ref().unwrap();
    let answer = sql.open(&f.session, &ticket(info)).await.unwrap();
    assert_eq!(schema_of(&info.schema), *answer.schema);
    rows(answer).await.unwrap()
}

fn expected() -> Vec<String> {
    (0..7).map(|r| format!("{r}|100")).collect()
}

#[tokio::test]
async fn what_streams_at_once_is_complete_at_the_first_poll() {
    let f = fixture().await;
    let path = FlightDescriptor::new_path(vec!["t".to_owned()]);
    // Of a table this small, a filter's rows come at once, too.
    for descriptor in [query("select a from t where a > 5"), path, query("insert into t values (0)")] {
        let poll = f.sql.poll(&f.session, &descriptor).await.unwrap();
        assert!(!is_working(&poll) && poll.progress == Some(1.0), "{poll:?}");
    }
    // Polling has run nothing.
    assert_eq!(f.query("select count(*) from t").await, ["700"]);
}

#[tokio::test]
async fn a_long_query_is_asked_for_until_it_is_there() {
    let f = fixture().await;
    let busy = slot_taken(&f).await;
    let poll = f.sql.poll(&f.session, &query(LONG)).await.unwrap();
    assert!(is_working(&poll) && poll.progress == Some(0.0), "{poll:?}");
    drop(busy);
    let poll = finished(&f, &f.sql, poll).await;
    assert_eq!(counts(&f, &f.sql, &poll).await, expected());
    // The ticket is as good as any: it runs the query again.
    assert_eq!(counts(&f, &f.sql, &poll).await, expected());
}

#[tokio::test]
async fn a_prepared_query_is_polled_with_its_values() {
    let f = fixture().await;
    let handle = f.prepare("select count(*) as n, $1 as r from t where a % 7 = $1").await;
    let bound = f.bind(&handle, ints(&[3])).await.unwrap();
    let poll = f.sql.poll(&f.session, &prepared(&bound)).await.unwrap();
    let poll = finished(&f, &f.sql, poll).await;
    assert_eq!(counts(&f, &f.sql, &poll).await, ["100|3"]);
}

#[tokio::test]
async fn another_server_starts_over() {
    let f = fixture().await;
    let busy = slot_taken(&f).await;
    let poll = f.sql.poll(&f.session, &query(LONG)).await.unwrap();
    assert!(is_working(&poll));
    // The first server is no more.
    f.sql.cancel(&f.session, poll.info.as_ref().unwrap()).await.unwrap();
    drop(busy);
    let other = f.another_server(b"key");
    let poll = finished(&f, &other, poll).await;
    assert_eq!(counts(&f, &other, &poll).await, expected());
}

#[tokio::test]
async fn what_is_polled_can_be_cancelled_by_its_principal_only() {
    let f = fixture().await;
    let busy = slot_taken(&f).await;
    let poll = f.sql.poll(&f.session, &query(LONG)).await.unwrap();
    let (info, again) = (poll.info.unwrap(), poll.flight_descriptor.unwrap());
    let bob = f.session_of("bob");
    assert_eq!(failed(f.sql.cancel(&bob, &info).await).kind(), ErrorKind::PermissionDenied);
    assert_eq!(failed(f.sql.poll(&bob, &again).await).kind(), ErrorKind::PermissionDenied);
    // Another session of the same principal may; another server has nothing to cancel.
    let same = f.session_of(&f.session.principal().name);
    let elsewhere = f.another_server(b"key").cancel(&same, &info).await.unwrap();
    assert_eq!(elsewhere, CancelOutcome::NotCancellable);
    assert_eq!(f.sql.cancel(&same, &info).await.unwrap(), CancelOutcome::Cancelled);
    assert_eq!(failed(f.sql.poll(&f.session, &again).await).kind(), ErrorKind::Cancelled);
    drop(busy);
    assert_eq!(f.query("select count(*) from t").await, ["700"]);
}

#[tokio::test]
async fn the_error_of_a_polled_query_is_told() {
    let f = fixture().await;
    let failing = query("select sum(1 / (a - 5)) from t");
    let mut answer = f.sql.poll(&f.session, &failing).await;
    while let Ok(PollInfo { flight_descriptor: Some(again), .. }) = &answer {
        answer = f.sql.poll(&f.session, again).await;
    }
    let error = failed(answer);
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("zero"), "{error}");
}

#[tokio::test]
async fn the_other_endpoints_of_a_cancelled_statement_are_not_opened() {
    let f = Fixture::new().await;
    f.query("create table t as select v as a from generate_series(1, 10) as g(v)").await;
    f.query("insert into t values (11)").await;
    f.session.set_option("partitions", "2").unwrap();
    let info = f.info(&query("select * from t")).await.unwrap();
    let open = async |n: usize| f.sql.open(&f.session, info.endpoint[n].ticket.as_ref().unwrap()).await;
    let _first = open(0).await.unwrap();
    assert_eq!(f.sql.cancel(&f.session, &info).await.unwrap(), CancelOutcome::Cancelled);
    assert_eq!(failed(open(1).await).kind(), ErrorKind::Cancelled);
}

#[tokio::test]
async fn an_endpoint_is_renewed_while_it_is_valid() {
    let f = Fixture::new().await;
    f.query("create table t as select 1 as a").await;
    let endpoint = f.info(&query("select * from t")).await.unwrap().endpoint.remove(0);
    f.clock.advance(chrono::TimeDelta::minutes(59));
    let renewed = f.sql.renew(&f.session, &endpoint).unwrap();
    let seconds = |endpoint: &FlightEndpoint| endpoint.expiration_time.as_ref().unwrap().seconds;
    assert_eq!(seconds(&renewed) - seconds(&endpoint), 59 * 60);
    f.clock.advance(chrono::TimeDelta::minutes(30));
    let open = async |endpoint: &FlightEndpoint| f.sql.open(&f.session, endpoint.ticket.as_ref().unwrap()).await;
    assert_eq!(rows(open(&renewed).await.unwrap()).await.unwrap(), ["1"]);
    assert!(open(&endpoint).await.is_err());

    let refused = |endpoint: &FlightEndpoint| failed(f.sql.renew(&f.session, endpoint));
    assert!(refused(&endpoint).to_string().contains("expired"));
    assert_eq!(refused(&FlightEndpoint::new()).kind(), ErrorKind::InvalidInput);
    let text = FlightEndpoint::new().with_ticket(Ticket::new("select 1"));
    assert_eq!(refused(&text).kind(), ErrorKind::InvalidInput);
    let foreign = failed(f.sql.renew(&f.session_of("bob"), &renewed));
    assert_eq!(foreign.kind(), ErrorKind::PermissionDenied);
    let update = f.info(&query("insert into t values (2)")).await.unwrap().endpoint.remove(0);
    assert!(refused(&update).to_string().contains("works once"));
}
