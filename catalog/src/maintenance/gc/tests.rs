//! What is removed, and above all what is not.

use std::sync::Arc;

use object_store::memory::InMemory;
use skein_storage::fault::{Fault, FaultStore, Op};

use super::{
    super::{
        layout::folder,
        testing::{Lab, numbers, write},
    },
    *,
};
use crate::{At, Change};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn an_orphan_goes_after_the_grace_time_and_no_other_file() {
    let lab = Lab::new().await;
    let dataset = lab.dataset("t", &[numbers(0..10)]).await;
    let kept = dataset.data_key(dataset.snapshot(At::Latest).await.unwrap().files[0].id);
    let orphan = dataset.data_key(write(&dataset, &numbers(0..5)).await[0].id);
    let stray = format!("{}data/notes.txt", folder(dataset.id()));
    std::fs::write(lab.path(&stray), b"hello").unwrap();

    let report = gc(&lab.catalog, Duration::ZERO, false).await.unwrap();
    assert_eq!((report.removed.len(), report.kept_young, report.grace_seconds), (0, 1, 3600), "{report:?}");
    lab.later();
    let report = gc(&lab.catalog, DAY, true).await.unwrap();
    assert_eq!(report.removed.iter().map(|g| &g.key).collect::<Vec<_>>(), [&orphan]);
    assert!(lab.path(&orphan).exists(), "a dry run removes nothing");
    let report = gc(&lab.catalog, DAY, false).await.unwrap();
    assert_eq!((report.removed.len(), report.problems.len()), (1, 0), "{report:?}");
    assert!(!lab.path(&orphan).exists() && lab.path(&kept).exists() && lab.path(&stray).exists());
    assert_eq!(gc(&lab.catalog, DAY, false).await.unwrap().removed, []);
}

#[tokio::test]
async fn a_write_that_outlasts_the_grace_time_gets_a_conflict_and_never_a_table_without_files() {
    let lab = Lab::new().await;
    let dataset = lab.dataset("t", &[numbers(0..10)]).await;
    let slow = write(&dataset, &numbers(10..20)).await;
    lab.later();
    let report = gc(&lab.catalog, DAY, false).await.unwrap();
    assert_eq!((report.removed.len(), report.problems.len()), (1, 0), "{report:?}");
    let other = Catalog::open(lab.catalog.buckets().clone(), lab.catalog.options().clone()).await.unwrap();
    let Some(crate::Entry::Dataset(theirs)) = other.resolve_opt(dataset.name()).await.unwrap() else { panic!() };
    for handle in [&dataset, &theirs] {
        let error = handle.commit(Change::append(slow.clone()), &lab.actor).await.unwrap_err();
        assert!(matches!(&error, crate::Error::Conflict { .. }), "{error}");
        assert!(error.to_string().contains("grace time"), "{error}");
    }
    // Files that are there can be recorded again, and new ones join, though this clock is two days ahead.
    lab.append(&dataset, &numbers(30..40)).await;
    let report = crate::maintenance::resync(&dataset, &lab.actor).await.unwrap();
    assert_eq!(report.problems, []);
    let history = dataset.history().await.unwrap();
    let operations: Vec<_> = history.iter().map(|info| info.operation.as_str()).collect();
    assert_eq!(operations, ["append", "collect", "append", "create"]);
    assert_eq!(gc(&lab.catalog, DAY, false).await.unwrap().removed, []);
    assert_eq!(dataset.history().await.unwrap().len(), 4, "nothing to remove, nothing to tell");
}

#[tokio::test]
async fn a_commit_between_the_judgement_and_the_removal_keeps_its_files() {
    let lab = Lab::new().await;
    let dataset = lab.dataset("t", &[numbers(0..10)]).await;
    let (slow, lost) = (write(&dataset, &numbers(10..20)).await, write(&dataset, &numbers(20..30)).await);
    let other = Catalog::open(lab.catalog.buckets().clone(), lab.catalog.options().clone()).await.unwrap();
    let Some(crate::Entry::Dataset(theirs)) = other.resolve_opt(dataset.name()).await.unwrap() else { panic!() };
    // This server has looked at the log; another one commits; then this server goes on.
    dataset.referenced_files().await.unwrap();
    theirs.commit(Change::append(slow.clone()), &lab.actor).await.unwrap();
    let candidates = [slow[0].id, lost[0].id].into();
    let given_up = dataset.give_up(candidates, Gone::NotReadable, &collector(None)).await.unwrap();
    assert_eq!(given_up, [lost[0].id].into());
}

