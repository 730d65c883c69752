//! INSERT.

use skein_model::ErrorKind;

use crate::support::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn columns_are_matched_and_cast() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (a int, b varchar, c double)").await;
    assert_eq!(fixture.update("insert into t (c, a) values (1, 2)").await, Some(1));
    assert_eq!(fixture.update("insert into t select 3, 'x', 4").await, Some(1));
    assert_eq!(fixture.rows("select * from t order by a").await, ["2|NULL|1.0", "3|x|4.0"]);
    for (sql, part) in [
        ("insert into t values (1)", "expected 3"),
        ("insert into t (nosuch) values (1)", "nosuch"),
        ("insert into t (a, a) values (1, 2)", "a"),
        ("insert into t (a) values ('word')", "word"),
        ("insert into t (a) values (99999999999)", "99999999999"),
    ] {
        let (kind, message) = fixture.error(sql).await;
        assert_eq!(kind, ErrorKind::InvalidInput, "{sql}: {message}");
        assert!(message.contains(part), "{sql}: {message}");
    }
    assert_eq!(fixture.rows("select count(*) from t").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_insert_is_one_version_or_none() {
    let fixture = Fixture::local().await;
    fixture.update("create table t (a bigint not null)").await;
    fixture.update("insert into t select * from generate_series(1, 50000)").await;
    assert_eq!(fixture.rows("select max(version), count(*) from system.snapshots").await, ["2|2"]);
    let (kind, message) = fixture
        .error("insert into t select case when v = 40000 then null else v end from generate_series(1, 50000) as g(v)")
        .await;
    assert_eq!(kind, ErrorKind::InvalidInput, "{message}");
    assert!(message.contains("'a'"), "{message}");
    assert_eq!(fixture.rows("select count(*) from t").await, ["50000"]);
    assert_eq!(fixture.rows("select count(*) from system.files").await, ["1"]);
    fixture.update("insert into t select a from t where a < 3").await;
    assert_eq!(fixture.rows("select count(*) from t").await, ["50002"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn overwrite_replaces_the_rows() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t as select 1 as a").await;
    assert_eq!(fixture.update("insert overwrite t select a + 10 from t").await, Some(1));
    assert_eq!(fixture.rows("select * from t").await, ["11"]);
    assert_eq!(fixture.rows("select operation from system.snapshots order by version desc limit 1").await, ["replace"]);
    assert_eq!(fixture.update("insert overwrite t select * from t where false").await, Some(0));
    assert!(fixture.rows("select * from t").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_datasets_take_rows() {
    let fixture = Fixture::memory().await;
    fixture.update("create view v as select 1 as a").await;
    assert!(fixture.error("insert into v values (1)").await.1.contains("view"));
    let (kind, _) = fixture.error("insert into system.datasets select * from system.datasets").await;
    assert_eq!(kind, ErrorKind::InvalidInput);
}

#[tokio::test(flavor = "multi_thread")]
async fn nan_and_extremes_survive() {
    let fixture = Fixture::local().await;
    fixture
        .update("create table t as select * from (values (cast('NaN' as double), date '9999-12-31', cast('99999999999999999999999999999999999999' as decimal(38,0))), (cast('-Infinity' as double), date '0001-01-01', cast(-1 as decimal(38,0)))) as v(f, d, n)")
        .await;
    let rows = fixture.rows("select f, d, n from t order by d").await;
    assert_eq!(rows, ["-inf|0001-01-01|-1", "NaN|9999-12-31|99999999999999999999999999999999999999"]);
    assert_eq!(fixture.rows("select count(*) from t where f > 1e300").await, ["1"]);
}
