//! Old versions, by number and by time, from memory and from the log.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use skein_catalog::{At, Catalog, CatalogOptions, Change, Dataset, Expired, Operation, Retention};
use skein_model::{ErrorKind, Kind, ManualClock};
use skein_storage::Bucket;
use support::{ada, dataset, file, new_dataset, server};

fn start() -> DateTime<Utc> {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

fn options(clock: &ManualClock) -> CatalogOptions {
    CatalogOptions { clock: Arc::new(clock.clone()), checkpoint_every: 4, ..CatalogOptions::default() }
}

/// Version n + 1 is of n minutes after the start and holds n rows, except that version 6 replaced everything.
async fn ten_versions(bucket: &Bucket) -> (Catalog, Dataset) {
    let clock = ManualClock::new(start());
    let catalog = server(bucket, options(&clock)).await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    for version in 2..=10 {
        clock.advance(TimeDelta::minutes(1));
        let operation = if version == 6 { Operation::Replace } else { Operation::Append };
        let change = Change { operation, ..Change::append(vec![file(1)]) };
        assert_eq!(table.commit(change, &ada()).await.unwrap().version, version);
    }
    (catalog, table)
}

fn rows(version: u64) -> u64 {
    if version < 6 { version - 1 } else { version - 5 }
}

#[tokio::test]
async fn every_version_stays_readable() {
    let bucket = Bucket::in_memory("main");
    let (_, warm) = ten_versions(&bucket).await;
    let cold = dataset(&server(&bucket, CatalogOptions::default()).await, "t").await;
    for table in [&warm, &cold] {
        for version in (1..=10).rev() {
            let snapshot = table.snapshot(At::Version(version)).await.unwrap();
            assert_eq!((snapshot.version, snapshot.rows), (version, rows(version)));
            assert_eq!(snapshot.files.len() as u64, snapshot.info.files);
        }
    }
    assert_eq!(warm.history().await.unwrap(), cold.history().await.unwrap());
}

#[tokio::test]
async fn a_time_means_the_version_that_was_newest_then() {
    let bucket = Bucket::in_memory("main");
    let (_, table) = ten_versions(&bucket).await;
    for (minutes, seconds, version) in [(0, 0, 1), (0, 59, 1), (1, 0, 2), (5, 30, 6), (9, 0, 10), (999, 0, 10)] {
        let at = start() + TimeDelta::minutes(minutes) + TimeDelta::seconds(seconds);
        assert_eq!(table.snapshot(At::Timestamp(at)).await.unwrap().version, version, "{at}");
    }
}

#[tokio::test]
async fn what_does_not_exist_is_answered_with_what_does() {
    let bucket = Bucket::in_memory("main");
    let (_, table) = ten_versions(&bucket).await;
    for version in [0, 11, u64::MAX] {
        let error = table.snapshot(At::Version(version)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let text = error.to_string();
        assert!(text.contains("public.t") && text.contains("versions 1 to 10"), "{text}");
    }
    let before = start() - TimeDelta::seconds(1);
    let error = table.snapshot(At::Timestamp(before)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("first version is of 2026-01-01 00:00:00 UTC"), "{error}");
}

#[tokio::test]
async fn a_clock_that_goes_back_does_not_turn_time_round() {
    let clock = ManualClock::new(start());
    let bucket = Bucket::in_memory("main");
    let catalog = server(&bucket, options(&clock)).await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    clock.advance(TimeDelta::hours(-1));
    let second = table.commit(Change::append(vec![file(1)]), &ada()).await.unwrap();
    assert_eq!(second.snapshot.info.timestamp, start());
}

#[tokio::test]
async fn damaged_and_missing_checkpoints_cost_time_and_nothing_else() {
    let bucket = Bucket::in_memory("main");
    let (_, table) = ten_versions(&bucket).await;
    let folder = format!("tables/{}/log", table.id());
    let checkpoints = loop {
        let objects = bucket.list(&folder).await.unwrap();
        let keys: Vec<_> = objects.into_iter().map(|o| o.location).collect();
        let found: Vec<_> = keys.into_iter().filter(|k| k.as_ref().ends_with(".checkpoint.json")).collect();
        if found.len() == 2 {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    object_store::ObjectStoreExt::put(&bucket.store(), &checkpoints[1], "{\"format\":1,".into()).await.unwrap();
    for damage in 0..2 {
        let cold = dataset(&server(&bucket, CatalogOptions::default()).await, "t").await;
        assert_eq!(cold.snapshot(At::Latest).await.unwrap().rows, 5, "{damage}");
        assert_eq!(cold.snapshot(At::Version(9)).await.unwrap().rows, 4);
        bucket.delete(checkpoints[0].as_ref()).await.unwrap();
    }
}

#[tokio::test]
async fn a_missing_log_entry_is_damage_never_a_shorter_history() {
    let bucket = Bucket::in_memory("main");
    let clock = ManualClock::new(start());
    let catalog = server(&bucket, CatalogOptions { checkpoint_every: 1000, ..options(&clock) }).await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    for _ in 0..4 {
        table.commit(Change::append(vec![file(1)]), &ada()).await.unwrap();
    }
    bucket.delete(&format!("tables/{}/log/{:020}.json", table.id(), 3)).await.unwrap();
    let cold = dataset(&server(&bucket, CatalogOptions::default()).await, "t").await;
    let error = cold.snapshot(At::Latest).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("missing"), "{error}");
}

#[tokio::test]
async fn refresh_bounds_how_often_the_bucket_is_asked() {
    let (bucket, store) = support::faulty();
    let lazy = CatalogOptions { refresh: Duration::from_secs(3600), ..CatalogOptions::default() };
    let (one, two) = (server(&bucket, lazy).await, server(&bucket, CatalogOptions::default()).await);
    let ours = one.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    ours.snapshot(At::Latest).await.unwrap();
    dataset(&two, "t").await.commit(Change::append(vec![file(1)]), &ada()).await.unwrap();
    store.take_calls();
    assert_eq!(ours.snapshot(At::Latest).await.unwrap().version, 1);
    dataset(&one, "t").await;
    assert!(store.take_calls().is_empty(), "nothing is asked within the hour");
    assert_eq!(ours.commit(Change::append(vec![file(1)]), &ada()).await.unwrap().version, 3);
    assert_eq!(ours.snapshot(At::Latest).await.unwrap().version, 3, "own commits are seen at once");
}

const fn newest(keep: u64) -> Retention {
    Retention { keep_versions: Some(keep), keep_age: None }
}

fn within(minutes: u64) -> Retention {
    Retention { keep_versions: None, keep_age: Some(Duration::from_secs(minutes * 60)) }
}

#[tokio::test]
async fn an_expired_version_says_so_and_which_is_the_oldest_left() {
    let bucket = Bucket::in_memory("main");
    let (_, table) = ten_versions(&bucket).await;
    let elsewhere = dataset(&server(&bucket, CatalogOptions::default()).await, "t").await;
    assert_eq!(elsewhere.snapshot(At::Version(4)).await.unwrap().rows, 3);
    let expired = table.expire(newest(3), false, &ada()).await.unwrap();
    assert_eq!(expired, Expired { version: Some(11), oldest: 8, count: 7 });
    let cold = dataset(&server(&bucket, CatalogOptions::default()).await, "t").await;
    for table in [&table, &elsewhere, &cold] {
        for version in 1..=7 {
            let error = table.snapshot(At::Version(version)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            let text = error.to_string();
            assert!(text.contains("it was expired by ada at") && text.contains("versions 8 to 11 exist"), "{text}");
            assert_eq!(table.snapshot(At::Pinned(version)).await.unwrap().rows, rows(version), "for whoever had begun");
        }
        assert!(table.snapshot(At::Timestamp(start() + TimeDelta::minutes(3))).await.is_err());
        assert_eq!(table.snapshot(At::Version(8)).await.unwrap().rows, 3);
        assert_eq!(table.snapshot(At::Timestamp(start() + TimeDelta::minutes(7))).await.unwrap().version, 8);
        assert_eq!(table.oldest_version().await.unwrap(), 8);
        for missing in [0, 12] {
            let error = table.snapshot(At::Version(missing)).await.unwrap_err().to_string();
            assert!(error.contains("versions 8 to 11 exist") && !error.contains("expired"), "{error}");
        }
        let history = table.history().await.unwrap();
        assert_eq!((history.len(), history[0].operation), (11, Operation::Expire), "what they did is still told");
    }
    table.commit(Change::append(vec![file(1)]), &ada()).await.unwrap();
    assert!(table.snapshot(At::Version(7)).await.is_err());
}

#[tokio::test]
async fn either_rule_keeps_a_version_and_the_newest_always_stays() {
    let bucket = Bucket::in_memory("main");
    let (catalog, table) = ten_versions(&bucket).await;
    for nonsense in [Retention::default(), newest(0), Retention { keep_versions: Some(0), ..within(5) }] {
        let error = table.expire(nonsense, false, &ada()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{nonsense:?}");
    }
    // It is nine minutes after the start now.
    for (retention, oldest) in [
        (newest(u64::MAX), 1),
        (newest(10), 1),
        (newest(9), 2),
        (newest(1), 10),
        (Retention { keep_versions: None, keep_age: Some(Duration::MAX) }, 1),
        (within(100), 1),
        (within(3), 7),
        (within(0), 10),
        (Retention { keep_versions: Some(5), ..within(3) }, 6),
        (Retention { keep_versions: Some(2), ..within(3) }, 7),
    ] {
        let would = table.expire(retention, true, &ada()).await.unwrap();
        assert_eq!(would, Expired { version: None, oldest, count: oldest - 1 }, "{retention:?}");
    }
    assert_eq!(table.snapshot(At::Latest).await.unwrap().version, 10, "none of that did anything");
    let transaction = catalog.begin(&ada());
    let inside = dataset(&transaction.catalog(), "t").await;
    assert_eq!(inside.expire(newest(1), false, &ada()).await.unwrap_err().kind(), ErrorKind::Unimplemented);
}

#[tokio::test]
async fn expiring_again_and_again_makes_no_versions() {
    let bucket = Bucket::in_memory("main");
    let (_, table) = ten_versions(&bucket).await;
    assert_eq!(table.expire(newest(2), false, &ada()).await.unwrap().version, Some(11));
    for same in [newest(2), newest(5), within(60), within(1)] {
        let nothing = Expired { version: None, oldest: 9, count: 0 };
        assert_eq!(table.expire(same, false, &ada()).await.unwrap(), nothing);
    }
    assert_eq!(table.expire(newest(1), false, &ada()).await.unwrap().oldest, 10);
    // The versions that only said so have the files of version 10, so they are kept with it.
    assert_eq!(table.expire(newest(1), false, &ada()).await.unwrap().version, None);
    assert_eq!(table.expire(within(0), false, &ada()).await.unwrap().version, None);
    table.commit(Change::append(vec![file(1)]), &ada()).await.unwrap();
    let expired = table.expire(newest(1), false, &ada()).await.unwrap();
    assert_eq!(expired, Expired { version: Some(14), oldest: 13, count: 3 });
}

#[tokio::test]
async fn a_replacement_minds_no_expiry() {
    let bucket = Bucket::in_memory("main");
    let (_, table) = ten_versions(&bucket).await;
    table.expire(newest(1), false, &ada()).await.unwrap();
    let replace = || Change {
        operation: Operation::Replace,
        read_version: Some(10),
        idempotency_key: Some("k".to_owned()),
        ..Change::append(vec![file(5)])
    };
    assert_eq!(table.commit(replace(), &ada()).await.unwrap().version, 12);
    table.commit(Change::append(vec![file(1)]), &ada()).await.unwrap();
    table.expire(newest(1), false, &ada()).await.unwrap();
    let again = table.commit(replace(), &ada()).await.unwrap();
    assert!(again.duplicate, "what was committed stays known when its version has expired");
    assert_eq!((again.version, again.snapshot.rows), (12, 5));
}
