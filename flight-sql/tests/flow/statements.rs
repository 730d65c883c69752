//! Statements as text: encoding, errors, cancelling.

use arrow_flight::FlightDescriptor;
use arrow_schema::DataType;
use futures::StreamExt;
use skein_flight_sql::CancelOutcome;
use skein_model::{ErrorKind, Kind};

use crate::support::{Fixture, failed, query, schema_of, ticket};

const NESTED: &str = "select arrow_cast('a', 'Utf8View') as s, \
                      named_struct('x', make_array(arrow_cast('b', 'Utf8View'))) as n, 1 as i";

#[tokio::test]
async fn the_default_encoding_suits_old_clients_and_fast_keeps_views() {
    let f = Fixture::new().await;
    assert_eq!(f.query(NESTED).await, ["a|{x: [b]}|1"]);
    let safe = schema_of(&f.info(&query(NESTED)).await.unwrap().schema);
    assert_eq!(safe.field(0).data_type(), &DataType::Utf8);
    assert!(!safe.field(1).data_type().to_string().contains("Utf8View"));
    assert_eq!(safe.field(2).metadata()["ARROW:FLIGHT:SQL:TYPE_NAME"], "BIGINT");

    f.session.set_option("encoding", "fast").unwrap();
    assert_eq!(f.query(NESTED).await, ["a|{x: [b]}|1"]);
    let fast = schema_of(&f.info(&query(NESTED)).await.unwrap().schema);
    assert_eq!(fast.field(0).data_type(), &DataType::Utf8View);
    assert!(fast.field(2).metadata().is_empty());
}

#[tokio::test]
async fn the_encoding_of_a_ticket_is_the_one_its_info_promised() {
    let f = Fixture::new().await;
    let info = f.info(&query(NESTED)).await.unwrap();
    f.session.set_option("encoding", "fast").unwrap();
    assert_eq!(*f.open(&info).await.unwrap().schema, schema_of(&info.schema));
}

#[tokio::test]
async fn plain_text_is_sql() {
    let f = Fixture::new().await;
    assert_eq!(f.read(&FlightDescriptor::new_cmd("select 1 + 1")).await.unwrap(), ["2"]);
    let answer = f.sql.open(&f.session, &arrow_flight::Ticket::new("select 42")).await.unwrap();
    assert_eq!(crate::support::rows(answer).await.unwrap(), ["42"]);
}

#[tokio::test]
async fn errors_keep_their_kind() {
    let f = Fixture::new().await;
    assert_eq!(failed(f.info(&query("selec 1")).await).kind(), ErrorKind::InvalidInput);
    assert_eq!(failed(f.info(&query("select * from nowhere")).await).kind(), ErrorKind::NotFound);
    assert_eq!(failed(f.info(&query("grant select on t to me")).await).kind(), ErrorKind::Unimplemented);
    let error = failed(f.info(&query("select $1")).await);
    assert!(error.to_string().contains("prepare"), "{error}");
    let long = format!("select '{}'", "x".repeat(17 << 20));
    assert_eq!(failed(f.info(&query(&long)).await).kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_long_statement_stays_on_the_server() {
    let f = Fixture::new().await;
    let long = format!("select length('{}')", "x".repeat(1 << 20));
    assert_eq!(f.query(&long).await, ["1048576"]);
    let info = f.info(&query(&long)).await.unwrap();
    assert!(ticket(&info).ticket.len() < 10_000);
    let error = failed(f.another_server(b"key").open(&f.session, &ticket(&info)).await);
    assert!(error.to_string().contains("gone"), "{error}");
}

#[tokio::test]
async fn a_running_query_is_cancelled_by_its_info() {
    let f = Fixture::new().await;
    let info = f.info(&query("select a.value from generate_series(1, 100000000) a")).await.unwrap();
    assert_eq!(f.sql.cancel(&f.session, &info).await.unwrap(), CancelOutcome::NotCancellable);
    let mut answer = f.open(&info).await.unwrap();
    assert!(answer.query_id.is_some());
    answer.stream.next().await.unwrap().unwrap();
    assert_eq!(f.sql.cancel(&f.session, &info).await.unwrap(), CancelOutcome::Cancelled);
    let error = loop {
        match answer.stream.next().await.expect("an error, not the end") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    drop(answer);
    assert_eq!(f.sql.cancel(&f.session, &info).await.unwrap(), CancelOutcome::NotCancellable);
    assert!(f.sql.cancel(&f.session, &Default::default()).await.is_err());
}

#[tokio::test]
async fn a_result_of_too_many_rows_ends_in_an_error() {
    let f = Fixture::new().await;
    let numbers = query("select a.value from generate_series(1, 100) a");
    f.session.set_option("row_limit", "100").unwrap();
    assert_eq!(f.read(&numbers).await.unwrap().len(), 100);
    f.session.set_option("row_limit", "99").unwrap();
    let error = failed(f.read(&numbers).await);
    assert!(error.kind() == ErrorKind::ResourceExhausted && error.to_string().contains("row_limit"), "{error}");
    f.session.set_option("row_limit", "none").unwrap();
    assert_eq!(f.read(&numbers).await.unwrap().len(), 100);
}

#[tokio::test]
async fn a_dropped_stream_leaves_nothing_running() {
    let f = Fixture::new().await;
    let info = f.info(&query("select a.value from generate_series(1, 100000000) a")).await.unwrap();
    let mut answer = f.open(&info).await.unwrap();
    answer.stream.next().await.unwrap().unwrap();
    drop(answer);
    assert_eq!(f.sql.cancel(&f.session, &info).await.unwrap(), CancelOutcome::NotCancellable);
}
