//! What a transaction sees and does, one at a time or two that know of each other.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use std::sync::Arc;

use object_store::memory::InMemory;
use skein_catalog::{At, Catalog, CatalogOptions, Change, Dataset, Entry, Operation, Retention, Snapshot, Transaction};
use skein_model::{ErrorKind, Kind};
use skein_storage::{
    Bucket,
    fault::{Fault, FaultStore, Op},
};
use support::{ada, catalog, columns, dataset, faulty, file, name, new_dataset, server};

async fn tables(catalog: &Catalog, names: &[&str]) {
    for table in names {
        catalog.create_dataset(new_dataset(table), &ada()).await.unwrap();
    }
}

async fn append(catalog: &Catalog, table: &str, rows: u64) {
    dataset(catalog, table).await.commit(Change::append(vec![file(rows)]), &ada()).await.unwrap();
}

async fn replace(catalog: &Catalog, table: &str, rows: u64) {
    let change = Change { operation: Operation::Replace, ..Change::append(vec![file(rows)]) };
    dataset(catalog, table).await.commit(change, &ada()).await.unwrap();
}

async fn latest(catalog: &Catalog, table: &str) -> Arc<Snapshot> {
    dataset(catalog, table).await.snapshot(At::Latest).await.unwrap()
}

async fn rows(catalog: &Catalog, table: &str) -> u64 {
    latest(catalog, table).await.rows
}

async fn exists(catalog: &Catalog, table: &str) -> bool {
    catalog.resolve_opt(&name(table)).await.unwrap().is_some()
}

async fn fails(transaction: &Arc<Transaction>) -> ErrorKind {
    transaction.commit().await.unwrap_err().kind()
}

#[tokio::test]
async fn changes_are_seen_inside_at_once_and_outside_together() {
    let (catalog, ada) = (catalog().await, ada());
    tables(&catalog, &["a", "b"]).await;
    append(&catalog, "a", 1).await;
    let transaction = catalog.begin(&ada);
    let inside = transaction.catalog();
    append(&inside, "a", 10).await;
    append(&inside, "a", 100).await;
    replace(&inside, "b", 5).await;
    append(&inside, "b", 2).await;
    assert_eq!((rows(&inside, "a").await, rows(&inside, "b").await), (111, 7));
    assert_eq!((rows(&catalog, "a").await, rows(&catalog, "b").await), (1, 0));
    assert_eq!(dataset(&inside, "a").await.history().await.unwrap().len(), 4);
    let before = dataset(&inside, "a").await.snapshot(At::Version(3)).await.unwrap();
    assert_eq!(before.rows, 11, "every step can be looked at");

    transaction.commit().await.unwrap();
    let (a, b) = (latest(&catalog, "a").await, latest(&catalog, "b").await);
    assert_eq!((a.version, a.rows, b.version, b.rows), (3, 111, 2, 7), "one version each");
    assert_eq!((a.info.operation, b.info.operation), (Operation::Append, Operation::Replace));
    assert_eq!((a.info.transaction, a.info.timestamp), (Some(transaction.id()), b.info.timestamp));
    assert_eq!(b.info.transaction, Some(transaction.id()));
    for ended in [transaction.commit().await, transaction.rollback().await, transaction.savepoint("s").map(drop)] {
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::NotFound);
    }
    assert!(inside.resolve_opt(&name("a")).await.unwrap_err().to_string().contains("was committed"));
}

#[tokio::test]
async fn one_dataset_alone_is_committed_as_ever() {
    let (bucket, store) = faulty();
    let catalog = server(&bucket, CatalogOptions::default()).await;
    tables(&catalog, &["a"]).await;
    let transaction = catalog.begin(&ada());
    append(&transaction.catalog(), "a", 1).await;
    append(&transaction.catalog(), "a", 1).await;
    store.take_calls();
    transaction.commit().await.unwrap();
    let created = store.take_calls().into_iter().filter(|call| call.op == Op::Create).count();
    assert_eq!((created, latest(&catalog, "a").await.info.transaction), (1, None));
}

