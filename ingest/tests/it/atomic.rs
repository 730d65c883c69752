//! All or nothing, whatever goes wrong.

use std::sync::Arc;

use arrow::{
    array::{Int32Array, Int64Array, RecordBatch},
    datatypes::SchemaRef,
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use object_store::memory::InMemory;
use proptest::prelude::*;
use skein_catalog::{Actor, Catalog};
use skein_ingest::*;
use skein_model::{ErrorKind, Kind};
use skein_storage::{
    Bucket,
    fault::{Fault, FaultStore, Op},
};
use tokio::sync::watch;

use crate::support::*;

fn rows(count: i64) -> RecordBatch {
    batch(vec![("a", Arc::new(Int64Array::from_iter_values(0..count)))])
}

#[tokio::test]
async fn a_stream_that_ends_in_an_error_leaves_nothing() {
    for world in World::both().await {
        let gone = || Err(SourceError::new(ErrorKind::Cancelled, "the client went away").into());
        let stream = stream::iter(vec![Ok(rows(100_000)), gone()]).boxed();
        let error = world.batches("t", IngestMode::Create, rows(0).schema(), stream).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled);
        assert!(error.to_string().contains("the client went away"), "{error}");
        assert!(world.catalog.resolve_opt(&name("t")).await.unwrap().is_none());
        world.nothing_left().await;

        world.put("t", IngestMode::Create, rows(1)).await.unwrap();
        for mode in [IngestMode::Append, IngestMode::Replace] {
            let stream = stream::iter(vec![Ok(rows(100_000)), gone()]).boxed();
            world.batches("t", mode, rows(0).schema(), stream).await.unwrap_err();
            assert_eq!(world.column("t", "a").await, ["0"]);
            world.nothing_left().await;
        }
    }
}

#[tokio::test]
async fn an_ingest_that_is_dropped_leaves_nothing() {
    for world in World::both().await {
        let endless = stream::iter(vec![Ok(rows(2_000_000))]).chain(stream::pending()).boxed();
        let ingest = world.batches("t", IngestMode::Create, rows(0).schema(), endless);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(500), ingest).await.is_err());
        assert!(world.catalog.resolve_opt(&name("t")).await.unwrap().is_none());
        world.nothing_left().await;

        let text: String = (0..200_000).map(|i| format!("{i},x\n")).collect();
        let endless = body(format!("a,b\n{text}"), 10_000).chain(stream::pending()).boxed();
        let (progress, _) = watch::channel(Progress::default());
        let actor = Actor::new("ada");
        let target = target("t", IngestMode::Create);
        let ingest = ingest_file(&world.catalog, target, endless, options("f.csv"), &actor, progress);
        assert!(tokio::time::timeout(std::time::Duration::from_millis(500), ingest).await.is_err());
        assert!(world.catalog.resolve_opt(&name("t")).await.unwrap().is_none());
        world.nothing_left().await;
    }
}

#[tokio::test]
async fn a_full_disk_is_told_and_leaves_nothing() {
    for op in [Op::Put, Op::Part, Op::Complete] {
        let store = FaultStore::new(Arc::new(InMemory::new()));
        let world = World::over(Bucket::from_store("lake", store.clone())).await;
        world.put("t", IngestMode::Create, rows(10)).await.unwrap();
        store.always(op, Fault::OutOfSpace);
        if op == Op::Put {
            store.always(Op::Part, Fault::OutOfSpace);
        }
        let outcome = world.put("t", IngestMode::Append, rows(3_000_000)).await;
        store.heal();
        // Which of the operations a writer uses is its own affair; if it meets one that fails, it says so.
        match outcome {
            Ok(report) => assert_eq!(report.rows, 3_000_000),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error}");
                assert_eq!(world.read("t").await.num_rows(), 10);
            }
        }
        world.nothing_left().await;
        world.put("t", IngestMode::Append, rows(1)).await.unwrap();
    }
}

#[tokio::test]
async fn two_creators_do_not_both_win() {
    let store = FaultStore::new(Arc::new(InMemory::new()));
    let world = World::over(Bucket::from_store("lake", store)).await;
    let (one, two) =
        tokio::join!(world.put("t", IngestMode::Create, rows(1)), world.put("t", IngestMode::Create, rows(2)));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    let error = one.err().or(two.err()).unwrap();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    world.nothing_left().await;
}

#[tokio::test]
async fn whoever_loses_the_race_to_make_a_table_appends_to_it() {
    for world in [
        World::over(Bucket::from_store("lake", FaultStore::new(Arc::new(InMemory::new())))).await,
        World::local().await,
    ] {
        let text = |n: usize| format!("b,a\n{}", format!("{n},x{n}\n").repeat(n));
        let puts = (1..=4).map(|n| {
            let (world, name) = (&world, format!("{n}.csv"));
            async move { world.file("t", IngestMode::CreateAppend, text(n), options(&name)).await }
        });
        let reports = futures::future::join_all(puts).await;
        for (n, report) in (1..).zip(&reports) {
            let report = report.as_ref().unwrap();
            assert_eq!((report.rows, report.bytes, report.duplicate), (n as u64, text(n).len() as u64, false));
        }
        let mut versions: Vec<_> = reports.iter().map(|report| report.as_ref().unwrap().version).collect();
        versions.sort_unstable();
        assert_eq!(versions, [2, 3, 4, 5]);
        let mut rows = world.column("t", "a").await;
        rows.sort();
        assert_eq!(rows, ["x1", "x2", "x2", "x3", "x3", "x3", "x4", "x4", "x4", "x4"]);
        world.nothing_left().await;
        let again = world.file("t", IngestMode::CreateAppend, text(3), options("3.csv")).await.unwrap();
        assert!(again.duplicate, "its key came along");
    }
}

