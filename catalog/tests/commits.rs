//! What a commit does, one writer at a time or two that know of each other.

mod support;

use std::sync::Arc;

use rstest::rstest;
use skein_catalog::{
    At, CatalogOptions, Change, Error, FileDeletes, Operation, Removed, RowSet, Snapshot, field_id, schema_id,
};
use skein_model::{ErrorKind, FileId, Kind};
use skein_storage::fault::{Fault, Op};
use support::{ada, catalog, columns, dataset, faulty, file, new_dataset, server};

fn change(operation: Operation) -> Change {
    Change { operation, ..Change::append(vec![]) }
}

#[tokio::test]
async fn an_append_adds_its_files_and_says_who_and_why() {
    let catalog = catalog().await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    let actor = skein_catalog::Actor { reason: Some("monthly".into()), ..ada() };
    let first = table.commit(Change::append(vec![file(3), file(4)]), &actor).await.unwrap();
    let second = table.commit(Change::append(vec![file(5)]), &ada()).await.unwrap();
    assert_eq!((first.version, second.version), (2, 3));
    let snapshot = table.snapshot(At::Latest).await.unwrap();
    assert_eq!((snapshot.rows, snapshot.bytes, snapshot.files.len()), (12, 120, 3));
    assert!(snapshot.files.iter().all(|f| f.schema_id == 1));
    let history = table.history().await.unwrap();
    assert_eq!(
        history.iter().map(|i| i.operation).collect::<Vec<_>>(),
        [Operation::Append, Operation::Append, Operation::Create]
    );
    let info = &history[1];
    assert_eq!((info.author.as_str(), info.reason.as_deref(), info.parent), ("ada", Some("monthly"), Some(1)));
    assert_eq!((info.rows_added, info.files_added, info.rows, info.files), (7, 2, 7, 2));
    assert_eq!(info.schema_fingerprint, snapshot.fingerprint());
}

#[tokio::test]
async fn a_snapshots_schema_carries_ids_and_the_clients_one_does_not() {
    let catalog = catalog().await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    let snapshot = table.snapshot(At::Latest).await.unwrap();
    assert_eq!(snapshot.schema.fields().iter().map(|f| field_id(f)).collect::<Vec<_>>(), [Some(1), Some(2)]);
    assert_eq!(schema_id(&snapshot.schema), 1);
    assert_eq!(snapshot.arrow_schema(), columns(&["a", "b"]));
}

#[tokio::test]
async fn a_replacement_takes_the_place_of_everything() {
    let catalog = catalog().await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    table.commit(Change::append(vec![file(3), file(4)]), &ada()).await.unwrap();
    let planned = table.plan_schema(&columns(&["b", "c"])).await.unwrap();
    assert_eq!(planned.fields().iter().map(|f| field_id(f)).collect::<Vec<_>>(), [Some(2), Some(3)]);
    let replace = Change { added: vec![file(1)], schema: Some(planned), ..change(Operation::Replace) };
    let replaced = table.commit(replace, &ada()).await.unwrap();
    let info = &replaced.snapshot.info;
    assert_eq!((info.rows, info.rows_removed, info.files_removed), (1, 7, 2));
    assert_eq!((replaced.snapshot.schema_id, replaced.snapshot.files[0].schema_id), (2, 2));
    assert_eq!(replaced.snapshot.arrow_schema(), columns(&["b", "c"]));
    let same = table.plan_schema(&columns(&["b", "c"])).await.unwrap();
    let again = table.commit(Change { schema: Some(same), ..change(Operation::Replace) }, &ada()).await.unwrap();
    assert_eq!(again.snapshot.schema_id, 2, "the same columns are no change of columns");
}

