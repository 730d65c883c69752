//! MERGE.

use datafusion::scalar::ScalarValue;
use skein_model::ErrorKind;

use crate::support::Fixture;

async fn tables() -> Fixture {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (id bigint not null, name varchar, n bigint)").await;
    fixture.update("insert into t values (1, 'a', 10), (2, 'b', 20), (3, 'c', 30)").await;
    fixture.update("create table s (id bigint, name varchar, n bigint)").await;
    fixture.update("insert into s values (2, 'B', 200), (3, 'C', 300), (4, 'D', 400), (5, 'E', 500)").await;
    fixture
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_updated_and_inserted() {
    let fixture = tables().await;
    let upsert = "merge into t using s on t.id = s.id when matched then update set name = s.name, n = t.n + s.n \
                  when not matched then insert (n, id) values (s.n, s.id)";
    assert_eq!(fixture.update(upsert).await, Some(4));
    let expected = ["1|a|10", "2|B|220", "3|C|330", "4|NULL|400", "5|NULL|500"];
    assert_eq!(fixture.rows("select * from t order by id").await, expected);
    let last = "select operation, rows_added, rows_removed from system.snapshots where table_name = 't' order by version desc limit 1";
    assert_eq!(fixture.rows(last).await, ["merge|4|2"]);
    assert_eq!(fixture.rows("select count(*) from t version as of 2").await, ["3"]);
    // Again, now that all rows are there.
    assert_eq!(fixture.update(upsert).await, Some(4));
    assert_eq!(fixture.rows("select count(*), sum(n) from t").await, ["5|2860"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_clause_that_fits_decides() {
    let fixture = tables().await;
    let merge = "merge into t as x using (select id, n from s where id <> 5) as y on x.id = y.id \
                 when matched and y.n > 250 then delete \
                 when matched and x.n > 1000 then update set n = 0 \
                 when not matched and y.id = 9 then insert values (y.id, 'never', 0) \
                 when not matched then insert values (y.id, 'new', y.n)";
    assert_eq!(fixture.update(merge).await, Some(2));
    assert_eq!(fixture.rows("select * from t order by id").await, ["1|a|10", "2|b|20", "4|new|400"]);
    assert_eq!(fixture.update("merge into t using s on false when matched then delete").await, Some(0));
    assert_eq!(
        fixture.update("merge into t using t as same on t.id = same.id when matched then delete").await,
        Some(3)
    );
    assert!(fixture.rows("select * from t").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_are_bound() {
    let fixture = tables().await;
    let plan = fixture
        .plan(
            "merge into t using (select cast(? as bigint) as id) as s on t.id = s.id \
             when matched then update set n = ? when not matched then insert (id, n) values (s.id, ?)",
        )
        .await
        .unwrap();
    for id in [1_i64, 7, 7] {
        let values = [ScalarValue::from(id), ScalarValue::from(id * 100), ScalarValue::from(id)];
        assert_eq!(plan.bind(&values).unwrap().execute_update().await.unwrap().rows, Some(1));
    }
    assert_eq!(fixture.rows("select id, n from t order by id").await, ["1|100", "2|20", "3|30", "7|700"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_defined_is_refused_and_changes_nothing() {
    let fixture = tables().await;
    fixture.update("insert into s values (2, 'again', 1)").await;
    fixture.update("create view v as select * from t").await;
    for (sql, kind, part) in [
        ("merge into t using s on t.id = s.id when matched then delete", ErrorKind::InvalidInput, "several rows"),
        (
            "merge into t using s on t.id = s.id when matched then update set n = 1",
            ErrorKind::InvalidInput,
            "several rows",
        ),
        (
            "merge into t using s on t.id = s.id when not matched then insert (n) values (1)",
            ErrorKind::InvalidInput,
            "'id'",
        ),
        (
            "merge into t using s on t.id = s.id when not matched then insert values (1)",
            ErrorKind::InvalidInput,
            "1 values",
        ),
        ("merge into t using s on t.id = s.id when matched then update set x = 1", ErrorKind::InvalidInput, "'x'"),
        (
            "merge into t using s on t.id = s.id when matched then update set n = 1, n = 2",
            ErrorKind::InvalidInput,
            "twice",
        ),
        (
            "merge into t using s on t.id = s.id when not matched by source then delete",
            ErrorKind::Unimplemented,
            "SOURCE",
        ),
        ("merge into v using s on v.id = s.id when matched then delete", ErrorKind::InvalidInput, "is a view"),
        ("merge into t using nosuch on t.id = nosuch.id when matched then delete", ErrorKind::NotFound, "nosuch"),
    ] {
        let (found, message) = fixture.error(sql).await;
        assert_eq!(found, kind, "{sql}: {message}");
        assert!(message.contains(part), "{sql}: {message}");
    }
    assert_eq!(fixture.rows("select * from t order by id").await, ["1|a|10", "2|b|20", "3|c|30"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn upserts_at_the_same_time_make_each_row_once() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (id bigint, n bigint)").await;
    let tasks: Vec<_> = (0..4)
        .map(|_| {
            let session = fixture.new_session();
            tokio::spawn(async move {
                let sql = "merge into t using (select value as id from generate_series(1, 10) as g(value)) as s on t.id = s.id \
                           when matched then update set n = t.n + 1 when not matched then insert values (s.id, 1)";
                session.plan(sql, &Default::default()).await.unwrap().execute_update().await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(fixture.rows("select count(*), count(distinct id), sum(n), min(n) from t").await, ["10|10|40|4"]);
}
