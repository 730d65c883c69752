//! Compaction.

use futures::TryStreamExt;
use skein_catalog::{
    Actor, At, Entry,
    writer::{Compression, WriterOptions},
};
use skein_model::{ErrorKind, Kind, TableName};
use skein_query::{Compacted, CompactionOptions, CompactionPolicy, CompactionState, EngineConfig, Error};
use skein_storage::fault::{Fault, Op};

use crate::support::{Fixture, config, text};

async fn compact(fixture: &Fixture, table: &str) -> Result<Compacted, Error> {
    fixture.engine.compact(&TableName::in_default_schema(table).unwrap(), &Actor::new("keeper")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_are_merged_and_deleted_rows_dropped() {
    let writer = WriterOptions { row_group_rows: 500, ..WriterOptions::default() };
    let fixture = Fixture::memory_with(EngineConfig { writer, ..config() }).await;
    fixture.update("create table t (a bigint, s varchar)").await;
    for i in 0..5 {
        let insert = format!("insert into t select v, concat('s', v) from generate_series({i}000, {i}299) as g(v)");
        fixture.update(&insert).await;
    }
    fixture.update("delete from t where a % 3 = 0").await;
    let rows = fixture.rows("select * from t order by a").await;
    fixture.update("set datafusion.execution.target_partitions = 1").await;
    let order = fixture.rows("select * from t").await;
    let done = compact(&fixture, "t").await.unwrap();
    assert_eq!((done.files_before, done.files_after, done.rows, done.deleted_rows), (5, 1, 1000, 500));
    assert_eq!(fixture.rows("select * from t order by a").await, rows);
    assert_eq!(fixture.rows("select * from t").await, order, "rows keep their order");
    assert_eq!(fixture.rows("select count(*) from t version as of 6").await, ["1500"]);
    assert_eq!(fixture.rows("select row_groups, \"rows\" from system.files").await, ["2|1000"]);
    let last = "select operation, author, \"rows\" from system.snapshots order by version desc limit 1";
    assert_eq!(fixture.rows(last).await, ["compact|keeper|1000"]);
    assert_eq!(compact(&fixture, "t").await.unwrap(), Compacted::default(), "there is nothing left to do");
    fixture.update("delete from t where a < 4000").await;
    assert_eq!(compact(&fixture, "t").await.unwrap().deleted_rows, 800);
    fixture.update("truncate table t").await;
    assert_eq!(compact(&fixture, "t").await.unwrap(), Compacted::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_datasets_are_compacted() {
    let fixture = Fixture::memory().await;
    fixture.update("create view v as select 1 as a").await;
    assert_eq!(compact(&fixture, "v").await.unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(compact(&fixture, "nosuch").await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_brings_no_deleted_rows_back() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t (a bigint)").await;
    for i in 0..4 {
        fixture.update(&format!("insert into t select v from generate_series({i}000, {i}199) as g(v)")).await;
    }
    let engine = fixture.engine.clone();
    let keeper = tokio::spawn(async move {
        let (name, actor) = (TableName::in_default_schema("t").unwrap(), Actor::new("keeper"));
        let mut done = 0;
        for _ in 0..40 {
            match engine.compact(&name, &actor).await {
                Ok(compacted) => done += u32::from(compacted.version.is_some()),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
            }
        }
        done
    });
    let mut left = 800;
    for n in 0..40 {
        let sql = format!("delete from t where a % 40 = {n} and a % 1000 < 150");
        match fixture.try_update(&sql).await {
            Ok(rows) => left -= rows.unwrap(),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{error}"),
        }
        assert_eq!(fixture.rows("select count(*), count(a) from t").await, [format!("{left}|{left}")]);
    }
    assert!(keeper.await.unwrap() > 0);
    assert_eq!(fixture.rows("select count(*), count(distinct a) from t").await, [format!("{left}|{left}")]);
    compact(&fixture, "t").await.unwrap();
    assert_eq!(fixture.rows("select count(*), count(distinct a) from t").await, [format!("{left}|{left}")]);
}

async fn five_inserts(fixture: &Fixture) {
    fixture.update("create table t (a bigint)").await;
    for i in 0..5 {
        fixture.update(&format!("insert into t select v from generate_series({i}00, {i}99) as g(v)")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_shows_how_far_it_is() {
    let fixture = Fixture::memory().await;
    five_inserts(&fixture).await;
    fixture.update("delete from t where a < 50").await;
    let (name, options) = (TableName::in_default_schema("t").unwrap(), CompactionOptions::default());
    fixture.engine.compact_with(&name, &Actor::new("keeper"), &options).await.unwrap();
    let so_far = options.progress.so_far();
    assert_eq!((so_far.state, so_far.attempt), (CompactionState::Finished, 1));
    assert_eq!((so_far.files, so_far.files_done, so_far.rows, so_far.rows_done), (5, 5, 450, 450));
    let listed = "select table_name, principal, background, state, files_done, rows_done, files_after, deleted_rows, version, \
                  error is null, finished_at >= started_at from system.compactions";
    assert_eq!(fixture.rows(listed).await, ["t|keeper|false|finished|5|450|1|50|8|true|true"]);
    let totals = fixture.engine.compaction_totals();
    assert_eq!((totals.done, totals.running, totals.files, totals.deleted_rows), (1, 0, 5, 50));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_that_is_stopped_leaves_nothing() {
    let fixture = Fixture::memory().await;
    five_inserts(&fixture).await;
    let objects = async || fixture.engine.catalog().buckets().default_bucket().list("tables").await.unwrap().len();
    let before = objects().await;
    for background in [false, true] {
        let options = CompactionOptions { background, ..CompactionOptions::default() };
        options.stop.cancel();
        let name = TableName::in_default_schema("t").unwrap();
        let error = fixture.engine.compact_with(&name, &Actor::new("keeper"), &options).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        assert_eq!(objects().await, before);
    }
    let listed = "select state, version is null, attempt from system.compactions";
    assert_eq!(fixture.rows(listed).await, ["cancelled|true|1"; 2]);
    assert_eq!(fixture.rows("select count(*), count(distinct a) from t").await, ["500|500"]);
    assert_eq!(fixture.engine.compaction_totals().cancelled, 2);
    assert_eq!(compact(&fixture, "t").await.unwrap().files_before, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dataset_is_worth_it_from_so_many_small_files_or_deleted_rows_on() {
    let fixture = Fixture::memory().await;
    five_inserts(&fixture).await;
    let name = TableName::in_default_schema("t").unwrap();
    let pressure = async |min_small_files, deleted_percent| {
        let Entry::Dataset(dataset) = fixture.engine.catalog().resolve(&name).await.unwrap() else { panic!() };
        let snapshot = dataset.snapshot(At::Latest).await.unwrap();
        let policy = CompactionPolicy { min_small_files, deleted_percent };
        policy.pressure(&snapshot, fixture.engine.config().writer.target_file_bytes)
    };
    assert_eq!((pressure(6, 1).await, pressure(5, 1).await, pressure(2, 1).await), (None, Some(1000), Some(2500)));
    fixture.update("delete from t where a < 100").await;
    // A file without any row has left.
    assert_eq!((pressure(5, 1).await, pressure(4, 1).await), (None, Some(1000)));
    fixture.update("delete from t where a < 180").await;
    assert_eq!((pressure(9, 21).await, pressure(9, 20).await, pressure(9, 5).await), (None, Some(1000), Some(4000)));
    compact(&fixture, "t").await.unwrap();
    assert_eq!(pressure(2, 1).await, None);
    fixture.update("truncate table t").await;
    assert_eq!(pressure(2, 1).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_read_back_as_it_was_written_is_not_committed() {
    // Without compression other values are read, with it none.
    for compression in [Compression::None, Compression::Zstd(1)] {
        let writer = WriterOptions { compression, ..WriterOptions::default() };
        let (fixture, store) = Fixture::counted_with(EngineConfig { writer, ..config() }).await;
        fixture.update("create table t (a double)").await;
        for i in 0..3 {
            let insert = format!("insert into t select sqrt(v) from generate_series({i}0001, {i}9999) as g(v)");
            fixture.update(&insert).await;
        }
        let state = async || {
            let rows = fixture.rows("select count(*), count(distinct a), round(sum(a), 2) from t").await;
            let versions = fixture.rows("select version, operation from system.snapshots order by version").await;
            let mut objects = fixture.engine.catalog().buckets().default_bucket().list("tables").await.unwrap();
            objects.retain(|object| object.location.as_ref().contains("/data/"));
            (rows, versions, objects.len())
        };
        let before = state().await;
        store.schedule(Op::Put, [Some(Fault::Garbled)]);
        let error = compact(&fixture, "t").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{compression}: {error}");
        if compression == Compression::None {
            assert!(error.to_string().contains("29997 rows that compaction has just written"), "{error}");
        }
        assert_eq!(state().await, before, "{compression}");
        let listed = fixture.rows("select state, version is null from system.compactions").await;
        assert_eq!(listed, ["failed|true"]);
        // And when the bucket is well again, so is compaction.
        assert_eq!(compact(&fixture, "t").await.unwrap().files_after, 1);
        assert_eq!(state().await.0, before.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_go_on_while_a_compaction_is_held_up() {
    // First while it writes, then while it commits.
    for (op, state) in [(Op::Put, CompactionState::Writing), (Op::Create, CompactionState::Committing)] {
        let (fixture, store) = Fixture::counted().await;
        five_inserts(&fixture).await;
        fixture.update("delete from t where a < 50").await;
        let mut early = fixture.plan("select a from t").await.unwrap().execute().await.unwrap();
        let mut rows = text(&early.try_next().await.unwrap().unwrap());
        store.take_calls();
        store.hold(Some(op));
        let engine = fixture.engine.clone();
        let keeper = tokio::spawn(async move {
            engine.compact(&TableName::in_default_schema("t").unwrap(), &Actor::new("keeper")).await
        });
        store.asked_for(op).await;
        assert_eq!(fixture.rows("select count(a), sum(a), min(a), max(a) from t").await, ["450|123525|50|499"]);
        let late = fixture.rows("select a from t order by a").await;
        while let Some(batch) = early.try_next().await.unwrap() {
            rows.extend(text(&batch));
        }
        rows.sort_by_key(|row| row.parse::<i64>().unwrap());
        assert_eq!((rows.len(), &rows), (450, &late));
        assert_eq!(fixture.engine.compactions()[0].so_far.state, state, "it was held up all the time");
        store.hold(None);
        assert_eq!(keeper.await.unwrap().unwrap().rows, 450);
        assert_eq!(fixture.rows("select a from t order by a").await, late);
    }
}
