//! When a plan may serve again.

use skein_query::Plan;

use crate::support::{Fixture, run};

async fn check(plan: &Plan, expected: bool) {
    assert_eq!(plan.is_current().await, expected, "{}", plan.sql());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_without_tables_stays_good() {
    let fixture = Fixture::memory().await;
    let plan = fixture.plan("select 1, now() is not null").await.unwrap();
    fixture.update("create table t as select 1 as a").await;
    check(&plan, true).await;
    assert_eq!(run(&plan).await.unwrap(), ["1|true"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_good_until_its_table_changes() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t as select 1 as a").await;
    fixture.update("create table other as select 1 as a").await;
    let plan =
        fixture.plan("with x as (select a from t) select a from x where a = (select max(a) from t)").await.unwrap();
    check(&plan, true).await;
    fixture.update("insert into other values (2)").await;
    check(&plan, true).await;
    fixture.update("insert into t values (2)").await;
    check(&plan, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_made_anew_is_another_one() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t as select 1 as a").await;
    let plan = fixture.plan("select a from t").await.unwrap();
    fixture.update("drop table t").await;
    check(&plan, false).await;
    fixture.update("create table t as select 1 as a").await;
    check(&plan, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_counts_with_what_it_stands_on() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t as select 1 as a").await;
    fixture.update("create view v as select a from t").await;
    fixture.update("create view w as select a from v").await;
    let plan = fixture.plan("select a from w").await.unwrap();
    check(&plan, true).await;
    fixture.update("create or replace view v as select a + 1 as a from t").await;
    check(&plan, false).await;
    let plan = fixture.plan("select a from w").await.unwrap();
    fixture.update("insert into t values (5)").await;
    check(&plan, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_options_and_temporary_tables_count() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t as select 1 as a").await;
    fixture.update("create schema mine").await;
    fixture.update("create table mine.t as select 2 as a").await;
    let plan = fixture.plan("select a from t").await.unwrap();
    fixture.update("set schema = mine").await;
    check(&plan, false).await;
    assert_eq!(fixture.rows("select a from t").await, ["2"]);
    fixture.update("reset schema").await;
    let plan = fixture.plan("select a from t").await.unwrap();
    check(&plan, true).await;
    fixture.update("create temporary table t as select 3 as a").await;
    check(&plan, false).await;
    assert!(plan.session_changed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_version_is_always_planned_anew() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t as select 1 as a").await;
    fixture.update("create temporary table temporary as select 1 as a").await;
    for sql in [
        "select count(*) from system.datasets",
        "select count(*) from information_schema.tables",
        "select a from temporary",
        "select a from t version as of 1",
        "select a from t timestamp as of now()",
        "show create table t",
        "insert into t values (1)",
    ] {
        let plan = fixture.plan(sql).await.unwrap();
        assert!(!plan.is_reusable(), "{sql}");
        check(&plan, false).await;
    }
}
