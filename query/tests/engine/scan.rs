//! How a scan is planned: statistics, pruning, partitions.

use crate::support::Fixture;

async fn plan_text(fixture: &Fixture, sql: &str) -> String {
    fixture.rows(&format!("explain {sql}")).await.join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_and_bounds_come_from_statistics() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t as select v as a from generate_series(1, 1000) as g(v)").await;
    fixture.update("insert into t select v from generate_series(2001, 2100) as g(v)").await;
    let text = plan_text(&fixture, "select count(*), min(a), max(a) from t").await;
    assert!(text.contains("PlaceholderRowExec") && !text.contains("DataSourceExec"), "{text}");
    assert_eq!(fixture.rows("select count(*), min(a), max(a) from t").await, ["1100|1|2100"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_pruned_by_statistics() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (a bigint, s varchar)").await;
    for i in 0..10 {
        fixture
            .update(&format!(
                "insert into t select v, concat('name-', {i}) from generate_series({i}000, {i}999) as g(v)"
            ))
            .await;
    }
    let files = |text: &str| text.matches(".parquet").count();
    assert_eq!(files(&plan_text(&fixture, "select * from t").await), 10);
    assert_eq!(files(&plan_text(&fixture, "select * from t where a = 3500").await), 1);
    assert_eq!(files(&plan_text(&fixture, "select * from t where s = 'name-7'").await), 1);
    assert_eq!(files(&plan_text(&fixture, "select * from t where a > 7999 and s <> 'x'").await), 2);
    assert_eq!(files(&plan_text(&fixture, "select * from t where a is null").await), 0);
    assert_eq!(fixture.rows("select s from t where a = 3500").await, ["name-3"]);
    assert!(fixture.rows("select s from t where a = -1").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_reads_few_files() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (a bigint)").await;
    for i in 0..6 {
        fixture.update(&format!("insert into t select v from generate_series({i}00, {i}99) as g(v)")).await;
    }
    let text = plan_text(&fixture, "select * from t limit 150").await;
    assert_eq!(text.matches(".parquet").count(), 2, "{text}");
    assert_eq!(fixture.rows("select * from t limit 150").await.len(), 150);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_is_an_error_and_no_short_answer() {
    let fixture = Fixture::local().await;
    fixture.update("create table t as select v as a from generate_series(1, 10000) as g(v)").await;
    let key = fixture.rows("select key from system.files").await.remove(0);
    let path = fixture.dir.as_ref().unwrap().path().join("bucket").join(&key);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    assert!(fixture.try_rows("select sum(a) from t").await.is_err());
    std::fs::remove_file(&path).unwrap();
    assert!(fixture.try_rows("select sum(a) from t where a > 5").await.is_err());
}