#[tokio::test]
async fn what_others_commit_after_it_began_is_not_seen() {
    let bucket = Bucket::in_memory("main");
    let (mine, theirs) =
        (server(&bucket, CatalogOptions::default()).await, server(&bucket, CatalogOptions::default()).await);
    tables(&mine, &["a", "b"]).await;
    let transaction = mine.begin(&ada());
    let inside = transaction.catalog();
    append(&theirs, "a", 1).await;
    assert!(transaction.is_untouched());
    assert_eq!(rows(&inside, "a").await, 1, "what is there when it first looks");
    append(&theirs, "a", 10).await;
    append(&theirs, "b", 10).await;
    assert_eq!((rows(&inside, "a").await, rows(&inside, "b").await), (1, 0), "is what it goes on to see everywhere");
    assert_eq!(dataset(&inside, "a").await.history().await.unwrap().len(), 2);
    let later = dataset(&inside, "a").await.snapshot(At::Version(3)).await.unwrap_err();
    assert_eq!(later.kind(), ErrorKind::NotFound);
    theirs.drop(&name("a"), None, &ada()).await.unwrap();
    assert_eq!(rows(&inside, "a").await, 1, "and what it has seen stays");
    append(&inside, "b", 5).await;
    transaction.commit().await.unwrap();
    assert_eq!(rows(&theirs, "b").await, 15, "rows that were added go onto what is there");
}

#[tokio::test]
async fn the_first_to_commit_wins() {
    let catalog = catalog().await;
    tables(&catalog, &["a", "b"]).await;
    let (one, two, three) = (catalog.begin(&ada()), catalog.begin(&ada()), catalog.begin(&ada()));
    for transaction in [&one, &two] {
        replace(&transaction.catalog(), "a", 1).await;
        append(&transaction.catalog(), "b", 1).await;
    }
    append(&three.catalog(), "a", 10).await;
    append(&three.catalog(), "b", 10).await;
    one.commit().await.unwrap();
    assert_eq!(fails(&two).await, ErrorKind::Conflict);
    assert!(two.is_rolled_back());
    three.commit().await.unwrap();
    assert_eq!((rows(&catalog, "a").await, rows(&catalog, "b").await), (11, 11));
    // The one that lost has left a version in which nothing changed, or none.
    append(&catalog, "a", 1).await;
    assert_eq!(rows(&catalog, "a").await, 12);
}

/// A record of what became of a transaction stays for ever.
#[tokio::test]
async fn a_transaction_that_fails_before_anything_names_it_leaves_no_record() {
    let bucket = Bucket::in_memory("main");
    let catalog = server(&bucket, CatalogOptions::default()).await;
    tables(&catalog, &["a", "b"]).await;
    let (a, b) = (dataset(&catalog, "a").await.id(), dataset(&catalog, "b").await.id());
    let (first, second) = if a < b { ("a", "b") } else { ("b", "a") };
    for (lost, records) in [(first, 0), (second, 1)] {
        let transaction = catalog.begin(&ada());
        replace(&transaction.catalog(), "a", 1).await;
        replace(&transaction.catalog(), "b", 1).await;
        replace(&catalog, lost, 2).await;
        assert_eq!(fails(&transaction).await, ErrorKind::Conflict);
        assert_eq!(bucket.list("_skein/txn").await.unwrap().len(), records, "the logs are written in the order of ids");
    }
}

#[tokio::test]
async fn a_rollback_leaves_nothing() {
    let store = Arc::new(InMemory::new());
    let bucket = Bucket::from_store("main", store.clone());
    let catalog = server(&bucket, CatalogOptions::default()).await;
    tables(&catalog, &["a"]).await;
    let objects = async || bucket.list("tables").await.unwrap().len();
    let before = objects().await;
    let table = dataset(&catalog, "a").await;
    for explicit in [true, false] {
        let transaction = catalog.begin(&ada());
        let inside = transaction.catalog();
        let written = file(1);
        bucket.put_new(&table.data_key(written.id), "rows".into()).await.unwrap();
        dataset(&inside, "a").await.commit(Change::append(vec![written]), &ada()).await.unwrap();
        inside.create_dataset(new_dataset("c"), &ada()).await.unwrap();
        assert_eq!(objects().await, before + 2);
        drop(inside);
        if explicit {
            transaction.rollback().await.unwrap();
        }
        drop(transaction);
        while objects().await > before {
            tokio::task::yield_now().await;
        }
        assert_eq!((rows(&catalog, "a").await, exists(&catalog, "c").await), (0, false));
    }
}