/// Puts `rows` into a table that another writer makes, with `first` in it, after the first of them have come in.
async fn put_meanwhile(world: &World, first: RecordBatch, rows: RecordBatch) -> Result<IngestReport> {
    let (catalog, schema) = (world.catalog.clone(), rows.schema());
    let late = stream::once(async move {
        let schema = first.schema();
        put(&catalog, IngestMode::Create, schema, batches(vec![first])).await?;
        Ok(rows)
    });
    put(&world.catalog, IngestMode::CreateAppend, schema, late.boxed()).await
}

async fn put(catalog: &Catalog, mode: IngestMode, schema: SchemaRef, rows: BatchStream) -> Result<IngestReport> {
    let (progress, _) = watch::channel(Progress::default());
    let target = target("t", mode);
    ingest_batches(catalog, target, schema, rows, BatchOptions::default(), &Actor::new("ada"), progress).await
}

#[tokio::test]
async fn rows_for_a_table_that_another_made_meanwhile_are_taken_as_an_append_is() {
    let ints = |name: &'static str| batch(vec![(name, Arc::new(Int64Array::from(vec![1, 2])) as _)]);
    let world = World::memory().await;
    let narrow = batch(vec![("a", Arc::new(Int32Array::from(vec![7])) as _)]);
    let report = put_meanwhile(&world, ints("a"), narrow).await.unwrap();
    assert_eq!((report.version, report.rows), (3, 1));
    assert_eq!(world.column("t", "a").await, ["1", "2", "7"]);
    world.nothing_left().await;

    let world = World::memory().await;
    let error = put_meanwhile(&world, ints("a"), ints("b")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("does not fit table"), "{error}");
    assert_eq!(world.column("t", "a").await, ["1", "2"]);
    world.nothing_left().await;
}

#[tokio::test]
async fn many_appends_at_once_all_arrive() {
    let world = World::memory().await;
    world.put("t", IngestMode::Create, rows(0)).await.unwrap();
    let all = futures::future::join_all((0..16).map(|_| world.put("t", IngestMode::Append, rows(5)))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(world.read("t").await.num_rows(), 80);
}

#[tokio::test]
async fn an_ingest_makes_one_version() {
    let world = World::memory().await;
    let text: String = (0..100_000).map(|i| format!("{i},{}\n", "x".repeat(50))).collect();
    let small =
        FileOptions { limits: IngestLimits { chunk_bytes: 10_000, ..IngestLimits::default() }, ..options("f.csv") };
    let report = world.create("t", format!("a,b\n{text}"), small).await.unwrap();
    assert_eq!(report.rows, 100_000);
    let history = world.dataset("t").await.history().await.unwrap();
    assert_eq!(history[0].version, report.version);
    assert_eq!(history[0].rows_added, 100_000);
    assert_eq!(history[0].author, "ada");
    assert!(history.len() <= 2, "one for the table, one for the rows");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever the file, and wherever the sender disappears: an error, and nothing visible.
    #[test]
    fn a_body_that_is_cut_off_by_an_error_leaves_nothing(at in 0..1000_usize, kind in 0..4_usize) {
        let file = samples().swap_remove(kind);
        let cut = file.len() * at / 1000;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::memory().await;
            let lost = stream::once(async { Err(BoxError::from("connection reset")) });
            let cut_off = body(file.slice(..cut), 1000).chain(lost).boxed();
            let (progress, _) = watch::channel(Progress::default());
            let actor = Actor::new("ada");
            let target = target("t", IngestMode::CreateAppend);
            let error = ingest_file(&world.catalog, target, cut_off, options("f"), &actor, progress).await.unwrap_err();
            assert!(error.to_string().contains("connection reset"), "{error}");
            assert!(world.catalog.resolve_opt(&name("t")).await.unwrap().is_none());
            world.nothing_left().await;
        });
    }
}

/// The same rows in every format.
pub fn samples() -> Vec<Bytes> {
    let data = batch(vec![
        ("a", Arc::new(Int64Array::from_iter_values(0..3000))),
        ("b", Arc::new(arrow::array::StringArray::from_iter_values((0..3000).map(|i| format!("text {i}"))))),
    ]);
    let mut csv = arrow_csv::Writer::new(Vec::new());
    csv.write(&data).unwrap();
    let mut json = arrow_json::ArrayWriter::new(Vec::new());
    json.write(&data).unwrap();
    json.finish().unwrap();
    let mut stream = arrow_ipc::writer::StreamWriter::try_new(Vec::new(), &data.schema()).unwrap();
    stream.write(&data).unwrap();
    stream.write(&data).unwrap();
    let mut parquet = parquet::arrow::ArrowWriter::try_new(Vec::new(), data.schema(), None).unwrap();
    parquet.write(&data).unwrap();
    vec![
        csv.into_inner().into(),
        json.into_inner().into(),
        stream.into_inner().unwrap().into(),
        parquet.into_inner().unwrap().into(),
    ]
}
