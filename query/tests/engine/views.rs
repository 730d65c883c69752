//! Views.

use skein_model::ErrorKind;

use crate::support::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn a_view_follows_its_table() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t as select 1 as a, 'x' as b").await;
    fixture.update("create view v (n, w) as select a + 1, b from t where a > 0").await;
    assert_eq!(fixture.rows("select w, n from v").await, ["x|2"]);
    fixture.update("insert into t values (5, 'y')").await;
    assert_eq!(fixture.rows("select sum(n) from v").await, ["8"]);
    assert_eq!(fixture.error("create view v as select 1").await.0, ErrorKind::AlreadyExists);
    fixture.update("create or replace view v as select x.b from t version as of 1 as x").await;
    assert!(fixture.rows("show create table v").await[0].contains("version as of 1"));
    fixture.update("create view if not exists v as select 1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_views_names_are_those_of_its_creator() {
    let fixture = Fixture::memory().await;
    fixture.update("create schema mine").await;
    fixture.update("create table mine.t as select 1 as a").await;
    fixture.update("set schema = mine").await;
    fixture.update("create view v as select a from t").await;
    fixture.update("reset schema").await;
    fixture.update("create table t as select 'wrong' as a").await;
    assert_eq!(fixture.rows("select a from mine.v").await, ["1"]);
    fixture.update("create temporary table t as select 'temp' as a").await;
    fixture.update("set schema = mine").await;
    assert_eq!(fixture.rows("select a from v").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_views_say_so_and_hide_nothing() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t as select 1 as a").await;
    fixture.update("create view v as select a from t").await;
    fixture.update("create view w as select a from v").await;
    assert_eq!(fixture.rows("select a from w").await, ["1"]);
    fixture.update("create or replace view v as select a from t union all select 2").await;
    fixture.update("drop table t").await;
    assert_eq!(fixture.error("select a from w").await.0, ErrorKind::NotFound);
    fixture.update("create table t as select 3 as b").await;
    assert_eq!(fixture.error("select a from w").await.0, ErrorKind::InvalidInput);
    let columns =
        fixture.rows("select column_name from information_schema.columns where table_schema = 'public'").await;
    assert_eq!(columns, ["b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_of_itself_is_no_endless_loop() {
    let fixture = Fixture::memory().await;
    fixture.update("create view v as select 1 as a").await;
    fixture.update("create view w as select a from v").await;
    let (kind, message) = fixture.error("create or replace view v as select a from w").await;
    assert_eq!(kind, ErrorKind::InvalidInput);
    assert!(message.contains("itself"), "{message}");
    assert_eq!(fixture.rows("select * from w").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn views_that_cannot_be() {
    let fixture = Fixture::memory().await;
    fixture.update("create temporary table tt as select 1 as a").await;
    assert_eq!(fixture.error("create view v as select * from tt").await.0, ErrorKind::NotFound);
    assert_eq!(fixture.error("create view v as select $1").await.0, ErrorKind::InvalidInput);
    assert_eq!(fixture.error("create materialized view v as select 1").await.0, ErrorKind::Unimplemented);
    assert_eq!(fixture.error("create view system.v as select 1").await.0, ErrorKind::InvalidInput);
}
