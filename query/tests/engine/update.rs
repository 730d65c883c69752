//! UPDATE.

use std::collections::BTreeMap;

use datafusion::scalar::ScalarValue;
use skein_catalog::writer::WriterOptions;
use skein_model::ErrorKind;
use skein_query::EngineConfig;

use crate::support::{Fixture, config};

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_match_get_new_values() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (a bigint not null, b varchar, c double)").await;
    fixture.update("insert into t values (1, 'x', 0.5), (2, null, null), (3, 'y', 1.5)").await;
    assert_eq!(fixture.update("update t set b = concat(b, '!'), c = a where a <> 2").await, Some(2));
    assert_eq!(fixture.rows("select * from t order by a").await, ["1|x!|1.0", "2|NULL|NULL", "3|y!|3.0"]);
    assert_eq!(fixture.update("update t as u set A = u.a + 10, B = null").await, Some(3));
    assert_eq!(fixture.rows("select a, b from t order by a").await, ["11|NULL", "12|NULL", "13|NULL"]);
    assert_eq!(fixture.update("update t set a = 0 where a = 1").await, Some(0));
    assert_eq!(fixture.rows("select * from t version as of 2 order by a").await, ["1|x|0.5", "2|NULL|NULL", "3|y|1.5"]);
    let operations =
        fixture.rows("select operation, rows_added, rows_removed from system.snapshots order by version").await;
    assert_eq!(operations, ["create|0|0", "append|3|0", "update|2|2", "update|3|3"]);
    // All expressions see the row as it was.
    fixture.update("create table swap as select 1 as x, 2 as y").await;
    fixture.update("update swap set x = y, y = x").await;
    assert_eq!(fixture.rows("select x, y from swap").await, ["2|1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn values_can_be_queries_and_parameters() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t as select v as a, 0 as b from generate_series(1, 10) as g(v)").await;
    fixture.update("update t set b = (select max(a) from t) where a in (select a from t where a % 2 = 0)").await;
    assert_eq!(fixture.rows("select sum(b) from t").await, ["50"]);
    fixture
        .update("update t set b = (select max(s.a) * 2 from t version as of 2 as s where s.a = t.a) where a < 3")
        .await;
    assert_eq!(fixture.rows("select b from t where a < 3 order by a").await, ["2", "4"]);
    let plan = fixture.plan("update t set b = ? where a = ?").await.unwrap();
    for a in 1..=10_i64 {
        let bound = plan.bind(&[ScalarValue::from(a * 100), ScalarValue::from(a)]).unwrap();
        assert_eq!(bound.execute_update().await.unwrap().rows, Some(1));
    }
    assert_eq!(fixture.rows("select sum(b), count(*) from t").await, ["5500|10"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_changes_nothing() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (a int not null, b varchar)").await;
    fixture.update("insert into t values (1, 'x'), (2, 'word')").await;
    fixture.update("create view v as select * from t").await;
    fixture.update("create temporary table tmp as select 1 as a").await;
    for (sql, kind, part) in [
        ("update t set a = null", ErrorKind::InvalidInput, "'a'"),
        ("update t set a = b", ErrorKind::InvalidInput, ""),
        ("update t set a = 3000000000 where a = 1", ErrorKind::InvalidInput, "3000000000"),
        ("update t set nosuch = 1", ErrorKind::InvalidInput, "nosuch"),
        ("update t set a = 1, A = 2", ErrorKind::InvalidInput, "twice"),
        ("update t set b = 'y' from v where v.a = t.a", ErrorKind::Unimplemented, "FROM"),
        ("update t set b = 'y' returning a", ErrorKind::Unimplemented, "RETURNING"),
        ("update v set a = 1", ErrorKind::InvalidInput, "is a view"),
        ("update tmp set a = 1", ErrorKind::Unimplemented, "temporary"),
        ("update system.users set name = 'x'", ErrorKind::InvalidInput, "system"),
        ("update nosuch set a = 1", ErrorKind::NotFound, "nosuch"),
        ("update t set b = (select b from v)", ErrorKind::InvalidInput, ""),
    ] {
        let (found, message) = fixture.error(sql).await;
        assert_eq!(found, kind, "{sql}: {message}");
        assert!(message.contains(part), "{sql}: {message}");
    }
    assert_eq!(fixture.rows("select * from t order by a").await, ["1|x", "2|word"]);
    assert_eq!(fixture.rows("select count(*) from system.files").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_changes_are_what_they_would_be_in_memory() {
    let writer = WriterOptions { row_group_rows: 100, ..WriterOptions::default() };
    let fixture = Fixture::memory_with(EngineConfig { writer, ..config() }).await;
    fixture
        .update("create table t as select v as id, v * 3 as x, v % 5 as k from generate_series(0, 999) as g(v)")
        .await;
    let mut model: BTreeMap<i64, (i64, i64)> = (0..1000).map(|v| (v, (v * 3, v % 5))).collect();
    let mut seed = 7_i64;
    let mut random = |below: i64| {
        seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648;
        (seed >> 8) % below
    };
    for round in 0..40_i64 {
        let (from, to, k) = (random(1000), random(1000), random(5));
        let hit = |id: i64, row: &(i64, i64)| (id >= from && id < to && row.1 == k) || id % 97 == from % 97;
        let condition = format!("(id >= {from} and id < {to} and k = {k}) or id % 97 = {}", from % 97);
        let before = model.len();
        let expected = match round % 4 {
            0 => {
                model.retain(|id, row| !hit(*id, row));
                let count = before - model.len();
                (format!("delete from t where {condition}"), count)
            }
            3 => {
                let id = 10_000 + round;
                model.insert(id, (0, 0));
                (format!("insert into t values ({id}, 0, 0)"), 1)
            }
            _ => {
                let mut count = 0;
                for (id, row) in &mut model {
                    if hit(*id, row) {
                        *row = (row.0 + round, (row.1 + 1) % 5);
                        count += 1;
                    }
                }
                (format!("update t set x = x + {round}, k = (k + 1) % 5 where {condition}"), count)
            }
        };
        assert_eq!(fixture.update(&expected.0).await, Some(expected.1 as u64), "{}", expected.0);
        let wanted: Vec<_> = model.iter().map(|(id, (x, k))| format!("{id}|{x}|{k}")).collect();
        assert_eq!(fixture.rows("select id, x, k from t order by id").await, wanted, "after {}", expected.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_at_the_same_time_all_count() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t as select 0 as n").await;
    let tasks: Vec<_> = (0..5)
        .map(|_| {
            let session = fixture.new_session();
            tokio::spawn(async move {
                let plan = session.plan("update t set n = n + 1", &Default::default()).await.unwrap();
                plan.execute_update().await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(fixture.rows("select n, count(*) from t group by n").await, ["5|1"]);
}
