//! DELETE and TRUNCATE, and what scans make of deleted rows.

use datafusion::scalar::ScalarValue;
use skein_catalog::writer::WriterOptions;
use skein_model::ErrorKind;
use skein_query::EngineConfig;

use crate::support::{Fixture, config, run};

/// Row groups of 1000 rows, so that a small file has several.
async fn small_groups() -> Fixture {
    let writer = WriterOptions { row_group_rows: 1000, ..WriterOptions::default() };
    Fixture::memory_with(EngineConfig { writer, ..config() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_match_leave_and_old_versions_keep_them() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (a bigint, b varchar)").await;
    fixture.update("insert into t values (1, 'x'), (2, null), (3, 'y'), (null, 'z')").await;
    assert_eq!(fixture.update("delete from t where b <> 'x'").await, Some(2), "NULL <> 'x' is not true");
    assert_eq!(fixture.rows("select a, b from t order by a").await, ["1|x", "2|NULL"]);
    assert_eq!(fixture.rows("select count(*), count(a), count(b) from t").await, ["2|2|1"]);
    assert_eq!(fixture.rows("select count(*) from t version as of 2").await, ["4"]);
    assert_eq!(fixture.update("delete from t where b <> 'x'").await, Some(0));
    assert_eq!(fixture.rows("select max(version) from system.snapshots").await, ["3"], "nothing to delete, no version");
    assert_eq!(fixture.update("delete from t as old where old.a = 2").await, Some(1));
    assert_eq!(fixture.update("DELETE FROM \"t\" WHERE A = 1").await, Some(1));
    assert!(fixture.rows("select * from t").await.is_empty());
    let operations = fixture.rows("select operation, rows_removed from system.snapshots order by version").await;
    assert_eq!(operations, ["create|0", "append|0", "delete|2", "delete|1", "delete|1"]);
    assert!(fixture.rows("select * from system.files").await.is_empty(), "a file without rows leaves");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_condition_all_rows_leave() {
    let fixture = Fixture::memory().await;
    for (statement, operation) in
        [("delete from t", "delete"), ("truncate table t", "truncate"), ("truncate t", "truncate")]
    {
        fixture.update("create or replace table t as select v as a from generate_series(1, 100) as g(v)").await;
        fixture.update("delete from t where a > 90").await;
        assert_eq!(fixture.update(statement).await, Some(90), "{statement}");
        assert!(fixture.rows("select * from t").await.is_empty());
        let last =
            fixture.rows("select operation, rows_removed from system.snapshots order by version desc limit 1").await;
        assert_eq!(last, [format!("{operation}|90")]);
        assert_eq!(fixture.update(statement).await, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_can_be_queries_and_parameters() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t as select v as a, v % 10 as k from generate_series(1, 100) as g(v)").await;
    fixture.update("create table gone as select 3 as k").await;
    assert_eq!(fixture.update("delete from t where k in (select k from gone)").await, Some(10));
    let exists = "delete from t where exists (select 1 from gone where gone.k + 1 = t.k) and a < 50";
    assert_eq!(fixture.update(exists).await, Some(5));
    assert_eq!(fixture.update("delete from t where a > (select avg(a) + 40 from t version as of 2)").await, Some(9));
    let plan = fixture.plan("delete from t where k = ? or a = $2").await;
    assert!(plan.is_err(), "two ways to write parameters");
    let plan = fixture.plan("delete from t where k = ? or a = ?").await.unwrap();
    assert_eq!(plan.parameters().len(), 2);
    // Each run reads the newest version, not the one it was prepared at.
    let run = async |k: i64, a: i64| {
        plan.bind(&[ScalarValue::from(k), ScalarValue::from(a)]).unwrap().execute_update().await.unwrap().rows
    };
    assert_eq!(run(5, 1).await, Some(10));
    assert_eq!(run(5, 2).await, Some(1));
    fixture.update("insert into t values (1000, 5)").await;
    assert_eq!(run(5, 2).await, Some(1));
    assert_eq!(fixture.rows("select count(*) from t where k = 5 or a in (1, 2)").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_scan_leaves_deleted_rows_out() {
    let fixture = small_groups().await;
    fixture
        .update(
            "create table t as select v as a, v % 7 as k, concat('s', v) as s from generate_series(0, 9999) as g(v)",
        )
        .await;
    // A whole row group, parts of others, single rows.
    assert_eq!(fixture.update("delete from t where a between 2500 and 4499").await, Some(2000));
    assert_eq!(fixture.update("delete from t where a % 100 = 1").await, Some(80));
    assert_eq!(fixture.update("delete from t where a = 9999 or a = 0").await, Some(2));
    let check = async |fixture: &Fixture| {
        assert_eq!(fixture.rows("select count(*) from t").await, ["7918"]);
        assert_eq!(
            fixture.rows("select min(a), max(a), count(a), count(distinct a) from t").await,
            ["2|9998|7918|7918"]
        );
        assert_eq!(fixture.rows("select a, s from t where a = 5000").await, ["5000|s5000"]);
        assert!(fixture.rows("select a from t where a = 5001").await.is_empty());
        assert!(fixture.rows("select a from t where s = 's3000'").await.is_empty());
        assert_eq!(fixture.rows("select count(*) from t where a >= 2000 and a < 5000").await, ["990"]);
        assert_eq!(fixture.rows("select a from t order by a limit 3").await, ["2", "3", "4"]);
        assert_eq!(fixture.rows("select a from t order by a desc limit 2").await, ["9998", "9997"]);
        assert_eq!(fixture.rows("select a from t limit 7918").await.len(), 7918);
        assert_eq!(fixture.rows("select a from t limit 9000").await.len(), 7918);
        assert_eq!(
            fixture
                .rows("select count(*) from (select a from t where a >= 5000 limit 4990) as x where a % 100 = 1")
                .await,
            ["0"]
        );
        assert_eq!(fixture.rows("select count(*) from t as x join t as y on x.a = y.a").await, ["7918"]);
        assert_eq!(fixture.rows("select count(*), sum(a) from t version as of 2").await, ["10000|49995000"]);
    };
    check(&fixture).await;
    for setting in [
        "datafusion.execution.parquet.pushdown_filters = true",
        "datafusion.optimizer.repartition_file_min_size = 1000",
        "datafusion.execution.target_partitions = 7",
        "datafusion.execution.batch_size = 100",
        "datafusion.execution.parquet.enable_page_index = false",
    ] {
        fixture.update(&format!("set {setting}")).await;
        check(&fixture).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_are_still_true() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (a bigint, n bigint, z bigint)").await;
    fixture
        .update(
            "insert into t select v, case when v > 9 then null else v end, null from generate_series(0, 99) as g(v)",
        )
        .await;
    fixture.update("delete from t where a >= 90").await;
    assert_eq!(fixture.rows("select count(*), count(n), count(z), max(a) from t").await, ["90|10|0|89"]);
    assert_eq!(fixture.rows("select count(*) from t where n is not null").await, ["10"]);
    assert_eq!(fixture.rows("select count(*) from t where z is null").await, ["90"]);
    assert_eq!(fixture.rows("select count(*) from t where z is not null").await, ["0"]);
    fixture.update("delete from t where n is not null").await;
    assert_eq!(fixture.rows("select count(*), count(n), min(a) from t").await, ["80|0|10"]);
    let text = fixture.rows("explain select count(*) from t").await.join("\n");
    assert!(text.contains("PlaceholderRowExec"), "the number of rows needs no scan: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_deleted_from_is_named() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (a int)").await;
    fixture.update("create view v as select * from t").await;
    fixture.update("create temporary table tmp as select 1 as a").await;
    for (sql, kind, part) in [
        ("delete from v", ErrorKind::InvalidInput, "is a view"),
        ("truncate table v", ErrorKind::InvalidInput, "is a view"),
        ("delete from system.tables", ErrorKind::InvalidInput, "system"),
        ("delete from tmp where a = 1", ErrorKind::Unimplemented, "temporary"),
        ("delete from nosuch", ErrorKind::NotFound, "nosuch"),
        ("delete from t where nosuch = 1", ErrorKind::InvalidInput, "nosuch"),
        ("delete from t where count(*) > 1", ErrorKind::InvalidInput, ""),
        ("delete from t using t as u where true", ErrorKind::Unimplemented, "USING"),
        ("delete from t where a = 1 returning a", ErrorKind::Unimplemented, "RETURNING"),
        ("delete from t version as of 1 where a = 1", ErrorKind::InvalidInput, ""),
        ("delete from t where a = 1 limit 1", ErrorKind::Unimplemented, "LIMIT"),
        ("truncate table t, v", ErrorKind::Unimplemented, "several"),
    ] {
        let (found, message) = fixture.error(sql).await;
        assert_eq!(found, kind, "{sql}: {message}");
        assert!(message.contains(part), "{sql}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_at_the_same_time_all_count() {
    let fixture = small_groups().await;
    fixture.update("create table t as select v as a from generate_series(0, 3999) as g(v)").await;
    let tasks: Vec<_> = (0..8)
        .map(|part| {
            let session = fixture.new_session();
            tokio::spawn(async move {
                let sql = format!("delete from t where a % 8 = {part} and a < 3000");
                let plan = session.plan(&sql, &Default::default()).await.unwrap();
                plan.execute_update().await.unwrap().rows.unwrap()
            })
        })
        .collect();
    fixture.update("insert into t select v from generate_series(4000, 4099) as g(v)").await;
    let mut deleted = 0;
    for task in tasks {
        deleted += task.await.unwrap();
    }
    assert_eq!(deleted, 3000);
    assert_eq!(fixture.rows("select count(*), min(a), max(a) from t").await, ["1100|3000|4099"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_planned_before_a_delete_reads_what_it_was_planned_for() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t as select v as a from generate_series(1, 100) as g(v)").await;
    let before = fixture.plan("select count(*), sum(a) from t where a > 0").await.unwrap();
    fixture.update("delete from t where a > 50").await;
    assert_eq!(run(&before).await.unwrap(), ["100|5050"]);
    assert_eq!(fixture.rows("select count(*), sum(a) from t where a > 0").await, ["50|1275"]);
}
