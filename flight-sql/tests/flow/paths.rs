//! PATH descriptors, bare names, ListFlights.

use arrow_flight::{FlightDescriptor, Ticket};
use skein_model::{ErrorKind, Kind};
use skein_query::TempMode;

use crate::support::{Fixture, failed, ints, rows};

fn path(parts: &[&str]) -> FlightDescriptor {
    FlightDescriptor::new_path(parts.iter().map(|&part| part.to_owned()).collect())
}

#[tokio::test]
async fn a_path_reads_a_whole_table() {
    let f = Fixture::new().await;
    f.query("create table \"my.Table\" as select 1 as a").await;
    for parts in [&["my.Table"][..], &["public", "my.Table"], &["skein", "public", "my.Table"]] {
        assert_eq!(f.read(&path(parts)).await.unwrap(), ["1"]);
    }
    assert_eq!(f.read(&FlightDescriptor::new_cmd("my.Table")).await.unwrap(), ["1"]);
    let answer = f.sql.open(&f.session, &Ticket::new("my.Table")).await.unwrap();
    assert_eq!(rows(answer).await.unwrap(), ["1"]);
    assert!(!f.read(&path(&["system", "datasets"])).await.unwrap().is_empty());
}

#[tokio::test]
async fn temporary_tables_come_first() {
    let f = Fixture::new().await;
    f.query("create table t as select 1 as a").await;
    let batch = ints(&[7]);
    f.session.put_temp_table("t", batch.schema(), vec![batch], TempMode::Create).await.unwrap();
    assert_eq!(f.read(&path(&["t"])).await.unwrap(), ["7"]);
    assert_eq!(f.read(&path(&["public", "t"])).await.unwrap(), ["1"]);
    assert_eq!(f.read(&path(&["temp", "t"])).await.unwrap(), ["7"]);
}

#[tokio::test]
async fn odd_paths_say_what_is_wrong() {
    let f = Fixture::new().await;
    let long = "x".repeat(300);
    for (parts, kind) in [
        (&["nowhere"][..], ErrorKind::NotFound),
        (&["no\"where"], ErrorKind::NotFound),
        (&["🪿"], ErrorKind::NotFound),
        (&["../etc/passwd"], ErrorKind::NotFound),
        (&["elsewhere", "public", "t"], ErrorKind::NotFound),
        (&[""], ErrorKind::InvalidInput),
        (&[], ErrorKind::InvalidInput),
        (&["a", "b", "c", "d"], ErrorKind::InvalidInput),
        (&["nul\0"], ErrorKind::InvalidInput),
        (&[long.as_str()], ErrorKind::InvalidInput),
    ] {
        let error = failed(f.info(&path(parts)).await);
        assert_eq!(error.kind(), kind, "{parts:?}: {error}");
    }
}

#[tokio::test]
async fn list_flights_leads_to_the_data() {
    let f = Fixture::new().await;
    f.query("create table sales_1 as select 1 as a").await;
    f.query("create view sales_2 as select 2 as a").await;
    f.query("create schema other").await;
    f.query("create table other.sales_3 as select 'x' as s").await;
    let flights = f.sql.flights(&f.session, b"").await.unwrap();
    let mut read = Vec::new();
    for info in &flights {
        let answer = f.open(info).await.unwrap();
        assert_eq!(crate::support::schema_of(&info.schema), *answer.schema);
        read.extend(rows(answer).await.unwrap());
        assert_eq!(f.read(info.flight_descriptor.as_ref().unwrap()).await.unwrap().len(), 1);
    }
    read.sort();
    assert_eq!(read, ["1", "2", "x"]);
    assert_eq!(f.sql.flights(&f.session, b"other.%").await.unwrap().len(), 1);
    assert_eq!(f.sql.flights(&f.session, b"sales\\_1").await.unwrap().len(), 1);
    assert_eq!(failed(f.sql.flights(&f.session, b"\xff").await).kind(), ErrorKind::InvalidInput);
}