#[tokio::test]
async fn a_replacement_does_not_mind_a_collection() {
    let lab = Lab::new().await;
    let dataset = lab.dataset("t", &[numbers(0..10)]).await;
    let read = dataset.snapshot(At::Latest).await.unwrap().version;
    write(&dataset, &numbers(0..5)).await;
    lab.later();
    assert_eq!(gc(&lab.catalog, DAY, false).await.unwrap().removed.len(), 1);
    let replace =
        || Change { operation: crate::Operation::Replace, read_version: Some(read), ..Change::append(Vec::new()) };
    dataset.commit(replace(), &lab.actor).await.unwrap();
    assert!(dataset.commit(replace(), &lab.actor).await.is_err(), "this one has something to mind");
}

#[tokio::test]
async fn files_of_older_versions_stay() {
    let lab = Lab::new().await;
    let dataset = lab.dataset("t", &[numbers(0..10)]).await;
    let files = write(&dataset, &numbers(0..5)).await;
    let change = Change { operation: crate::Operation::Replace, ..Change::append(files) };
    dataset.commit(change, &lab.actor).await.unwrap();
    lab.later();
    assert_eq!(gc(&lab.catalog, DAY, false).await.unwrap().removed, []);
}

#[tokio::test]
async fn a_dropped_dataset_goes_after_the_grace_time() {
    let lab = Lab::new().await;
    let dataset = lab.dataset("t", &[numbers(0..10), numbers(10..20)]).await;
    let other = lab.dataset("other", &[numbers(0..10)]).await;
    lab.later();
    lab.catalog.drop(&TableName::in_default_schema("t").unwrap(), None, &lab.actor).await.unwrap();
    let report = gc(&lab.catalog, DAY, false).await.unwrap();
    let reasons = |report: &GcReport| report.removed.iter().map(|garbage| garbage.reason).collect::<Vec<_>>();
    assert_eq!(reasons(&report), [GarbageReason::OutOfDate], "the table was dropped a moment ago");
    assert!(report.removed[0].key.starts_with("_skein/docs/name/"), "what its name stood for before: {report:?}");
    lab.later();
    let report = gc(&lab.catalog, DAY, false).await.unwrap();
    assert!(reasons(&report).iter().all(|reason| *reason == GarbageReason::Dropped), "{report:?}");
    assert_eq!(lab.keys(&folder(dataset.id())).await, Vec::<String>::new());
    assert!(!lab.keys(&folder(other.id())).await.is_empty());
}

#[tokio::test]
async fn a_dataset_that_was_never_published_goes_too() {
    let lab = Lab::new().await;
    lab.dataset("other", &[]).await;
    let staged = lab.catalog.stage_dataset(lab.new_dataset("t"), &lab.actor).await.unwrap();
    lab.append(&staged, &numbers(0..10)).await;
    assert_eq!(gc(&lab.catalog, DAY, false).await.unwrap().removed, []);
    lab.later();
    let report = gc(&lab.catalog, DAY, false).await.unwrap();
    assert_eq!((report.removed.len(), report.kept_young), (0, 3), "it is dropped first: {report:?}");
    lab.later();
    assert!(!gc(&lab.catalog, DAY, false).await.unwrap().removed.is_empty());
    assert_eq!(lab.keys(&folder(staged.id())).await, Vec::<String>::new());
}