#[tokio::test]
async fn a_column_that_went_and_came_back_is_a_new_one() {
    let catalog = catalog().await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    for (names, ids) in [(&["a"][..], &[1][..]), (&["a", "b"][..], &[1, 3][..])] {
        let planned = table.plan_schema(&columns(names)).await.unwrap();
        assert_eq!(planned.fields().iter().filter_map(|f| field_id(f)).collect::<Vec<_>>(), ids);
        table.commit(Change { schema: Some(planned), ..change(Operation::Replace) }, &ada()).await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_rebased_is_a_conflict() {
    let catalog = catalog().await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    let planned = table.plan_schema(&columns(&["x"])).await.unwrap();
    let old = file(1);
    table.commit(Change::append(vec![old.clone()]), &ada()).await.unwrap();
    let stale = Change { read_version: Some(1), ..change(Operation::Replace) };
    let conflict = table.commit(stale, &ada()).await.unwrap_err();
    assert_eq!(conflict.kind(), ErrorKind::Conflict);
    assert!(conflict.to_string().contains("version 2 now") && conflict.to_string().contains("public.t"), "{conflict}");

    let resync = Change { removed: vec![Removed::from(&old)], added: vec![old.clone()], ..change(Operation::Resync) };
    table.commit(resync.clone(), &ada()).await.unwrap();
    table.commit(Change { schema: Some(planned.clone()), ..change(Operation::Replace) }, &ada()).await.unwrap();
    assert_eq!(table.commit(resync, &ada()).await.unwrap_err().kind(), ErrorKind::Conflict);

    let before = skein_catalog::DataFile { schema_id: 1, ..file(2) };
    let append = table.commit(Change::append(vec![before]), &ada()).await.unwrap_err();
    assert!(append.to_string().contains("columns were replaced"), "{append}");
    let again = Change { schema: Some(planned), ..change(Operation::Replace) };
    table.commit(again, &ada()).await.unwrap();
    assert_eq!(table.history().await.unwrap().len(), 5);
}

#[tokio::test]
async fn rows_are_deleted_from_a_file_as_it_was_seen_or_not_at_all() {
    let catalog = catalog().await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    let (one, two) = (file(10), file(10));
    table.commit(Change::append(vec![one.clone(), two.clone()]), &ada()).await.unwrap();
    let rows = |rows: &[u32]| rows.iter().copied().collect::<RowSet>();
    let delete = |deletes: Vec<FileDeletes>| Change { deletes, ..change(Operation::Delete) };
    let first = table.write_deletes(&one, &RowSet::new(), &rows(&[1, 2])).await.unwrap();
    let rival = table.write_deletes(&one, &RowSet::new(), &rows(&[3])).await.unwrap();
    let elsewhere = table.write_deletes(&two, &RowSet::new(), &rows(&[4])).await.unwrap();
    let seen = table.snapshot(At::Latest).await.unwrap();
    table.commit(Change::append(vec![file(5)]), &ada()).await.unwrap();

    let deleted = table.commit(delete(vec![first.clone()]), &ada()).await.unwrap().snapshot;
    assert_eq!((deleted.rows, deleted.info.rows_removed, deleted.info.files_removed), (23, 2, 0));
    assert_eq!((deleted.files[0].id, deleted.files[0].live_rows(), deleted.files[0].rows), (one.id, 8, 10));
    let conflict = table.commit(delete(vec![rival]), &ada()).await.unwrap_err();
    assert_eq!(conflict.kind(), ErrorKind::Conflict, "{conflict}");
    table.commit(delete(vec![elsewhere]), &ada()).await.unwrap();
    assert_eq!(table.snapshot(At::Latest).await.unwrap().rows, 22);
    assert_eq!(table.snapshot(At::Version(3)).await.unwrap().rows, 25);

    let removed: Vec<_> = seen.files.iter().map(|file| Removed::from(file.as_ref())).collect();
    let stale = Change { removed: removed.clone(), added: vec![file(20)], ..change(Operation::Compact) };
    let conflict = table.commit(stale, &ada()).await.unwrap_err();
    assert!(conflict.to_string().contains("have been deleted"), "{conflict}");
    let now = table.snapshot(At::Latest).await.unwrap();
    let removed: Vec<_> = now.files.iter().map(|file| Removed::from(file.as_ref())).collect();
    let gone = table.commit(Change { removed, ..change(Operation::Delete) }, &ada()).await.unwrap().snapshot;
    assert_eq!((gone.rows, gone.info.rows_removed, gone.bytes), (0, 22, 0));
    let late = FileDeletes { replaces: Some(first.deletes.id), ..first };
    assert_eq!(table.commit(delete(vec![late]), &ada()).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn ids_that_two_replacements_gave_to_different_columns_are_a_conflict() {
    let catalog = catalog().await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    let one = table.plan_schema(&columns(&["a", "x"])).await.unwrap();
    let two = table.plan_schema(&columns(&["a", "y"])).await.unwrap();
    table.commit(Change { schema: Some(one), ..change(Operation::Replace) }, &ada()).await.unwrap();
    let error = table.commit(Change { schema: Some(two), ..change(Operation::Replace) }, &ada()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}

#[tokio::test]
async fn changes_that_make_no_sense_are_refused_before_anything_is_written() {
    let catalog = catalog().await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    let twin = file(1);
    table.commit(Change::append(vec![twin.clone()]), &ada()).await.unwrap();
    let plain = columns(&["a"]);
    let senseless = [
        change(Operation::Create),
        change(Operation::Drop),
        Change { schema: Some(plain.clone()), ..change(Operation::Append) },
        Change { schema: Some(plain), ..change(Operation::Replace) },
        Change { removed: vec![Removed { id: FileId::generate(), deletes: None }], ..change(Operation::Append) },
        Change::append(vec![twin.clone()]),
        {
            let f = file(1);
            Change::append(vec![f.clone(), f])
        },
    ];
    for change in senseless {
        let error = table.commit(change.clone(), &ada()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{change:?}: {error}");
    }
    assert_eq!(table.history().await.unwrap().len(), 2);
}

#[tokio::test]
async fn the_same_key_commits_once() {
    let catalog = catalog().await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    let keyed = || Change { idempotency_key: Some("k".into()), ..Change::append(vec![file(1)]) };
    assert_eq!(table.find_key("k").await.unwrap(), None);
    let first = table.commit(keyed(), &ada()).await.unwrap();
    table.commit(Change::append(vec![file(1)]), &ada()).await.unwrap();
    let second = table.commit(keyed(), &ada()).await.unwrap();
    assert_eq!((first.version, first.duplicate), (2, false));
    assert_eq!((second.version, second.duplicate, second.snapshot.version), (2, true, 2));
    assert_eq!(table.find_key("k").await.unwrap(), Some(2));
    assert_eq!(table.snapshot(At::Latest).await.unwrap().rows, 2);
}

#[rstest]
#[case::lost_answer(Fault::LostAnswer)]
#[case::unavailable(Fault::Unavailable)]
#[case::s3s_retryable_409(Fault::Conflict)]
#[tokio::test]
async fn a_commit_that_meets_a_fault_happens_exactly_once(#[case] fault: Fault) {
    let (bucket, store) = faulty();
    let catalog = server(&bucket, CatalogOptions::default()).await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    store.schedule(Op::Create, [Some(fault)]);
    let committed = table.commit(Change::append(vec![file(1)]), &ada()).await.unwrap();
    assert_eq!(committed.version, 2);
    assert_eq!(table.snapshot(At::Latest).await.unwrap().rows, 1);
    assert_eq!(table.history().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_commit_without_any_answer_says_that_it_is_not_known() {
    let (bucket, store) = faulty();
    let catalog = server(&bucket, CatalogOptions::default()).await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    table.snapshot(At::Latest).await.unwrap();
    store.schedule(Op::Create, [Some(Fault::LostAnswer)]);
    store.schedule(Op::Create, [Some(Fault::Unavailable); 20]);
    // Reading back fails too, else the commit would find its own entry.
    store.always(Op::Get, Fault::Unavailable);
    let error = table.commit(Change::append(vec![file(1)]), &ada()).await.unwrap_err();
    assert!(matches!(error, Error::CommitUnknown { version: 2, .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    store.heal();
    assert_eq!(table.snapshot(At::Latest).await.unwrap().rows, 1, "it had happened");
}

#[tokio::test]
async fn a_full_disk_leaves_the_dataset_as_it_was() {
    let (bucket, store) = faulty();
    let catalog = server(&bucket, CatalogOptions::default()).await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    store.always(Op::Create, Fault::OutOfSpace);
    let error = table.commit(Change::append(vec![file(1)]), &ada()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    store.heal();
    assert_eq!(table.snapshot(At::Latest).await.unwrap().version, 1);
    assert_eq!(table.commit(Change::append(vec![file(1)]), &ada()).await.unwrap().version, 2);
}

#[tokio::test]
async fn two_servers_see_each_others_commits() {
    let (bucket, _) = faulty();
    let (one, two) =
        (server(&bucket, CatalogOptions::default()).await, server(&bucket, CatalogOptions::default()).await);
    let ours = one.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    let theirs = dataset(&two, "t").await;
    for version in 2..12 {
        let (writer, reader) = if version % 2 == 0 { (&ours, &theirs) } else { (&theirs, &ours) };
        assert_eq!(writer.commit(Change::append(vec![file(1)]), &ada()).await.unwrap().version, version);
        let seen = reader.snapshot(At::Latest).await.unwrap();
        assert_eq!((seen.version, seen.rows), (version, version - 1));
    }
    // Knowledge that is out of date must not be the reason of a refusal.
    let replace = Change { read_version: Some(11), ..change(Operation::Replace) };
    theirs.commit(Change { read_version: Some(11), ..replace.clone() }, &ada()).await.unwrap();
    let replace = Change { read_version: Some(12), ..replace };
    assert_eq!(ours.commit(replace, &ada()).await.unwrap().version, 13);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_appends_at_once_all_arrive() {
    let (bucket, _) = faulty();
    let catalogs = [server(&bucket, CatalogOptions::default()).await, server(&bucket, CatalogOptions::default()).await];
    catalogs[0].create_dataset(new_dataset("t"), &ada()).await.unwrap();
    let tasks: Vec<_> = (0..40)
        .map(|i| {
            let catalog = catalogs[i % 2].clone();
            tokio::spawn(async move {
                dataset(&catalog, "t").await.commit(Change::append(vec![file(1)]), &ada()).await.unwrap().version
            })
        })
        .collect();
    let mut versions = Vec::new();
    for task in tasks {
        versions.push(task.await.unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, (2..42).collect::<Vec<_>>());
    let seen: Vec<Arc<Snapshot>> = vec![
        dataset(&catalogs[0], "t").await.snapshot(At::Latest).await.unwrap(),
        dataset(&catalogs[1], "t").await.snapshot(At::Latest).await.unwrap(),
    ];
    assert_eq!(seen[0].files, seen[1].files);
    assert_eq!(seen[0].rows, 40);
}
