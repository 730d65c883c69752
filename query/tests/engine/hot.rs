//! The hot cache: never another answer, whatever happens to the dataset.

use std::time::Duration;

use skein_catalog::Actor;
use skein_model::{ErrorKind, Kind, TableName};
use skein_query::{CacheUse, EngineConfig};

use crate::support::{Fixture, config};

async fn fixture(bytes: u64) -> Fixture {
    let fixture = Fixture::local_with(EngineConfig { hot_cache_bytes: bytes, ..config() }).await;
    fixture
        .update(
            "create table t as select v as id, v % 7 as k, 'name ' || v as name, case when v % 5 = 0 then null else v * 0.5 end as x \
             from generate_series(1, 200000) as g(v)",
        )
        .await;
    fixture
}

fn t() -> TableName {
    TableName::in_default_schema("t").unwrap()
}

fn cached(fixture: &Fixture) -> CacheUse {
    fixture.engine.cached().first().map(|(_, of)| *of).unwrap_or_default()
}

const QUERIES: [&str; 8] = [
    "select count(*), sum(id), sum(length(name)), sum(x) from t",
    "select k, count(x), min(name), max(name) from t group by k order by k",
    "select name from t where id = 123456",
    "select count(*) from t where name like 'name 19999%'",
    "select count(*) from t where x is null and id between 1000 and 2000",
    "select id, x from t order by id desc limit 3",
    "select a.name from t a join t b on a.id = b.id + 1 where b.id < 4 order by a.id",
    "select x, id from t where id > 1000000",
];