#[tokio::test]
async fn tables_of_another_catalog_are_left_alone() {
    let lab = Lab::new().await;
    let dataset = lab.dataset("t", &[numbers(0..10)]).await;
    lab.later();
    // The same bucket, no longer the one with the names.
    let buckets = skein_storage::Buckets::new(vec![Bucket::in_memory("new"), lab.bucket.clone()]).unwrap();
    let other = Catalog::open(buckets, lab.catalog.options().clone()).await.unwrap();
    let before = lab.keys(&folder(dataset.id())).await;
    let report = gc(&other, DAY, false).await.unwrap();
    assert_eq!((report.removed.len(), report.problems.len()), (0, 1), "{report:?}");
    assert_eq!(lab.keys(&folder(dataset.id())).await, before);
}

#[tokio::test]
async fn a_dataset_that_cannot_be_read_loses_nothing() {
    let lab = Lab::new().await;
    let dataset = lab.dataset("t", &[numbers(0..10)]).await;
    let before = lab.keys(&folder(dataset.id())).await;
    for key in before.iter().filter(|key| key.contains("/log/")) {
        std::fs::write(lab.path(key), b"{").unwrap();
    }
    lab.later();
    let reopened = Catalog::open(lab.catalog.buckets().clone(), lab.catalog.options().clone()).await.unwrap();
    let _ = gc(&reopened, DAY, false).await;
    assert_eq!(lab.keys(&folder(dataset.id())).await, before);
}

#[tokio::test]
async fn a_table_that_is_published_while_it_is_taken_for_abandoned_is_kept() {
    let lab = Lab::new().await;
    let staged = lab.catalog.stage_dataset(lab.new_dataset("t"), &lab.actor).await.unwrap();
    lab.append(&staged, &numbers(0..10)).await;
    let other = Catalog::open(lab.catalog.buckets().clone(), lab.catalog.options().clone()).await.unwrap();
    let collected = other.dataset(staged.name().clone(), lab.bucket.clone(), staged.id());
    let announced = collected.announce_drop(2, &abandoned()).await.unwrap();
    assert!(collected.announce_drop(1, &abandoned()).await.is_err(), "there is a newer version than that");
    // The collector has read the names by now; it drops what it has announced only after this.
    lab.catalog.publish_dataset(&staged, false, &lab.actor).await.unwrap();
    assert!(matches!(collected.seal_at(Some(announced), &abandoned()).await, Err(Error::Conflict { .. })));
    assert_eq!(staged.snapshot(At::Latest).await.unwrap().rows, 10);
    let Some(crate::Entry::Dataset(found)) = other.resolve_opt(staged.name()).await.unwrap() else { panic!() };
    assert_eq!(found.id(), staged.id());
}

