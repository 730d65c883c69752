//! How far a running query is.

use futures::StreamExt;

use crate::support::Fixture;

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