async fn answers(fixture: &Fixture) -> Vec<Vec<String>> {
    let mut answers = Vec::new();
    for query in QUERIES {
        answers.push(fixture.rows(query).await);
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_dataset_gives_the_same_answers_from_memory() {
    let fixture = fixture(128 << 20).await;
    let cold = answers(&fixture).await;
    let pinned = fixture.engine.pin(&t()).await.unwrap();
    assert!(pinned.pinned && pinned.files == 1 && pinned.bytes > 200_000 * 20, "{pinned:?}");
    assert!(fixture.engine.memory_reserved() as u64 >= pinned.bytes);
    let before = cached(&fixture);
    assert_eq!(answers(&fixture).await, cold);
    let after = cached(&fixture);
    assert!(after.hits > before.hits && after.misses == before.misses, "{after:?}");
    let plan = fixture.rows("explain select sum(id) from t").await.join(" ");
    assert!(plan.contains("hot cache"), "{plan}");
    let shown =
        fixture.rows("select table_name, pinned, files, bytes > 0, hits > 0, evictions from system.cache").await;
    assert_eq!(shown, ["t|true|1|true|true|0"]);
    assert!(fixture.engine.unpin(&t()).await.unwrap() && !fixture.engine.unpin(&t()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_and_replacements_are_seen_at_once() {
    let fixture = fixture(128 << 20).await;
    fixture.engine.pin(&t()).await.unwrap();
    fixture.update("insert into t values (200001, 1, 'new', 1.5)").await;
    // One file from memory, the other one from the bucket.
    assert_eq!(fixture.rows("select count(*), max(id) from t").await, ["200001|200001"]);
    assert_eq!(fixture.rows("select name from t where id > 199999 order by id").await, ["name 200000", "new"]);
    assert_eq!(fixture.rows("select id from t limit 3").await.len(), 3);
    until(&fixture, |of| of.files == 2).await;
    assert_eq!(fixture.rows("select sum(id), min(name) from t").await, ["20000300001|name 1"]);
    fixture.update("create or replace table t as select 1 as id, 'only' as name").await;
    assert_eq!(fixture.rows("select name, id from t").await, ["only|1"]);
    // The columns of files that left are let go.
    until(&fixture, |of| of.bytes < 1 << 20).await;
    assert_eq!(fixture.rows("select count(name) from t version as of 2").await, ["200000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_rows_stay_away_and_the_others_stay_hot() {
    let (pinned, cold) = (fixture(128 << 20).await, fixture(0).await);
    pinned.engine.pin(&t()).await.unwrap();
    for change in [
        "delete from t where id % 5 = 3",
        "delete from t where id between 100 and 70000",
        "update t set name = 'changed' where id = 123456",
        "delete from t where id > 199990",
        "delete from t where id < 100 and k < 6",
    ] {
        assert_eq!(pinned.update(change).await, cold.update(change).await);
        // What an update wrote is decoded after it was missed once.
        let mut queries = QUERIES.to_vec();
        queries.extend([
            "select count(*), min(id), max(id), count(x) from t",
            "select count(*) from (select id from t limit 77)",
        ]);
        for query in queries {
            assert_eq!(pinned.rows(query).await, cold.rows(query).await, "{change}: {query}");
        }
        until(&pinned, |of| of.files == files_after(change)).await;
        let before = cached(&pinned);
        assert_eq!(pinned.rows("select sum(id) from t").await, cold.rows("select sum(id) from t").await);
        let after = cached(&pinned);
        assert!(after.hits > before.hits && after.misses == before.misses, "{change}: {after:?}");
    }
    // What was deleted is still there at the version before.
    assert_eq!(pinned.rows("select count(*) from t version as of 2").await, ["200000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wanted_again_is_kept() {
    let fixture = fixture(128 << 20).await;
    let sum = fixture.rows("select sum(id) from t").await;
    assert_eq!(cached(&fixture).bytes, 0, "once is not hot");
    assert_eq!(fixture.rows("select sum(id) from t").await, sum);
    until(&fixture, |of| of.bytes > 0).await;
    let before = cached(&fixture);
    assert_eq!(fixture.rows("select sum(id) from t").await, sum);
    assert_eq!(cached(&fixture).hits, before.hits + 1);
    assert!(before.bytes < 3 << 20, "one column only: {before:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_is_bounded() {
    let fixture = fixture(1 << 20).await;
    let error = fixture.engine.pin(&t()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert!(error.to_string().contains("query.hot_cache"), "{error}");
    for _ in 0..4 {
        assert_eq!(fixture.rows("select count(name) from t").await, ["200000"]);
    }
    assert!(!cached(&fixture).pinned && cached(&fixture).bytes == 0);
    assert_eq!(fixture.engine.memory_reserved(), 0);
    let off = Fixture::memory().await;
    off.update("create table t as select 1 as a").await;
    assert_eq!(off.engine.pin(&t()).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_dataset_holds_no_memory_even_if_it_was_pinned() {
    let fixture = fixture(128 << 20).await;
    fixture.update("create schema s").await;
    fixture.update("create table s.t as select v as id from generate_series(1, 100000) as g(v)").await;
    for (name, drop) in [(t(), "drop table t"), (TableName::new("s", "t").unwrap(), "drop schema s cascade")] {
        let pinned = fixture.engine.pin(&name).await.unwrap();
        assert!(fixture.engine.memory_reserved() as u64 >= pinned.bytes && pinned.bytes > 0, "{drop}");
        fixture.update(drop).await;
        assert_eq!((fixture.engine.memory_reserved(), fixture.engine.cached()), (0, vec![]), "{drop}");
    }
    // By another server.
    fixture.update("create table t as select v as id from generate_series(1, 100000) as g(v)").await;
    fixture.engine.pin(&t()).await.unwrap();
    fixture.engine.forget_dropped().await.unwrap();
    assert!(cached(&fixture).pinned, "it has its name");
    fixture.engine.catalog().drop(&t(), None, &Actor::new("another server")).await.unwrap();
    assert!(fixture.engine.memory_reserved() > 0);
    fixture.engine.forget_dropped().await.unwrap();
    assert_eq!((fixture.engine.memory_reserved(), fixture.engine.cached()), (0, vec![]));
}

/// The file of the table, and from the update on the one with the row it wrote.
fn files_after(change: &str) -> u64 {
    if change.starts_with("delete from t where id % 5") || change.contains("between") { 1 } else { 2 }
}

async fn until(fixture: &Fixture, done: impl Fn(CacheUse) -> bool) {
    for _ in 0..200 {
        if done(cached(fixture)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        // A scan is what asks for files that are not there yet.
        fixture.rows("select sum(id), count(name) from t").await;
    }
    panic!("{:?}", cached(fixture));
}
