//! Results in several endpoints.

use arrow_flight::{FlightDescriptor, FlightInfo};
use skein_flight_sql::{Call, FlightSql};
use skein_model::{ErrorKind, Kind};

use crate::support::{Fixture, failed, ints, prepared, query, rows, schema_of};

async fn fixture() -> Fixture {
    let f = Fixture::new().await;
    f.query("create table t as select v as a, concat('name-', v) as s from generate_series(1, 1000) as g(v)").await;
    for start in [1001, 2001, 3001] {
        let end = start + 999;
        f.query(&format!("insert into t select v, concat('name-', v) from generate_series({start}, {end}) as g(v)"))
            .await;
    }
    f
}

async fn read(f: &Fixture, sql: &FlightSql, info: &FlightInfo) -> Vec<String> {
    let mut all = Vec::new();
    for endpoint in &info.endpoint {
        let answer = sql.open(&f.session, endpoint.ticket.as_ref().unwrap()).await.unwrap();
        assert_eq!(schema_of(&info.schema), *answer.schema);
        all.extend(rows(answer).await.unwrap());
    }
    all
}

fn asking(f: &Fixture, partitions: &str) -> Call {
    Call::new(&f.session).with_headers([("x-skein-partitions", partitions), ("x-other", "?")]).unwrap()
}

#[tokio::test]
async fn endpoints_in_order_are_the_whole_on_any_server() {
    let f = fixture().await;
    let path = FlightDescriptor::new_path(vec!["t".to_owned()]);
    let expected: Vec<String> = (1..=4000).map(|v| format!("{v}|name-{v}")).collect();
    let mut infos = Vec::new();
    for descriptor in [path, query("select * from t")] {
        let info = f.sql.flight_info(&asking(&f, "3"), &descriptor).await.unwrap();
        assert_eq!((info.endpoint.len(), info.ordered, info.total_records), (3, true, 4000));
        infos.push(info);
    }
    // What comes later is not in the tickets.
    f.query("insert into t values (0, 'late')").await;
    for info in infos {
        for server in [&f.sql, &f.another_server(b"key")] {
            assert_eq!(read(&f, server, &info).await, expected);
            // Tickets can be used again.
            assert_eq!(read(&f, server, &info).await, expected);
        }
    }
}

#[tokio::test]
async fn a_divided_result_is_polled_once_and_all_its_endpoints_can_be_read() {
    let f = fixture().await;
    for (sql, rows) in [("select * from t", 4000), ("select a from t where a > 2500", 1500)] {
        let poll = f.sql.poll(&asking(&f, "3"), &query(sql)).await.unwrap();
        assert!(poll.flight_descriptor.is_none() && poll.progress == Some(1.0), "{poll:?}");
        let info = poll.info.unwrap();
        assert_eq!(info.endpoint.len(), 3);
        assert_eq!(read(&f, &f.sql, &info).await.len(), rows);
    }
}

#[tokio::test]
async fn one_endpoint_unless_asked_for_more() {
    let f = fixture().await;
    let count = async |call: &Call, sql: &str| f.sql.flight_info(call, &query(sql)).await.unwrap().endpoint.len();
    assert_eq!(count(&Call::new(&f.session), "select * from t").await, 1);
    // A client that reads all of them gets several of a large result, and this is none.
    assert_eq!(count(&Call::new(&f.session).reads_every_endpoint(true), "select * from t").await, 1);
    assert_eq!(count(&asking(&f, "64"), "select * from t").await, 4);
    assert_eq!(count(&asking(&f, "auto"), "select * from t").await, 1);
    assert_eq!(count(&asking(&f, "8"), "select count(*) from t").await, 1);
    assert_eq!(count(&asking(&f, "8"), "select * from t order by a").await, 1);
    f.session.set_option("partitions", "2").unwrap();
    assert_eq!(count(&Call::new(&f.session), "select a from t where a > 5").await, 2);
    assert_eq!(count(&asking(&f, "1"), "select a from t where a > 5").await, 1);
    let refused = Call::new(&f.session).with_headers([("x-skein-partitions", "many")]);
    let error = failed(refused);
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("x-skein-partitions"), "{error}");
}

#[tokio::test]
async fn a_prepared_statement_is_divided_with_its_values() {
    let f = fixture().await;
    let handle = f.prepare("select a from t where a > $1").await;
    let bound = f.bind(&handle, ints(&[3990])).await.unwrap();
    let info = f.sql.flight_info(&asking(&f, "4"), &prepared(&bound)).await.unwrap();
    assert_eq!((info.endpoint.len(), info.total_records), (4, -1));
    let expected: Vec<String> = (3991..=4000).map(|v: i32| v.to_string()).collect();
    assert_eq!(read(&f, &f.another_server(b"key"), &info).await, expected);
    // Two sets of values are two runs, one after the other.
    let bound = f.bind(&handle, ints(&[3990, 3995])).await.unwrap();
    let info = f.sql.flight_info(&asking(&f, "4"), &prepared(&bound)).await.unwrap();
    assert_eq!(info.endpoint.len(), 1);
    assert_eq!(read(&f, &f.sql, &info).await.len(), 15);
}

#[tokio::test]
async fn a_changed_part_is_a_forged_ticket() {
    let f = fixture().await;
    let info = f.sql.flight_info(&asking(&f, "2"), &query("select * from t")).await.unwrap();
    let mut ticket = info.endpoint[1].ticket.clone().unwrap();
    let mut bytes = ticket.ticket.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    ticket.ticket = bytes.into();
    assert_eq!(failed(f.sql.open(&f.session, &ticket).await).kind(), ErrorKind::PermissionDenied);
}