#[tokio::test]
async fn savepoints_take_back_what_came_after() {
    let catalog = catalog().await;
    tables(&catalog, &["a", "old"]).await;
    let transaction = catalog.begin(&ada());
    let inside = transaction.catalog();
    append(&inside, "a", 1).await;
    let first = transaction.savepoint("one").unwrap();
    append(&inside, "a", 10).await;
    inside.create_dataset(new_dataset("new"), &ada()).await.unwrap();
    inside.drop(&name("old"), None, &ada()).await.unwrap();
    let second = transaction.savepoint("two").unwrap();
    append(&inside, "new", 100).await;
    transaction.rollback_to(second, false).unwrap();
    assert_eq!(rows(&inside, "new").await, 0);
    assert_eq!(transaction.release(second).unwrap_err().kind(), ErrorKind::NotFound, "it is used up");
    assert_eq!(transaction.find_savepoint("one"), Some(first));
    transaction.rollback_to(first, true).unwrap();
    assert_eq!(
        (rows(&inside, "a").await, exists(&inside, "new").await, exists(&inside, "old").await),
        (1, false, true)
    );
    append(&inside, "a", 1000).await;
    transaction.rollback_to(first, true).unwrap();
    append(&inside, "a", 2000).await;
    transaction.release(first).unwrap();
    assert_eq!(transaction.rollback_to(first, true).unwrap_err().kind(), ErrorKind::NotFound);
    transaction.commit().await.unwrap();
    assert_eq!((rows(&catalog, "a").await, exists(&catalog, "new").await), (2001, false));
}

#[tokio::test]
async fn tables_are_made_replaced_and_dropped_with_it() {
    let catalog = catalog().await;
    tables(&catalog, &["gone", "replaced", "kept"]).await;
    append(&catalog, "replaced", 7).await;
    let transaction = catalog.begin(&ada());
    let inside = transaction.catalog();
    inside.create_dataset(new_dataset("made"), &ada()).await.unwrap();
    append(&inside, "made", 3).await;
    append(&inside, "made", 4).await;
    append(&inside, "kept", 1).await;
    inside.drop(&name("gone"), None, &ada()).await.unwrap();
    inside.drop(&name("replaced"), None, &ada()).await.unwrap();
    inside.create_dataset(new_dataset("replaced"), &ada()).await.unwrap();
    let taken = inside.create_dataset(new_dataset("kept"), &ada()).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    let seen: Vec<_> = inside.entries().await.unwrap().into_iter().map(|(name, _)| name.table().to_owned()).collect();
    assert_eq!(seen, ["kept", "made", "replaced"]);
    let outside: Vec<_> = catalog.entries().await.unwrap().into_iter().map(|(n, _)| n.table().to_owned()).collect();
    assert_eq!(outside, ["gone", "kept", "replaced"]);
    let (replaced, gone) = (dataset(&catalog, "replaced").await, dataset(&catalog, "gone").await);
    transaction.commit().await.unwrap();

    for catalog in [catalog.clone(), Catalog::open(catalog.buckets().clone(), CatalogOptions::default()).await.unwrap()]
    {
        assert_eq!((rows(&catalog, "made").await, rows(&catalog, "kept").await), (7, 1));
        assert_eq!((rows(&catalog, "replaced").await, exists(&catalog, "gone").await), (0, false));
    }
    for old in [replaced, gone] {
        let error = old.commit(Change::append(vec![file(1)]), &ada()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "its log has ended");
    }
    tables(&catalog, &["gone"]).await;
}

#[tokio::test]
async fn a_name_that_somebody_else_took_is_a_conflict() {
    let catalog = catalog().await;
    tables(&catalog, &["a"]).await;
    for with_more in [false, true] {
        let transaction = catalog.begin(&ada());
        let inside = transaction.catalog();
        let table = format!("t{with_more}");
        inside.create_dataset(new_dataset(&table), &ada()).await.unwrap();
        if with_more {
            append(&inside, "a", 1).await;
        }
        tables(&catalog, &[&table]).await;
        assert_eq!(fails(&transaction).await, ErrorKind::Conflict);
        assert_eq!(rows(&catalog, "a").await, 0);
        append(&catalog, &table, 1).await;
    }
    let transaction = catalog.begin(&ada());
    append(&transaction.catalog(), "a", 1).await;
    append(&transaction.catalog(), "tfalse", 1).await;
    catalog.drop(&name("tfalse"), None, &ada()).await.unwrap();
    assert_eq!(fails(&transaction).await, ErrorKind::Conflict);
    assert_eq!(rows(&catalog, "a").await, 0);
}

