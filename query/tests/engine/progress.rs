//! How far a running query is.

use futures::StreamExt;

use crate::support::{Fixture, config};

// On one thread: nothing runs before it is waited for.
#[tokio::test]
async fn it_is_what_the_scans_have_read() {
    let fixture = Fixture::memory().await;
    fixture.update("create table t as select v as a from generate_series(1, 100000) as g(v)").await;
    fixture.update("insert into t select v from generate_series(1, 50000) as g(v)").await;
    let plan = fixture.plan("select a % 10 as r, count(*) as n from t group by r order by r").await.unwrap();
    let mut rows = plan.execute().await.unwrap();
    let progress = rows.progress().unwrap();
    // Its tasks have begun; how far they are is theirs.
    assert!(progress.fraction().is_some_and(|fraction| (0.0..=1.0).contains(&fraction)));
    // The groups are known when everything has been read.
    assert_eq!(rows.next().await.unwrap().unwrap().num_rows(), 10);
    assert_eq!(progress.fraction(), Some(1.0));
    assert!(rows.next().await.is_none());
    assert!(rows.progress().is_none() && progress.fraction().is_none());
}

// On one thread, as above.
#[tokio::test]
async fn a_part_is_as_far_as_its_own_rows_are_read() {
    let mut config = config();
    config.writer.row_group_rows = 10_000;
    let fixture = Fixture::memory_with(config).await;
    fixture.update("create table t as select v as a from generate_series(1, 100000) as g(v)").await;
    let plan = fixture.plan("select a from t where a % 2 = 0").await.unwrap();
    let parts = plan.parts(4);
    assert_eq!(parts.len(), 4);
    for part in &parts {
        let mut rows = plan.execute_part(part, "group").await.unwrap();
        let progress = rows.progress().unwrap();
        let mut last = 0.0;
        while let Some(batch) = rows.next().await {
            batch.unwrap();
            let fraction = progress.fraction().unwrap();
            assert!((last..=1.0).contains(&fraction), "{fraction} after {last}");
            last = fraction;
        }
        // How many rows there are in a stretch of a file is an estimate.
        assert!(last > 0.7, "{last}");
    }
}

#[tokio::test]
async fn what_may_read_long_before_its_first_rows_is_told_apart() {
    let fixture = Fixture::memory().await;
    let values = "select v as a, md5(concat('x', v)) as s from generate_series";
    fixture.update(&format!("create table large as {values}(1, 100000) as g(v)")).await;
    fixture.update(&format!("create table small as {values}(1, 1000) as g(v)")).await;
    for (sql, at_once) in [
        ("select * from large", true),
        ("select a + 1 from large", true),
        ("select a from large where s like '%00'", false),
        ("select a from large order by a", false),
        ("select count(*) from small", false),
        ("select a from small where s like '%00'", true),
    ] {
        assert_eq!(fixture.plan(sql).await.unwrap().streams_at_once(), at_once, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_is_read_slowly_is_somewhere_between() {
    let fixture = Fixture::memory().await;
    fixture
        .update("create table t as select v as a, concat('row ', v) as s from generate_series(1, 400000) as g(v)")
        .await;
    let plan = fixture.plan("select a, upper(s) as s from t").await.unwrap();
    let mut rows = plan.execute().await.unwrap();
    let progress = rows.progress().unwrap();
    let (mut seen, mut last) = (0, 0.0);
    while let Some(batch) = rows.next().await {
        seen += batch.unwrap().num_rows();
        if let Some(fraction) = progress.fraction() {
            // Never behind what came out, never back.
            assert!(fraction >= last && fraction >= f64::from(u32::try_from(seen).unwrap()) / 400_000.0 - 1e-9);
            last = fraction;
        }
    }
    assert!(seen == 400_000 && last > 0.0);
}
