//! Queries over datasets.

use skein_model::{ErrorKind, TableName};

use crate::support::{Fixture, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_is_read_back() {
    for fixture in [Fixture::memory().await, Fixture::local().await] {
        fixture.update("create table t (id bigint not null, name varchar, at timestamp, price decimal(10,2))").await;
        assert!(fixture.rows("select * from t").await.is_empty());
        let written =
            fixture.update("insert into t values (1, 'one', '2024-05-01T12:00:00', 1.5), (2, null, null, null)").await;
        assert_eq!(written, Some(2));
        let rows = fixture.rows("select * from t order by id").await;
        assert_eq!(rows, ["1|one|2024-05-01T12:00:00|1.50", "2|NULL|NULL|NULL"]);
        assert_eq!(fixture.rows("select count(*), min(id), max(id), count(name) from t").await, ["2|1|2|1"]);
        assert_eq!(fixture.rows("select name from t where id = 1").await, ["one"]);
        assert!(fixture.rows("select name from t where id = 3").await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_datafusion_does() {
    let fixture = Fixture::memory().await;
    for (sql, answer) in [
        ("select 1", vec!["1"]),
        ("with a as (select 1 as x union all select 2) select sum(x) from a", vec!["3"]),
        (
            "with recursive n as (select 1 as i union all select i + 1 from n where i < 3) select i from n order by i",
            vec!["1", "2", "3"],
        ),
        ("select * from generate_series(1, 3) order by 1", vec!["1", "2", "3"]),
        ("select unnest([3, 4]) order by 1", vec!["3", "4"]),
        ("select row_number() over (order by v desc) from (values (1), (2)) as t(v) order by 1", vec!["1", "2"]),
        ("values (1, 'a'), (2, 'b') order by 1", vec!["1|a", "2|b"]),
        ("select 'a' || 'b', upper('x'), length('🪿')", vec!["ab|X|1"]),
    ] {
        assert_eq!(fixture.rows(sql).await, answer, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_are_one_table() {
    let fixture = Fixture::local().await;
    fixture.update("create table t (id bigint, word varchar)").await;
    for i in 0..12 {
        fixture.update(&format!("insert into t values ({i}, 'w{i}')")).await;
    }
    assert_eq!(fixture.rows("select count(*), sum(id) from t").await, ["12|66"]);
    assert_eq!(fixture.rows("select word from t where id >= 10 order by id").await, ["w10", "w11"]);
    assert_eq!(fixture.rows("select a.word from t a join t b on a.id = b.id + 10 order by 1").await, ["w10", "w11"]);
    assert_eq!(fixture.rows("select id from t limit 2").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_runs_many_times_and_keeps_its_version() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t as select 1 as a").await;
    let plan = fixture.plan("select count(*) from t").await.unwrap();
    assert_eq!(plan.pins().len(), 1);
    fixture.update("insert into t values (2)").await;
    assert_eq!(run(&plan).await.unwrap(), ["1"]);
    assert_eq!(run(&plan.clone()).await.unwrap(), ["1"]);
    let pinned = fixture.session.plan("select count(*) from t", plan.pins()).await.unwrap();
    assert_eq!(run(&pinned).await.unwrap(), ["1"]);
    assert_eq!(fixture.rows("select count(*) from t").await, ["2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_table_is_read_by_name() {
    let fixture = Fixture::memory().await;
    fixture.update(r#"create table "Odd ""name"".x" as select 1 as a, 'x' as b"#).await;
    let name = TableName::in_default_schema("Odd \"name\".x").unwrap();
    let plan = fixture.session.read_table(&name).await.unwrap();
    assert_eq!(run(&plan).await.unwrap(), ["1|x"]);
    let schema = fixture.session.table_schema(&name).await.unwrap();
    assert_eq!(schema, plan.schema());
}

#[tokio::test(flavor = "multi_thread")]
async fn now_is_the_time_of_the_run() {
    let fixture = Fixture::memory().await;
    let plan = fixture.plan("select now()").await.unwrap();
    let first = run(&plan).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    assert_ne!(first, run(&plan).await.unwrap());
    fixture.update("create view clock as select now() as t").await;
    let plan = fixture.plan("select t from clock").await.unwrap();
    let first = run(&plan).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    assert_ne!(first, run(&plan).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_and_describe() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (a int not null, b varchar)").await;
    assert!(!fixture.rows("explain select * from t").await.is_empty());
    assert!(!fixture.rows("explain analyze select count(*) from t").await.is_empty());
    assert!(!fixture.rows("explain format tree select now()").await.is_empty());
    assert_eq!(fixture.rows("describe t").await, ["a|Int32|NO", "b|Utf8|YES"]);
    let (kind, message) = fixture.error("explain insert into t values (1, 'x')").await;
    assert_eq!(kind, ErrorKind::Unimplemented, "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_their_cause() {
    let fixture = Fixture::memory().await;
    fixture.update("create table flights (a int, b varchar)").await;
    for (sql, kind, part) in [
        ("select * from flihgts", ErrorKind::NotFound, "flights"),
        ("select c from flights", ErrorKind::InvalidInput, "c"),
        ("select * frm flights", ErrorKind::InvalidInput, "frm"),
        ("select 1 / 0", ErrorKind::InvalidInput, "zero"),
        ("select cast('x' as int)", ErrorKind::InvalidInput, "'x'"),
        ("select nosuch(1)", ErrorKind::InvalidInput, "nosuch"),
        ("select * from nosuch.t", ErrorKind::NotFound, "nosuch"),
        ("select * from other.public.flights", ErrorKind::NotFound, "other"),
        ("select * from system.nosuch", ErrorKind::NotFound, "datasets"),
    ] {
        let (found, message) = fixture.error(sql).await;
        assert_eq!(found, kind, "{sql}: {message}");
        assert!(message.contains(part), "{sql}: {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn quoted_names_are_exact() {
    let fixture = Fixture::memory().await;
    fixture.update(r#"create table "Mixed" ("Col" int)"#).await;
    fixture.update(r#"insert into "Mixed" values (7)"#).await;
    assert_eq!(fixture.rows(r#"select "Col" from "Mixed""#).await, ["7"]);
    let (kind, message) = fixture.error("select * from Mixed").await;
    assert_eq!(kind, ErrorKind::NotFound);
    assert!(message.contains("Mixed"), "{message}");
}
