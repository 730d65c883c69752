//! Prepared statements: schemas, binding, many rows, handles.

use arrow_flight::sql::CommandPreparedStatementQuery;
use arrow_schema::DataType;
use skein_flight_sql::Options;
use skein_model::{ErrorKind, Kind};

use crate::support::{Fixture, failed, ints, nothing, pairs, prepared, schema_of, upload};

#[tokio::test]
async fn schemas_are_told_when_preparing() {
    let f = Fixture::new().await;
    f.query("create table t (a bigint, s varchar)").await;
    let result = f.sql.create_prepared(&f.session, "select s, a + 1 as b from t where a > ? and s = ?").await.unwrap();
    assert_eq!(result.is_update, Some(false));
    let dataset = schema_of(&result.dataset_schema);
    assert_eq!(dataset.field(0).data_type(), &DataType::Utf8);
    let parameters = schema_of(&result.parameter_schema);
    let parameters: Vec<_> = parameters.fields().iter().map(|p| (p.name().as_str(), p.data_type().clone())).collect();
    assert_eq!(parameters, [("$1", DataType::Int64), ("$2", DataType::Utf8)]);
    let unknown = f.sql.create_prepared(&f.session, "select $1 as x").await.unwrap();
    assert_eq!(schema_of(&unknown.parameter_schema).field(0).data_type(), &DataType::Null);
    let none = f.sql.create_prepared(&f.session, "select 1").await.unwrap();
    assert!(schema_of(&none.parameter_schema).fields().is_empty());
}

#[tokio::test]
async fn values_travel_in_the_new_handle() {
    let f = Fixture::new().await;
    let handle = f.prepare("select $1 * 2 as x, $2 as y").await;
    let error = failed(f.info(&prepared(&handle)).await);
    assert!(error.to_string().contains("none are bound"), "{error}");
    let one = f.bind(&handle, pairs(&[(1, "a")])).await.unwrap();
    let two = f.bind(&handle, pairs(&[(2, "b")])).await.unwrap();
    assert_eq!(f.read(&prepared(&one)).await.unwrap(), ["2|a"]);
    assert_eq!(f.read(&prepared(&two)).await.unwrap(), ["4|b"]);
    assert_eq!(f.another_server(b"key").flight_info(&f.session, &prepared(&one)).await.unwrap().endpoint.len(), 1);
    // A client that does not know that handles change finds the last values under the first handle.
    assert_eq!(f.read(&prepared(&handle)).await.unwrap(), ["4|b"]);
}

#[tokio::test]
async fn several_rows_of_values_give_the_results_one_after_the_other() {
    let f = Fixture::new().await;
    let handle = f.prepare("select value from generate_series(1, 3) where value <= $1").await;
    let bound = f.bind(&handle, ints(&[2, 0, 3])).await.unwrap();
    assert_eq!(f.read(&prepared(&bound)).await.unwrap(), ["1", "2", "1", "2", "3"]);
}

#[tokio::test]
async fn no_rows_of_values_give_no_rows() {
    let f = Fixture::new().await;
    let handle = f.prepare("select $1 + 1 as x").await;
    let bound = f.bind(&handle, ints(&[])).await.unwrap();
    assert!(f.read(&prepared(&bound)).await.unwrap().is_empty());
}

#[tokio::test]
async fn ten_parameters_keep_their_order() {
    let f = Fixture::new().await;
    let list: Vec<_> = (1..=11).map(|n| format!("${n}")).collect();
    let result = f.sql.create_prepared(&f.session, &format!("select {}", list.join(", "))).await.unwrap();
    let names: Vec<_> = schema_of(&result.parameter_schema).fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, list);
}

#[tokio::test]
async fn many_rows_for_an_insert_are_one_commit() {
    let f = Fixture::new().await;
    f.query("create table t (a int, s varchar)").await;
    let handle = f.prepare("insert into t values (?, ?)").await;
    let rows = pairs(&[(1, "x"), (2, "y"), (3, "z")]);
    assert_eq!(f.update_prepared(&handle, upload(vec![rows.clone(), rows])).await.unwrap(), 6);
    assert_eq!(f.query("select count(*), sum(a), max(s) from t").await, ["6|12|z"]);
    assert_eq!(f.query("select count(*) from system.snapshots where operation = 'append'").await, ["1"]);
    assert_eq!(f.update_prepared(&handle, upload(vec![pairs(&[])])).await.unwrap(), 0);
    let error = failed(f.update_prepared(&handle, upload(vec![ints(&[1])])).await);
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("takes 2 parameters"), "{error}");
    assert!(f.update_prepared(&handle, nothing()).await.is_err());
}

#[tokio::test]
async fn values_bound_before_serve_an_update() {
    let f = Fixture::new().await;
    f.query("create table t (a int, s varchar)").await;
    let handle = f.prepare("insert into t values ($1, $2)").await;
    let bound = f.bind(&handle, pairs(&[(1, "x")])).await.unwrap();
    assert_eq!(f.update_prepared(&bound, nothing()).await.unwrap(), 1);
    // ADBC's `execute` with values: GetFlightInfo, DoGet.
    let info = f.info(&prepared(&bound)).await.unwrap();
    assert_eq!(crate::support::rows(f.open(&info).await.unwrap()).await.unwrap(), ["1"]);
    assert_eq!(f.query("select count(*) from t").await, ["2"]);
}

#[tokio::test]
async fn every_execution_sees_the_latest_data() {
    let f = Fixture::new().await;
    f.query("create table t (a bigint)").await;
    let handle = f.prepare("select count(*) from t").await;
    for expected in ["0", "1", "2"] {
        assert_eq!(f.read(&prepared(&handle)).await.unwrap(), [expected]);
        f.query("insert into t values (1)").await;
    }
}

#[tokio::test]
async fn large_values_stay_on_the_server() {
    let f = Fixture::with(Options { inline_parameter_bytes: 100, ..Options::default() }).await;
    let handle = f.prepare("select count(*) + $1 as x").await;
    let values: Vec<i64> = (0..100).collect();
    let bound = f.bind(&handle, ints(&values)).await.unwrap();
    assert!(bound.len() < 1000);
    assert_eq!(f.read(&prepared(&bound)).await.unwrap().len(), 100);
    let error = failed(f.another_server(b"key").flight_info(&f.session, &prepared(&bound)).await);
    assert!(error.to_string().contains("bind them again"), "{error}");
}

#[tokio::test]
async fn handles_are_guarded_like_tickets() {
    let f = Fixture::new().await;
    let handle = f.prepare("select 1").await;
    let foreign = failed(f.sql.flight_info(&f.session_of("bob"), &prepared(&handle)).await);
    assert_eq!(foreign.kind(), ErrorKind::PermissionDenied);
    let garbage = failed(f.info(&prepared(&"nonsense".into())).await);
    assert!(garbage.kind() == ErrorKind::InvalidInput && garbage.to_string().contains("handle"), "{garbage}");
    let bind = CommandPreparedStatementQuery { prepared_statement_handle: "nonsense".into() };
    assert!(f.put(&bind, upload(vec![ints(&[1])])).await.is_err());

    f.sql.close_prepared(&f.session, &handle).await.unwrap();
    f.sql.close_prepared(&f.session, &handle).await.unwrap();
    // Closing frees what the server keeps; the handle itself is self-contained.
    assert_eq!(f.read(&prepared(&handle)).await.unwrap(), ["1"]);
    f.clock.advance(chrono::TimeDelta::days(2));
    let expired = failed(f.info(&prepared(&handle)).await);
    assert!(expired.to_string().contains("prepare the statement again"), "{expired}");
}
