//! The same data twice.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use skein_catalog::Actor;
use skein_ingest::*;
use tokio::sync::watch;

use crate::support::*;

const A: &str = "a\n1\n";
const B: &str = "a\n2\n";

#[tokio::test]
async fn the_same_file_makes_no_second_copy() {
    for world in World::both().await {
        let first = world.file("t", IngestMode::CreateAppend, A, options("a.csv")).await.unwrap();
        let again = world.file("t", IngestMode::CreateAppend, A, options("other-name.csv")).await.unwrap();
        assert!(!first.duplicate && again.duplicate);
        assert_eq!((again.version, again.rows, again.files, again.bytes), (first.version, 0, 0, 4));
        world.file("t", IngestMode::Append, B, options("b.csv")).await.unwrap();
        assert!(world.file("t", IngestMode::Append, A, options("a.csv")).await.unwrap().duplicate);
        assert_eq!(world.column("t", "a").await, ["1", "2"]);
        let forced = FileOptions { force: true, ..options("a.csv") };
        assert!(!world.file("t", IngestMode::Append, A, forced).await.unwrap().duplicate);
        assert_eq!(world.column("t", "a").await, ["1", "2", "1"]);
        world.nothing_left().await;
        let history = world.dataset("t").await.history().await.unwrap();
        let keys: Vec<_> = history.iter().filter_map(|info| info.idempotency_key.as_deref()).collect();
        assert!(keys.len() == 2 && keys.iter().all(|key| key.starts_with("sha256:") && key.len() == 71), "{keys:?}");
    }
}

#[tokio::test]
async fn a_replaced_table_may_have_its_old_files_again() {
    let world = World::memory().await;
    let put = |mode, text: &'static str| world.file("t", mode, text, options("f.csv"));
    put(IngestMode::CreateAppend, A).await.unwrap();
    assert!(!put(IngestMode::Replace, B).await.unwrap().duplicate);
    assert!(put(IngestMode::Replace, B).await.unwrap().duplicate, "it is what is there");
    assert!(put(IngestMode::Append, B).await.unwrap().duplicate, "it is in already");
    assert!(!put(IngestMode::Append, A).await.unwrap().duplicate, "it was replaced");
    assert!(put(IngestMode::Append, A).await.unwrap().duplicate, "now it is in again");
    assert_eq!(world.column("t", "a").await, ["2", "1"]);
    assert!(!put(IngestMode::Replace, B).await.unwrap().duplicate, "something was appended since");
    assert_eq!(world.column("t", "a").await, ["2"]);
    assert!(!put(IngestMode::Replace, A).await.unwrap().duplicate);
    assert_eq!(world.column("t", "a").await, ["1"]);
    world.nothing_left().await;
}

#[tokio::test]
async fn two_senders_of_the_same_file_add_it_once() {
    let world = World::memory().await;
    world.file("t", IngestMode::Create, B, options("b.csv")).await.unwrap();
    let send = || world.file("t", IngestMode::Append, A, options("a.csv"));
    let all = tokio::join!(send(), send(), send());
    let duplicates = [&all.0, &all.1, &all.2].iter().filter(|r| r.as_ref().unwrap().duplicate).count();
    assert_eq!(duplicates, 2);
    assert_eq!(world.column("t", "a").await, ["2", "1"]);
    world.nothing_left().await;
}

#[tokio::test]
async fn batches_can_carry_a_key() {
    let world = World::memory().await;
    let rows: RecordBatch = batch(vec![("a", Arc::new(Int64Array::from(vec![1])))]);
    let (actor, options) =
        (Actor::new("ada"), BatchOptions { idempotency_key: Some("load-7".into()), ..BatchOptions::default() });
    for duplicate in [false, true, true] {
        let (progress, _) = watch::channel(Progress::default());
        let stream = batches(vec![rows.clone()]);
        let target = target("t", IngestMode::CreateAppend);
        let report = ingest_batches(&world.catalog, target, rows.schema(), stream, options.clone(), &actor, progress)
            .await
            .unwrap();
        assert_eq!(report.duplicate, duplicate);
    }
    assert_eq!(world.column("t", "a").await, ["1"]);
}