#[tokio::test]
async fn a_table_that_was_dropped_as_abandoned_does_not_get_its_name() {
    let lab = Lab::new().await;
    for in_place_of_another in [false, true] {
        let old = if in_place_of_another { Some(lab.dataset("t", &[numbers(0..3)]).await) } else { None };
        let staged = lab.catalog.stage_dataset(lab.new_dataset("t"), &lab.actor).await.unwrap();
        let other = Catalog::open(lab.catalog.buckets().clone(), lab.catalog.options().clone()).await.unwrap();
        other.dataset(staged.name().clone(), lab.bucket.clone(), staged.id()).seal(&abandoned()).await.unwrap();
        let error = lab.catalog.publish_dataset(&staged, in_place_of_another, &lab.actor).await.unwrap_err();
        assert!(error.to_string().contains("dropped by garbage collection"), "{error}");
        let found = other.resolve_opt(staged.name()).await.unwrap();
        match (found, old) {
            (None, None) => {}
            (Some(crate::Entry::Dataset(found)), Some(old)) => {
                assert_eq!((found.id(), found.snapshot(At::Latest).await.unwrap().rows), (old.id(), 3));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_a_removal_has_left_of_a_log_goes_too() {
    let lab = Lab::new().await;
    lab.dataset("other", &[]).await;
    let staged = lab.catalog.stage_dataset(lab.new_dataset("t"), &lab.actor).await.unwrap();
    lab.append(&staged, &numbers(0..10)).await;
    std::fs::remove_file(lab.path(&delta_key(staged.id(), 1))).unwrap();
    lab.later();
    let report = gc(&lab.catalog, DAY, false).await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(lab.keys(&folder(staged.id())).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_was_written_after_a_log_had_gone_goes_too() {
    let lab = Lab::new().await;
    lab.dataset("other", &[]).await;
    for late in [vec!["3.checkpoint.json"], vec!["2.json", "3.checkpoint.json"]] {
        let id = skein_model::DatasetId::generate();
        for name in late {
            let late = format!("{}log/0000000000000000000{name}", folder(id));
            lab.bucket.put_new(&late, "{}".into()).await.unwrap();
        }
        lab.later();
        let report = gc(&lab.catalog, DAY, false).await.unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
        assert_eq!(lab.keys(&folder(id)).await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_table_whose_log_was_removed_as_abandoned_does_not_get_its_name() {
    let lab = Lab::new().await;
    lab.dataset("other", &[]).await;
    for written_again in [false, true] {
        let staged = lab.catalog.stage_dataset(lab.new_dataset("t"), &lab.actor).await.unwrap();
        lab.append(&staged, &numbers(0..10)).await;
        let other = Catalog::open(lab.catalog.buckets().clone(), lab.catalog.options().clone()).await.unwrap();
        for _ in 0..2 {
            lab.later();
            gc(&other, DAY, false).await.unwrap();
        }
        assert_eq!(lab.keys(&folder(staged.id())).await, Vec::<String>::new());
        if written_again {
            // By somebody who knows nothing of the removal.
            lab.append(&staged, &numbers(0..10)).await;
        }
        let error = lab.catalog.publish_dataset(&staged, false, &lab.actor).await.unwrap_err();
        assert!(error.to_string().contains("garbage collection has removed it"), "{error}");
        assert!(other.resolve_opt(staged.name()).await.unwrap().is_none());
    }
}

/// A catalog over a bucket of names and one of data that can be held and fail, and a table that is not published yet.
async fn staged_over_faults() -> (Catalog, Arc<FaultStore>, Arc<FaultStore>, Dataset) {
    let (names, data) = (FaultStore::new(Arc::new(InMemory::new())), FaultStore::new(Arc::new(InMemory::new())));
    let buckets =
        vec![Bucket::from_store("names", Arc::clone(&names) as _), Bucket::from_store("data", Arc::clone(&data) as _)];
    let buckets = skein_storage::Buckets::new(buckets).unwrap();
    let catalog = Catalog::open(buckets, crate::CatalogOptions::default()).await.unwrap();
    let staged = catalog.stage_dataset(table_in_data(), &abandoned()).await.unwrap();
    staged.commit(Change::append(Vec::new()), &abandoned()).await.unwrap();
    (catalog, names, data, staged)
}

fn table_in_data() -> crate::NewDataset {
    crate::NewDataset {
        name: TableName::in_default_schema("t").unwrap(),
        schema: numbers(0..0).schema(),
        bucket: Some("data".to_owned()),
        properties: BTreeMap::new(),
    }
}

fn publishing(catalog: &Catalog, dataset: &Dataset, or_replace: bool) -> tokio::task::JoinHandle<Result<()>> {
    let (catalog, dataset) = (catalog.clone(), dataset.clone());
    tokio::spawn(async move { catalog.publish_dataset(&dataset, or_replace, &abandoned()).await })
}

#[tokio::test]
async fn a_table_that_is_dropped_as_soon_as_its_name_can_be_seen_was_published() {
    let (catalog, _, data, staged) = staged_over_faults().await;
    data.take_calls();
    data.hold(Some(Op::Get));
    let published = publishing(&catalog, &staged, false);
    data.asked_for(Op::Get).await;
    catalog.drop(staged.name(), None, &abandoned()).await.unwrap();
    data.hold(None);
    published.await.unwrap().unwrap();
    assert!(catalog.resolve_opt(staged.name()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_name_that_cannot_be_taken_back_is_no_refusal() {
    let (catalog, names, _, staged) = staged_over_faults().await;
    staged.seal(&abandoned()).await.unwrap();
    names.schedule(Op::Create, [None, Some(Fault::Denied)]);
    let error = catalog.publish_dataset(&staged, false, &abandoned()).await.unwrap_err();
    assert!(matches!(error, Error::Storage(_)), "the name stands: {error}");
    assert!(catalog.resolve_opt(staged.name()).await.unwrap().is_some());
    catalog.drop(staged.name(), None, &abandoned()).await.unwrap();
}

#[tokio::test]
async fn a_table_that_gets_its_name_back_is_not_taken_for_abandoned() {
    let (catalog, names, _, staged) = staged_over_faults().await;
    let old = catalog.create_dataset(table_in_data(), &abandoned()).await.unwrap();
    names.take_calls();
    names.hold(Some(Op::Create));
    let published = publishing(&catalog, &staged, true);
    names.asked_for(Op::Create).await;
    staged.seal(&abandoned()).await.unwrap();
    let announced = old.announce_drop(1, &abandoned()).await.unwrap();
    names.hold(None);
    let error = published.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    let Some(crate::Entry::Dataset(found)) = catalog.resolve_opt(staged.name()).await.unwrap() else { panic!() };
    assert_eq!(found.id(), old.id());
    assert!(matches!(old.seal_at(Some(announced), &abandoned()).await, Err(Error::Conflict { .. })));
}

#[tokio::test]
async fn a_log_that_was_begun_again_after_it_had_gone_goes_too() {
    let lab = Lab::new().await;
    lab.dataset("other", &[]).await;
    let options = crate::CatalogOptions { checkpoint_every: 2, ..lab.catalog.options().clone() };
    let catalog = Catalog::open(lab.catalog.buckets().clone(), options).await.unwrap();
    let staged = catalog.stage_dataset(lab.new_dataset("t"), &lab.actor).await.unwrap();
    staged.seal(&abandoned()).await.unwrap();
    while lab.keys(&folder(staged.id())).await.len() < 3 {
        // The checkpoint is written in the background.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    std::fs::remove_file(lab.path(&delta_key(staged.id(), 2))).unwrap();
    lab.later();
    let report = gc(&lab.catalog, DAY, false).await.unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert_eq!(lab.keys(&folder(staged.id())).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_table_whose_first_version_took_too_long_is_not_made() {
    let (catalog, clock, data) = {
        let data = FaultStore::new(Arc::new(InMemory::new()));
        let clock = skein_model::ManualClock::new(Utc::now());
        let options = crate::CatalogOptions { clock: Arc::new(clock.clone()), ..crate::CatalogOptions::default() };
        let bucket = Bucket::from_store("data", Arc::clone(&data) as _);
        let buckets = skein_storage::Buckets::new(vec![bucket]).unwrap();
        (Catalog::open(buckets, options).await.unwrap(), clock, data)
    };
    data.take_calls();
    data.hold(Some(Op::Create));
    let staging = tokio::spawn(async move { catalog.stage_dataset(table_in_data(), &abandoned()).await });
    data.asked_for(Op::Create).await;
    clock.advance(TimeDelta::days(2));
    data.hold(None);
    let error = staging.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error}");
}

#[tokio::test]
async fn what_is_kept_about_indexes_is_neither_a_finding_nor_garbage() {
    let lab = Lab::new().await;
    let dataset = lab.dataset("t", &[numbers(0..10)]).await;
    let keys = ["manifest.json", "index.faiss"]
        .map(|name| format!("indexes/01JZ0000000000000000000001/01JZ0000000000000000000002/{name}"));
    for key in &keys {
        lab.bucket.put_new(key, "an index".into()).await.unwrap();
    }
    lab.later();
    let report = crate::maintenance::verify(&lab.catalog, Default::default()).await.unwrap();
    assert_eq!((report.findings, report.pending), (Vec::new(), Vec::new()));
    // Not even when the dataset goes.
    lab.catalog.drop(dataset.name(), None, &lab.actor).await.unwrap();
    for _ in 0..2 {
        lab.later();
        gc(&lab.catalog, DAY, false).await.unwrap();
    }
    assert_eq!(lab.keys(&folder(dataset.id())).await, Vec::<String>::new());
    assert_eq!(lab.keys("indexes").await.len(), keys.len());
}
