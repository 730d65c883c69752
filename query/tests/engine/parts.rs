//! Queries whose rows are had in parts.

use futures::TryStreamExt;
use skein_catalog::writer::Compression;
use skein_model::{ErrorKind, Kind};
use skein_query::{Part, Plan};
use skein_storage::fault::Op;

use crate::support::{Fixture, config, run, text};

/// A table of several files and row groups.
async fn fixture() -> Fixture {
    let mut config = config();
    config.writer.row_group_rows = 1000;
    let fixture = Fixture::memory_with(config).await;
    fixture
        .update("create table t as select v as a, concat('name-', v) as s from generate_series(1, 5000) as g(v)")
        .await;
    for start in [5001, 7001, 9001] {
        let end = start + 1999;
        let sql = format!("insert into t select v, concat('name-', v) from generate_series({start}, {end}) as g(v)");
        fixture.update(&sql).await;
    }
    fixture
}

async fn part(plan: &Plan, part: &Part) -> Vec<String> {
    let batches: Vec<_> = plan.execute_part(part, "group").await.unwrap().try_collect().await.unwrap();
    batches.iter().flat_map(text).collect()
}

async fn all_parts(plan: &Plan, count: usize) -> Vec<String> {
    let mut rows = Vec::new();
    for one in plan.parts(count) {
        rows.extend(part(plan, &one).await);
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn the_parts_are_the_whole_however_many_there_are() {
    let fixture = fixture().await;
    for sql in [
        "select * from t",
        "select a * 2 as b, upper(s) as s from t where a % 3 = 0",
        "select s from (select a, s from t where a > 2500) as x where s like '%7'",
        "select a from t where a = 4711",
        "select a from t where a < 0",
    ] {
        let plan = fixture.plan(sql).await.unwrap();
        let mut whole = run(&plan).await.unwrap();
        whole.sort();
        for count in [1, 2, 3, 7, 11, 100] {
            let mut rows = all_parts(&plan, count).await;
            rows.sort();
            assert_eq!(rows, whole, "{sql} in {count}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_reads_its_own_rows_in_order() {
    let fixture = fixture().await;
    let plan = fixture.plan("select a from t").await.unwrap();
    let parts = plan.parts(4);
    assert_eq!(parts.len(), 4);
    for one in &parts {
        let rows = part(&plan, one).await.len();
        assert!((1000..=5000).contains(&rows), "{rows} of 11000 rows in one of four parts");
    }
    let ordered: Vec<i64> = all_parts(&plan, 4).await.iter().map(|row| row.parse().unwrap()).collect();
    assert_eq!(ordered, (1..=11_000).collect::<Vec<_>>());
    let divisible = plan.divisible().unwrap();
    assert!(divisible.whole && divisible.rows == Some(11_000) && divisible.bytes > 10_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_part_reads_its_own_bytes_only() {
    // Files that are too large to be fetched whole, of eight row groups each.
    let mut config = config();
    (config.writer.row_group_rows, config.writer.compression) = (32_768, Compression::None);
    let (fixture, store) = Fixture::counted_with(config).await;
    fixture.update("create table t (a bigint, b double)").await;
    for start in [0, 1] {
        let (from, to) = (start * 262_144 + 1, (start + 1) * 262_144);
        fixture.update(&format!("insert into t select v, sqrt(v) from generate_series({from}, {to}) as g(v)")).await;
    }
    let plan = fixture.plan("select a, b from t").await.unwrap();
    let bytes = plan.divisible().unwrap().bytes;
    assert!(bytes > 8 << 20, "{bytes}");
    // The footers are read once, and kept.
    run(&plan).await.unwrap();
    let parts = plan.parts(8);
    assert_eq!(parts.len(), 8);
    let mut all = 0;
    for one in &parts {
        store.take_calls();
        assert_eq!(part(&plan, one).await.len(), 65_536, "two row groups");
        let reads = store.take_calls().into_iter().filter(|call| call.op == Op::Get && call.key.ends_with(".parquet"));
        let read: u64 = reads.map(|call| call.bytes).sum();
        assert!((bytes / 10..bytes / 7).contains(&read), "{read} of {bytes} bytes for one of eight parts");
        all += read;
    }
    assert!(all <= bytes, "{all} bytes were read of {bytes}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_rows_are_in_no_part() {
    let fixture = fixture().await;
    fixture.update("delete from t where a % 3 = 0 or a between 4000 and 6500").await;
    let expected: Vec<i64> = (1..=11_000).filter(|a| a % 3 != 0 && !(4000..=6500).contains(a)).collect();
    let plan = fixture.plan("select a from t").await.unwrap();
    assert_eq!(plan.divisible().unwrap().rows, Some(expected.len() as u64));
    for count in [2, 5, 11] {
        let rows: Vec<i64> = all_parts(&plan, count).await.iter().map(|row| row.parse().unwrap()).collect();
        assert_eq!(rows, expected, "{count}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_more_than_its_rows_is_not_divided() {
    let fixture = fixture().await;
    fixture.update("create view v as select a from t where a > 10").await;
    assert_eq!(fixture.plan("select a + 1 from v").await.unwrap().parts(3).len(), 3);
    for sql in [
        "select count(*) from t",
        "select a from t order by a",
        "select a from t limit 5",
        "select distinct s from t",
        "select x.a from t as x join t as y using (a)",
        "select a, row_number() over (order by a) from t",
        "select a, random() from t",
        "select a, now() from t",
        "select a from t where a > (select avg(a) from t)",
        "select a from t union all select a from t",
        "select 1",
        "select * from system.datasets",
    ] {
        let plan = fixture.plan(sql).await.unwrap();
        assert!(plan.divisible().is_none() && plan.parts(4).is_empty(), "{sql}");
        let error = plan.execute_part(&Part::new(0, 10), "group").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_side_by_side_do_not_wait_for_each_other() {
    let mut config = config();
    config.max_concurrent_queries = 1;
    config.writer.row_group_rows = 1000;
    let fixture = Fixture::memory_with(config).await;
    fixture.update("create table t as select v as a from generate_series(1, 8000) as g(v)").await;
    let plan = fixture.plan("select a from t").await.unwrap();
    let mut streams = Vec::new();
    for one in plan.parts(4) {
        streams.push(plan.execute_part(&one, "group").await.unwrap());
    }
    assert_eq!(streams.len(), 4);
    let mut rows = 0;
    // The last first: nobody waits for the others.
    while let Some(stream) = streams.pop() {
        rows += stream.try_collect::<Vec<_>>().await.unwrap().iter().map(|batch| batch.num_rows()).sum::<usize>();
    }
    assert_eq!(rows, 8000);
    assert_eq!(fixture.rows("select count(*) from t").await, ["8000"]);
}