#[tokio::test]
async fn columns_can_change_in_it_and_more_than_once() {
    let catalog = catalog().await;
    tables(&catalog, &["a", "b"]).await;
    let transaction = catalog.begin(&ada());
    let inside = transaction.catalog();
    append(&inside, "b", 1).await;
    for names in [["b", "c"], ["c", "d"]] {
        let table = dataset(&inside, "a").await;
        let schema = Some(table.plan_schema(&columns(&names)).await.unwrap());
        let change = Change { operation: Operation::Replace, schema, ..Change::append(vec![file(2)]) };
        table.commit(change, &ada()).await.unwrap();
        assert_eq!(latest(&inside, "a").await.arrow_schema(), columns(&names));
    }
    append(&inside, "a", 3).await;
    transaction.commit().await.unwrap();
    let snapshot = latest(&catalog, "a").await;
    assert_eq!((snapshot.arrow_schema(), snapshot.rows, snapshot.schema_id), (columns(&["c", "d"]), 5, 2));
    assert!(snapshot.files.iter().all(|file| file.schema_id == 2));
    append(&catalog, "a", 1).await;
}

#[tokio::test]
async fn an_idempotency_key_counts_in_it() {
    let catalog = catalog().await;
    tables(&catalog, &["a"]).await;
    let keyed = |key: &str| Change { idempotency_key: Some(key.to_owned()), ..Change::append(vec![file(1)]) };
    let (one, two) = (catalog.begin(&ada()), catalog.begin(&ada()));
    for transaction in [&one, &two] {
        let table = dataset(&transaction.catalog(), "a").await;
        assert!(!table.commit(keyed("k"), &ada()).await.unwrap().duplicate);
        assert!(table.commit(keyed("k"), &ada()).await.is_err() || table.find_key("k").await.unwrap().is_some());
    }
    one.commit().await.unwrap();
    assert_eq!(fails(&two).await, ErrorKind::Conflict, "its rows are there already");
    let again = dataset(&catalog, "a").await.commit(keyed("k"), &ada()).await.unwrap();
    assert!(again.duplicate);
}

#[tokio::test]
async fn what_cannot_be_a_part_of_it_says_so() {
    let catalog = catalog().await;
    let transaction = catalog.begin(&ada());
    let inside = transaction.catalog();
    let refused = inside.create_schema("s", &ada()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unimplemented);
    assert!(refused.to_string().contains("CREATE SCHEMA"), "{refused}");
    assert_eq!(inside.drop_schema("s", true, &ada()).await.unwrap_err().kind(), ErrorKind::Unimplemented);
    assert_eq!(inside.drop(&name("no"), None, &ada()).await.unwrap_err().kind(), ErrorKind::NotFound);
    transaction.commit().await.unwrap();
}

/// A committer that dies at its last create (0: before anything), over the same bucket as the catalog.
async fn dies(inner: &Arc<InMemory>, creates: usize, fault: Fault) {
    let store = FaultStore::new(Arc::clone(inner) as _);
    let catalog = server(&Bucket::from_store("main", store.clone()), CatalogOptions::default()).await;
    let transaction = catalog.begin(&ada());
    for table in ["a", "b"] {
        append(&transaction.catalog(), table, 10).await;
    }
    store.schedule(Op::Create, std::iter::repeat_n(None, creates).chain([Some(fault)]));
    let committed = tokio::time::timeout(std::time::Duration::from_secs(60), transaction.commit()).await;
    assert!(committed.is_err(), "it died");
}

