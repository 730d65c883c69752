//! Versions and timestamps.

use skein_model::ErrorKind;

use crate::support::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn old_versions_stay_readable() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (a int)").await;
    fixture.update("insert into t values (1)").await;
    fixture.update("insert into t values (2)").await;
    for (sql, answer) in [
        ("select count(*) from t version as of 1", "0"),
        ("select count(*) from t for version as of 2", "1"),
        ("select count(*) from t version as of 3", "2"),
        ("select count(x.a) from t version as of 2 as x", "1"),
        ("select count(*) from t version as of 2 old join t on old.a = t.a", "1"),
        ("select (select count(*) from t version as of 2) - (select count(*) from public.t version as of 3)", "-1"),
        ("select t.a from t version as of 2 where t.a = 1", "1"),
        ("select count(*) from t timestamp as of '2999-01-01'", "2"),
        ("select count(*) from t for system_time as of now() + interval '1 day'", "2"),
        ("with t as (select * from t version as of 2) select count(*) from t", "1"),
    ] {
        assert_eq!(fixture.rows(sql).await, [answer], "{sql}");
    }
    fixture.update("create or replace table t as select 'new' as b").await;
    assert_eq!(fixture.rows("select a from t version as of 3 order by a").await, ["1", "2"]);
    assert_eq!(fixture.rows("select * from t").await, ["new"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_between_versions() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t as select 1 as a").await;
    let made = fixture.rows("select max(committed_at) from system.snapshots").await.remove(0);
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    fixture.update("insert into t values (2)").await;
    assert_eq!(fixture.rows(&format!("select a from t timestamp as of '{made}'")).await, ["1"]);
    assert_eq!(fixture.rows("select count(*) from t").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_are_none() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (a int)").await;
    fixture.update("create view v as select * from t").await;
    fixture.update("create temp table tt as select 1 as a").await;
    for (sql, kind) in [
        ("select * from t version as of 99", ErrorKind::NotFound),
        ("select * from t timestamp as of '1999-01-01'", ErrorKind::NotFound),
        ("select * from t timestamp as of 'yesterday-ish'", ErrorKind::InvalidInput),
        ("select * from t timestamp as of 3", ErrorKind::InvalidInput),
        ("select * from t version as of 1.5", ErrorKind::InvalidInput),
        ("select * from v version as of 1", ErrorKind::InvalidInput),
        ("select * from tt version as of 1", ErrorKind::InvalidInput),
        ("select * from nosuch version as of 1", ErrorKind::NotFound),
    ] {
        let (found, message) = fixture.error(sql).await;
        assert_eq!(found, kind, "{sql}: {message}");
    }
}
