//! Updates, by DoPut and through the doors that are meant for queries.

use arrow_flight::{FlightDescriptor, sql::CommandStatementUpdate};
use skein_model::{ErrorKind, Kind};

use crate::support::{Fixture, count, failed, nothing, prepared, query, rows, schema_of};

fn update(sql: &str) -> CommandStatementUpdate {
    CommandStatementUpdate { query: sql.into(), transaction_id: None }
}

#[tokio::test]
async fn do_put_tells_the_affected_rows() {
    let f = Fixture::new().await;
    assert_eq!(count(f.put(&update("create table t (a bigint)"), nothing()).await.unwrap()), 0);
    assert_eq!(count(f.put(&update("insert into t values (1), (2)"), nothing()).await.unwrap()), 2);
    assert_eq!(f.query("select count(*) from t").await, ["2"]);
    // ADBC's executescript sends queries this way.
    assert_eq!(count(f.put(&update("select * from t"), nothing()).await.unwrap()), -1);
    let error = failed(f.put(&update("insert into nowhere values (1)"), nothing()).await);
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_update_sent_as_a_query_runs_once_and_only_in_do_get() {
    let f = Fixture::new().await;
    f.query("create table t (a bigint)").await;
    let info = f.info(&query("insert into t values (1), (2)")).await.unwrap();
    assert_eq!(f.query("select count(*) from t").await, ["0"]);
    assert_eq!(schema_of(&info.schema).field(0).name(), "rows_affected");
    assert!(info.endpoint[0].expiration_time.is_none());
    // It has run when the answer begins, before any row is read.
    let answer = f.open(&info).await.unwrap();
    assert_eq!(f.query("select count(*) from t").await, ["2"]);
    assert_eq!(rows(answer).await.unwrap(), ["2"]);
    let error = failed(f.open(&info).await);
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(f.query("select count(*) from t").await, ["2"]);
}

#[tokio::test]
async fn a_prepared_update_leaves_the_schema_to_the_stream() {
    let f = Fixture::new().await;
    let prepared_result = f.sql.create_prepared(&f.session, "create table t (a bigint)").await.unwrap();
    assert_eq!(prepared_result.is_update, Some(true));
    assert!(prepared_result.dataset_schema.is_empty());
    let handle = prepared_result.prepared_statement_handle;
    let info = f.info(&prepared(&handle)).await.unwrap();
    assert!(info.schema.is_empty());
    assert_eq!(rows(f.open(&info).await.unwrap()).await.unwrap(), ["0"]);
    assert!(f.query("select * from t").await.is_empty());
    // Each GetFlightInfo is an execution of its own.
    let error = failed(f.read(&prepared(&handle)).await);
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
}

#[tokio::test]
async fn plain_text_updates_run_once_each() {
    let f = Fixture::new().await;
    f.query("create table t (a bigint)").await;
    assert_eq!(f.read(&FlightDescriptor::new_cmd("insert into t values (1)")).await.unwrap(), ["1"]);
    let answer = f.sql.open(&f.session, &arrow_flight::Ticket::new("insert into t values (2)")).await.unwrap();
    assert_eq!(rows(answer).await.unwrap(), ["1"]);
    assert_eq!(f.query("select a from t order by a").await, ["1", "2"]);
}
