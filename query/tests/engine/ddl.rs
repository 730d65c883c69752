//! CREATE and DROP.

use skein_model::ErrorKind;

use crate::support::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn create_table_keeps_types_and_not_null() {
    let fixture = Fixture::memory().await;
    fixture
        .update("create table t (a int not null, b double, c varchar(10), d date, e boolean, f bytea, g int[], h timestamp with time zone)")
        .await;
    let columns = fixture
        .rows("select column_name, sql_type, nullable from system.columns where table_name = 't' order by position")
        .await;
    assert_eq!(columns[0], "a|INT|false");
    assert_eq!(columns[2], "c|VARCHAR|true");
    assert_eq!(columns[6], "g|INT[]|true");
    let (kind, message) = fixture.error("insert into t (b) values (1.0)").await;
    assert_eq!(kind, ErrorKind::InvalidInput, "{message}");
    assert!(message.contains("'a'"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn create_table_as_select() {
    let fixture = Fixture::local().await;
    let rows = fixture
        .update("create table t as select v as n, v * 1.5 as d, 'x' as s from generate_series(1, 1000) as g(v)")
        .await;
    assert_eq!(rows, Some(1000));
    assert_eq!(fixture.rows("select count(*), sum(n), max(s) from t").await, ["1000|500500|x"]);
    assert_eq!(fixture.update("create table if not exists t as select 1 as n").await, None);
    let (kind, _) = fixture.error("create table t as select 1 as n").await;
    assert_eq!(kind, ErrorKind::AlreadyExists);
    assert_eq!(fixture.update("create or replace table t as select 'y' as other").await, Some(1));
    assert_eq!(fixture.rows("select * from t").await, ["y"]);
    assert_eq!(fixture.update("create table typed (a bigint not null, b varchar) as select 1, 2").await, Some(1));
    assert_eq!(fixture.rows("describe typed").await, ["a|Int64|NO", "b|Utf8|YES"]);
    // Replacing a table from itself reads the old version.
    fixture.update("create or replace table typed as select a + 1 as a from typed").await;
    assert_eq!(fixture.rows("select a from typed").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_ctas_leaves_nothing() {
    let fixture = Fixture::local().await;
    let (kind, _) =
        fixture.error("create table t as select 10 / (v - 500) as x from generate_series(1, 1000) as g(v)").await;
    assert_eq!(kind, ErrorKind::InvalidInput);
    assert_eq!(fixture.error("select * from t").await.0, ErrorKind::NotFound);
    assert!(fixture.rows("show tables in public").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn unusable_tables_are_refused() {
    let fixture = Fixture::memory().await;
    let wide: Vec<_> = (0..20_001).map(|i| format!("c{i} int")).collect();
    let wide = format!("create table wide ({})", wide.join(", "));
    let long = format!("create table \"{}\" (a int)", "x".repeat(300));
    for (sql, kind) in [
        ("create table t (a int, a int)", ErrorKind::InvalidInput),
        ("create table t as select 1 as a, 2 as a", ErrorKind::InvalidInput),
        ("create table t as select null as a", ErrorKind::InvalidInput),
        ("create table t ()", ErrorKind::InvalidInput),
        ("create table \"\" (a int)", ErrorKind::InvalidInput),
        ("create table t (\"\" int)", ErrorKind::InvalidInput),
        ("create table t (a int check (a > 0))", ErrorKind::Unimplemented),
        ("create table t (a int generated always as identity)", ErrorKind::Unimplemented),
        ("create table system.t (a int)", ErrorKind::InvalidInput),
        ("create table information_schema.t (a int)", ErrorKind::InvalidInput),
        ("create table nosuch.t (a int)", ErrorKind::NotFound),
        ("create table other.public.t (a int)", ErrorKind::NotFound),
        (wide.as_str(), ErrorKind::InvalidInput),
        (long.as_str(), ErrorKind::InvalidInput),
    ] {
        let (found, message) = fixture.error(sql).await;
        assert_eq!(found, kind, "{}: {message}", &sql[..sql.len().min(80)]);
    }
    assert!(fixture.rows("select * from system.datasets").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_work() {
    let fixture = Fixture::local().await;
    for name in ["a.b", "../../etc/passwd", "a/b", "it's", "🪿", "select", "x y", "a\"\"b"] {
        fixture.update(&format!("create table \"{name}\" (\"{name}\" int)")).await;
        fixture.update(&format!("insert into \"{name}\" values (1)")).await;
        assert_eq!(fixture.rows(&format!("select \"{name}\" from \"{name}\"")).await, ["1"], "{name}");
        fixture.update(&format!("drop table \"{name}\"")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn drop_drops_the_right_kind() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (a int)").await;
    fixture.update("create view v as select * from t").await;
    assert_eq!(fixture.error("drop table v").await.0, ErrorKind::InvalidInput);
    assert!(fixture.error("drop view t").await.1.contains("DROP TABLE"));
    assert_eq!(fixture.error("drop table nosuch").await.0, ErrorKind::NotFound);
    fixture.update("drop table if exists nosuch").await;
    fixture.update("drop view v").await;
    fixture.update("drop table t").await;
    assert_eq!(fixture.error("select * from t").await.0, ErrorKind::NotFound);
    assert_eq!(fixture.error("drop table system.datasets").await.0, ErrorKind::InvalidInput);
    fixture.update("create table t (b int)").await;
    assert!(fixture.rows("select b from t").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas() {
    let fixture = Fixture::memory().await;
    fixture.update("create schema mine").await;
    assert_eq!(fixture.error("create schema mine").await.0, ErrorKind::AlreadyExists);
    fixture.update("create schema if not exists mine").await;
    assert_eq!(fixture.error("create schema system").await.0, ErrorKind::InvalidInput);
    fixture.update("create table mine.t as select 1 as a").await;
    assert_eq!(fixture.rows("select a from mine.t").await, ["1"]);
    fixture.update("set schema = 'mine'").await;
    assert_eq!(fixture.rows("select a from t").await, ["1"]);
    assert_eq!(fixture.rows("select a from skein.mine.t").await, ["1"]);
    fixture.update("reset schema").await;
    assert_eq!(fixture.error("select a from t").await.0, ErrorKind::NotFound);
    assert!(fixture.rows("show schemas").await.contains(&"skein|mine".to_owned()));
    assert!(fixture.try_update("drop schema mine").await.is_err());
    fixture.update("drop schema mine cascade").await;
    fixture.update("drop schema if exists mine").await;
    assert_eq!(fixture.error("select a from mine.t").await.0, ErrorKind::NotFound);
}