#[tokio::test(start_paused = true)]
async fn a_committer_that_dies_blocks_nobody_for_long() {
    for (creates, fault, counts) in [
        (0, Fault::DiesBefore, false),
        (0, Fault::DiesAfter, false),
        (1, Fault::DiesAfter, false),
        (2, Fault::DiesBefore, false),
        (2, Fault::DiesAfter, true),
    ] {
        let inner = Arc::new(InMemory::new());
        let catalog = server(&Bucket::from_store("main", inner.clone()), CatalogOptions::default()).await;
        tables(&catalog, &["a", "b"]).await;
        dies(&inner, creates, fault).await;
        let expected = if counts { 10 } else { 0 };
        let cold = server(&Bucket::from_store("main", inner.clone()), CatalogOptions::default()).await;
        for reader in [&catalog, &cold] {
            assert_eq!((rows(reader, "a").await, rows(reader, "b").await), (expected, expected), "{creates} {fault:?}");
        }
        append(&catalog, "a", 1).await;
        append(&cold, "b", 1).await;
        let last = server(&Bucket::from_store("main", inner.clone()), CatalogOptions::default()).await;
        for reader in [&catalog, &cold, &last] {
            let seen = (rows(reader, "a").await, rows(reader, "b").await);
            assert_eq!(seen, (expected + 1, expected + 1), "{creates} {fault:?}");
        }
    }
}

const NEWEST: Retention = Retention { keep_versions: Some(1), keep_age: None };

#[tokio::test]
async fn a_transaction_goes_on_with_versions_that_have_expired_since() {
    let catalog = catalog().await;
    tables(&catalog, &["a", "b"]).await;
    append(&catalog, "a", 1).await;
    append(&catalog, "b", 1).await;
    let transaction = catalog.begin(&ada());
    let inside = transaction.catalog();
    assert_eq!(rows(&inside, "a").await, 1);
    for table in ["a", "b"] {
        append(&catalog, table, 10).await;
        dataset(&catalog, table).await.expire(NEWEST, false, &ada()).await.unwrap();
    }
    assert_eq!((rows(&inside, "a").await, rows(&inside, "b").await), (1, 1));
    let older = dataset(&inside, "a").await.snapshot(At::Version(1)).await.unwrap_err();
    assert!(older.kind() == ErrorKind::NotFound && older.to_string().contains("expired"), "{older}");
    append(&inside, "a", 100).await;
    append(&inside, "b", 100).await;
    transaction.commit().await.unwrap();
    assert_eq!((rows(&catalog, "a").await, rows(&catalog, "b").await), (111, 111));
}

#[tokio::test(start_paused = true)]
async fn an_expiry_waits_for_a_transaction_and_gives_up_one_that_stands_still() {
    for (creates, fault, counts) in [(1, Fault::DiesAfter, false), (2, Fault::DiesAfter, true)] {
        let inner = Arc::new(InMemory::new());
        let catalog = server(&Bucket::from_store("main", inner.clone()), CatalogOptions::default()).await;
        tables(&catalog, &["a", "b"]).await;
        append(&catalog, "a", 1).await;
        dies(&inner, creates, fault).await;
        let table = dataset(&catalog, "a").await;
        let expired = table.expire(NEWEST, false, &ada()).await.unwrap();
        let (oldest, left) = if counts { (3, 11) } else { (2, 1) };
        assert_eq!((expired.version, expired.oldest), (Some(4), oldest), "{creates}");
        assert_eq!(rows(&catalog, "a").await, left);
        let cold = server(&Bucket::from_store("main", inner.clone()), CatalogOptions::default()).await;
        assert_eq!((rows(&cold, "a").await, dataset(&cold, "a").await.oldest_version().await.unwrap()), (left, oldest));
    }
}

#[tokio::test]
async fn a_dataset_read_twice_is_the_same() {
    let catalog = catalog().await;
    tables(&catalog, &["a"]).await;
    let transaction = catalog.begin(&ada());
    let Entry::Dataset(first) = transaction.catalog().resolve(&name("a")).await.unwrap() else { panic!() };
    let seen: Dataset = first.clone();
    catalog.drop(&name("a"), None, &ada()).await.unwrap();
    tables(&catalog, &["a"]).await;
    assert_eq!(dataset(&transaction.catalog(), "a").await.id(), seen.id());
    assert_ne!(dataset(&catalog, "a").await.id(), seen.id());
}
