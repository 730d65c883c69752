//! External tables and COPY.

use skein_model::ErrorKind;

use crate::support::{Fixture, config};

#[tokio::test(flavor = "multi_thread")]
async fn what_copy_writes_an_external_table_reads() {
    let fixture = Fixture::local().await;
    fixture.update("create table t as select v as n, concat('s', v) as s from generate_series(1, 100) as g(v)").await;
    for format in ["parquet", "csv", "json", "arrow"] {
        let written = fixture.update(&format!("copy t to 'out/one.{format}'")).await;
        assert_eq!(written, Some(100), "{format}");
        fixture
            .update(&format!("create external table e_{format} stored as {format} location 'out/one.{format}'"))
            .await;
        let rows = fixture.rows(&format!("select count(*), sum(n), max(s) from e_{format}")).await;
        assert_eq!(rows, ["100|5050|s99"], "{format}");
    }
    fixture.update("copy (select n from t where n <= 10) to 'parts/a/' stored as parquet").await;
    fixture.update("copy (select n from t where n > 90) to 'parts/b/' stored as parquet").await;
    fixture.update("create external table parts stored as parquet location 'parts/'").await;
    assert_eq!(fixture.error("insert into parts values (1)").await.0, ErrorKind::InvalidInput);
    fixture.update("create external table globbed stored as csv location 'skein-bucket://main/out/*.csv' options ('format.has_header' 'true')").await;
    assert_eq!(fixture.rows("select count(*) from globbed").await, ["100"]);
    assert!(fixture.rows("show create table globbed").await[0].contains("skein-bucket://main/out/*.csv"));
    fixture.update("drop table globbed").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hive_partitions_become_columns() {
    let fixture = Fixture::local().await;
    for (year, region, n) in [(2023, "eu", 1), (2024, "eu", 2), (2024, "us", 3)] {
        fixture.update(&format!("copy (select {n} as n) to 'sales/year={year}/region={region}/x.parquet'")).await;
    }
    fixture.update("create external table sales stored as parquet location 'sales/'").await;
    assert_eq!(
        fixture.rows("select n, year, region from sales order by n").await,
        ["1|2023|eu", "2|2024|eu", "3|2024|us"]
    );
    assert_eq!(fixture.rows("select sum(n) from sales where year = 2024").await, ["5"]);
    fixture
        .update("create external table typed (n bigint, year int, region varchar) stored as parquet partitioned by (year, region) location 'sales'")
        .await;
    assert_eq!(fixture.rows("select sum(year) from typed where region = 'eu'").await, ["4047"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_files_are_seen() {
    let fixture = Fixture::local().await;
    fixture.update("copy (select 1 as n) to 'in/a.parquet'").await;
    fixture.update("create external table t stored as parquet location 'in/'").await;
    assert_eq!(fixture.rows("select count(*) from t").await, ["1"]);
    fixture.update("copy (select 2 as n) to 'in/b.parquet'").await;
    assert_eq!(fixture.rows("select count(*), sum(n) from t").await, ["2|3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_the_buckets_is_reached() {
    let fixture = Fixture::local().await;
    fixture.update("create table t as select 1 as a").await;
    for sql in [
        "create external table x stored as csv location '/etc/passwd'",
        "create external table x stored as csv location 'file:///etc/passwd'",
        "create external table x stored as csv location '../../etc/passwd'",
        "create external table x stored as json location '_skein/docs/'",
        "create external table x stored as parquet location 'tables/'",
        "create external table x stored as csv location 'skein-bucket://nosuch/x.csv'",
        "create external table x stored as csv location 's3://elsewhere/x.csv'",
        "create external table x stored as csv location '*'",
        "copy t to '/tmp/skein-escape.csv'",
        "copy t to '../escape.csv'",
        "copy t to 'tables/x.parquet'",
        "copy t to 'x/*.parquet'",
        "select * from '/etc/passwd'",
        "select * from \"/etc/passwd\"",
        "select * from \"file:///etc/passwd\"",
        "select * from read_csv('/etc/passwd')",
    ] {
        let (kind, message) = fixture.error(sql).await;
        let expected = [ErrorKind::PermissionDenied, ErrorKind::InvalidInput, ErrorKind::NotFound];
        assert!(expected.contains(&kind), "{sql}: {kind} {message}");
    }
    assert!(!std::path::Path::new("/tmp/skein-escape.csv").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn local_paths_when_they_are_allowed() {
    let fixture = Fixture::local_with(skein_query::EngineConfig { allow_local_paths: true, ..config() }).await;
    let dir = fixture.dir.as_ref().unwrap().path().join("free");
    std::fs::create_dir_all(&dir).unwrap();
    let path = dir.join("x.csv").display().to_string();
    fixture.update(&format!("copy (select 1 as a, 'b' as b) to '{path}'")).await;
    fixture
        .update(&format!("create external table x stored as csv location '{path}' options ('has_header' 'true')"))
        .await;
    assert_eq!(fixture.rows("select * from x").await, ["1|b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_files_are_named() {
    let fixture = Fixture::local().await;
    let bucket = fixture.engine.catalog().buckets().default_bucket();
    bucket.put_new("bad/x.parquet", b"this is no parquet file at all".to_vec().into()).await.unwrap();
    bucket.put_new("empty/x.parquet", Vec::new().into()).await.unwrap();
    let (kind, message) = fixture.error("create external table b stored as parquet location 'bad/x.parquet'").await;
    assert_eq!(kind, ErrorKind::Corrupt, "{message}");
    assert_eq!(
        fixture.error("create external table e stored as parquet location 'nowhere/'").await.0,
        ErrorKind::NotFound
    );
    assert_eq!(
        fixture.error("create external table e stored as avro location 'bad/'").await.0,
        ErrorKind::InvalidInput
    );
    assert!(fixture.try_update("create external table e stored as parquet location 'empty/'").await.is_err());
}
