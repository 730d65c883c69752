//! system.*, information_schema, SHOW.

use crate::support::Fixture;

#[tokio::test(flavor = "multi_thread")]
async fn system_tables() {
    let fixture = Fixture::local().await;
    fixture.update("create table t as select 1 as a, 'x' as b").await;
    fixture.update("insert into t values (2, 'y')").await;
    assert_eq!(
        fixture
            .rows(
                "select schema_name, table_name, bucket, version, rows, files, columns, changed_by from system.datasets"
            )
            .await,
        ["public|t|main|3|2|2|2|anonymous"]
    );
    assert_eq!(
        fixture.rows("select operation from system.snapshots order by version").await,
        ["create", "append", "append"]
    );
    assert_eq!(fixture.rows("select count(*), sum(rows) from system.files where length(sha256) = 64").await, ["2|2"]);
    assert_eq!(fixture.rows("select name, is_default, writable from system.buckets").await, ["main|true|true"]);
    assert!(fixture.rows("select * from system.bucket_errors").await.is_empty());
    assert_eq!(fixture.rows("select count(*) from system.sessions").await, ["1"]);
    assert!(fixture.rows("select * from system.users").await.is_empty());
    assert!(fixture.rows("select * from system.tokens").await.is_empty());
    let (kind, _) = fixture.error("select nosuch from t").await;
    assert_eq!(kind, skein_model::ErrorKind::InvalidInput);
    let queries =
        fixture.rows("select state, rows from system.queries where sql = 'insert into t values (2, ''y'')'").await;
    assert_eq!(queries, ["finished|1"]);
    let running = fixture.rows("select state from system.queries order by started_at desc limit 1").await;
    assert_eq!(running, ["running"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn information_schema_shows_ours() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (a int not null, b varchar)").await;
    fixture.update("create view v as select a from t").await;
    fixture.update("create temp table tt as select 1 as x").await;
    let tables = fixture.rows("select table_catalog, table_schema, table_name, table_type from information_schema.tables where table_schema in ('public', 'temp') order by 3").await;
    assert_eq!(tables, ["skein|public|t|BASE TABLE", "skein|temp|tt|LOCAL TEMPORARY", "skein|public|v|VIEW"]);
    let columns = fixture.rows("select column_name, is_nullable from information_schema.columns where table_name = 't' order by ordinal_position").await;
    assert_eq!(columns, ["a|NO", "b|YES"]);
    assert_eq!(
        fixture.rows("select table_name, definition from information_schema.views").await,
        ["v|select a from t"]
    );
    assert!(fixture.rows("select schema_name from information_schema.schemata").await.contains(&"public".to_owned()));
    let named = fixture.session.tables().await.unwrap();
    assert!(named.iter().any(|table| table.table == "v" && table.kind == skein_query::TableKind::View));
}

#[tokio::test(flavor = "multi_thread")]
async fn show() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (a int not null)").await;
    fixture.update("create view v as select a from t").await;
    assert_eq!(fixture.rows("show tables in public").await, ["skein|public|t|BASE TABLE", "skein|public|v|VIEW"]);
    assert_eq!(fixture.rows("show tables like 'v%'").await, ["skein|public|v|VIEW"]);
    assert_eq!(fixture.rows("show views").await, ["skein|public|v|VIEW"]);
    assert_eq!(fixture.rows("show columns from t").await, ["skein|public|t|a|Int32|NO"]);
    assert_eq!(
        fixture.rows("show create table t").await,
        [r#"skein|public|t|CREATE TABLE "public"."t" ("a" INT NOT NULL)"#]
    );
    assert_eq!(fixture.rows("show schema").await, ["schema|public"]);
    assert!(!fixture.rows("show all").await.is_empty());
    assert!(!fixture.rows("show functions like 'abs'").await.is_empty());
    fixture.update("set timezone = 'Europe/Berlin'").await;
    assert_eq!(fixture.rows("show timezone").await, ["timezone|Europe/Berlin"]);
    fixture.update("set datafusion.execution.batch_size = 100").await;
    assert!(fixture.rows("show datafusion.execution.batch_size").await[0].ends_with("|100"));
    assert!(fixture.error("set datafusion.runtime.memory_limit = '1G'").await.1.contains("server"));
}

/// Listing names costs the same however many there are; describing columns asks each table once for news; neither reads data.
#[tokio::test]
async fn what_information_schema_asks_of_the_bucket() {
    let mut listed = Vec::new();
    for tables in [5, 25] {
        let (fixture, store) = Fixture::counted().await;
        for n in 0..tables {
            fixture.update(&format!("create table t{n} as select 1 as a, 'x' as b")).await;
        }
        fixture.rows("select count(*) from information_schema.columns").await;
        store.take_calls();
        let rows = fixture.rows("select count(*) from information_schema.tables where table_schema = 'public'").await;
        assert_eq!(rows, [tables.to_string()]);
        listed.push(store.take_calls().len());
        let rows = fixture.rows("select count(*) from information_schema.columns where table_schema = 'public'").await;
        assert_eq!(rows, [(2 * tables).to_string()]);
        let calls = store.take_calls();
        assert!(calls.len() <= tables + 10, "{tables} tables: {calls:?}");
        assert!(calls.iter().all(|call| !call.key.contains("/data/")), "{calls:?}");
    }
    assert_eq!(listed[0], listed[1]);
}
