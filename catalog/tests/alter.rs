//! Changes of columns, also while others write.

#![allow(clippy::unwrap_used, clippy::panic, reason = "these are tests")]

mod support;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use arrow_schema::{DataType, Field};
use skein_catalog::{
    Alter, Alteration, At, Catalog, CatalogOptions, Change, ColumnStats, DataFile, Dataset, Entry, KeyKind, NewKey,
    Operation, Result, StatValue, Transaction, column_notes, field_id, table_notes,
};
use skein_model::{ErrorKind, Kind};
use skein_storage::Bucket;
use support::{ada, catalog, dataset, file, name, new_dataset, server};

async fn alter(dataset: &Dataset, steps: &[Alteration]) -> Result<u64> {
    let schema_id = dataset.snapshot(At::Latest).await?.schema_id;
    Ok(dataset.commit(change(steps, schema_id), &ada()).await?.version)
}

fn change(steps: &[Alteration], schema_id: u32) -> Change {
    let alter = Alter { steps: steps.to_vec(), schema_id, without_nulls: HashSet::new() };
    Change { operation: Operation::Alter, alter: Some(alter), ..Change::append(Vec::new()) }
}

fn add(column: &str, nullable: bool, default: Option<&str>) -> Alteration {
    let field = Field::new(column, DataType::Int32, nullable);
    Alteration::AddColumn { field, default: default.map(str::to_owned) }
}

fn not_null(column: &str) -> Alteration {
    Alteration::SetNullable { name: column.to_owned(), nullable: false }
}

/// A file of a schema, with this many nulls in each column.
fn written(schema_id: u32, nulls: u64) -> DataFile {
    let stats = ColumnStats { min: Some(StatValue::Int(1)), max: Some(StatValue::Int(9)), nulls, exact: true };
    let columns = BTreeMap::from([(1, stats.clone()), (2, stats)]);
    DataFile { schema_id, columns, ..file(10) }
}

async fn append(dataset: &Dataset, file: DataFile) -> Result<u64> {
    Ok(dataset.commit(Change::append(vec![file]), &ada()).await?.version)
}

#[tokio::test]
async fn older_versions_keep_their_columns_and_no_file_changes() {
    let bucket = Bucket::in_memory("main");
    let catalog = server(&bucket, CatalogOptions::default()).await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    append(&table, written(1, 0)).await.unwrap();
    let rename = Alteration::RenameColumn { from: "a".to_owned(), to: "z".to_owned() };
    alter(&table, &[add("c", true, Some("7")), rename]).await.unwrap();
    append(&table, written(2, 0)).await.unwrap();
    for catalog in [catalog, server(&bucket, CatalogOptions::default()).await] {
        let table = dataset(&catalog, "t").await;
        let names = |snapshot: &skein_catalog::Snapshot| -> Vec<String> {
            snapshot.arrow_schema().fields().iter().map(|field| field.name().clone()).collect()
        };
        let (old, new) = (table.snapshot(At::Version(2)).await.unwrap(), table.snapshot(At::Latest).await.unwrap());
        assert_eq!(
            (names(&old), names(&new)),
            (vec!["a".into(), "b".into()], vec!["z".into(), "b".into(), "c".into()])
        );
        assert_eq!((new.rows, new.files.len(), new.schema_id), (20, 2, 2));
        assert_eq!(new.files[0].id, old.files[0].id);
        assert_eq!(
            new.schema.fields().iter().map(|field| field_id(field)).collect::<Vec<_>>(),
            [Some(1), Some(2), Some(3)]
        );
        assert_eq!(column_notes(new.schema.field(2)).initial.as_deref(), Some("7"));
        assert!(new.arrow_schema().fields().iter().all(|field| field.metadata().is_empty()), "clients see no notes");
        assert!(new.arrow_schema().metadata().is_empty());
    }
    let entry = bucket.get_opt(&format!("tables/{}/log/{:020}.json", table.id(), 3)).await.unwrap().unwrap();
    assert!(String::from_utf8(entry.to_vec()).unwrap().starts_with(r#"{"format":3,"#), "older servers must refuse it");
}

#[tokio::test]
async fn the_second_of_two_changes_of_columns_is_told() {
    let catalog = catalog().await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    let outcomes = futures::future::join_all((0..4).map(|i| {
        let (table, column) = (table.clone(), format!("c{i}"));
        async move { table.commit(change(&[add(&column, true, None)], 1), &ada()).await }
    }));
    let (done, lost): (Vec<_>, Vec<_>) = outcomes.await.into_iter().partition(Result::is_ok);
    assert_eq!((done.len(), lost.len()), (1, 3));
    assert!(lost.into_iter().all(|outcome| outcome.unwrap_err().kind() == ErrorKind::Conflict));
    assert_eq!(table.snapshot(At::Latest).await.unwrap().schema.fields().len(), 3);
}

#[tokio::test]
async fn rows_written_while_columns_changed_join_if_they_fit() {
    let catalog = catalog().await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    alter(&table, &[add("c", false, Some("1")), add("d", true, None)]).await.unwrap();
    append(&table, written(1, 3)).await.unwrap();
    assert_eq!(alter(&table, &[not_null("b")]).await.unwrap_err().kind(), ErrorKind::Conflict, "there are nulls");
    let updated = Change { operation: Operation::Replace, ..Change::append(Vec::new()) };
    table.commit(updated, &ada()).await.unwrap();
    alter(&table, &[not_null("b")]).await.unwrap();
    append(&table, written(2, 0)).await.unwrap_err();
    let with_c = |schema_id| {
        let mut file = written(schema_id, 0);
        file.columns.insert(3, file.columns[&1].clone());
        file
    };
    append(&table, with_c(2)).await.unwrap();
    append(&table, written(1, 0)).await.unwrap();
    let conflict = append(&table, written(2, 1)).await.unwrap_err();
    assert_eq!(conflict.kind(), ErrorKind::Conflict, "{conflict}");
    append(&table, DataFile { columns: BTreeMap::new(), ..written(1, 0) }).await.unwrap_err();
    // A replacement of the columns ends it: its columns have nothing to do with the older ones.
    let replaced = table.plan_schema(&support::columns(&["a"])).await.unwrap();
    let replace = Change { operation: Operation::Replace, schema: Some(replaced), ..Change::append(Vec::new()) };
    table.commit(replace, &ada()).await.unwrap();
    alter(&table, &[add("e", true, None)]).await.unwrap();
    assert_eq!(append(&table, with_c(3)).await.unwrap_err().kind(), ErrorKind::Conflict);
    append(&table, written(4, 0)).await.unwrap();
}

#[tokio::test]
async fn numbers_that_would_not_fit_a_finer_unit_are_refused() {
    let catalog = catalog().await;
    let unit = |unit| DataType::Timestamp(unit, None);
    let seconds = Field::new("a", unit(arrow_schema::TimeUnit::Second), true);
    let schema = std::sync::Arc::new(arrow_schema::Schema::new(vec![seconds]));
    let new = skein_catalog::NewDataset { schema, ..new_dataset("t") };
    let table = catalog.create_dataset(new, &ada()).await.unwrap();
    let with_max = |max| {
        let mut file = written(1, 0);
        file.columns.get_mut(&1).unwrap().max = Some(StatValue::Int(max));
        file
    };
    append(&table, with_max(10_000_000_000)).await.unwrap();
    let to = |finer| Alteration::SetType { name: "a".to_owned(), data_type: unit(finer) };
    let refused = alter(&table, &[to(arrow_schema::TimeUnit::Nanosecond)]).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
    alter(&table, &[to(arrow_schema::TimeUnit::Microsecond)]).await.unwrap();
    let late = append(&table, with_max(3)).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::Conflict, "{late}");
}

#[tokio::test]
async fn keys_are_kept_by_id_and_raise_no_format() {
    let bucket = Bucket::in_memory("main");
    let catalog = server(&bucket, CatalogOptions { checkpoint_every: 1, ..CatalogOptions::default() }).await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    let primary =
        NewKey { name: "p".to_owned(), kind: KeyKind::Primary, columns: vec!["b".to_owned()], references: None };
    let version = alter(&table, &[Alteration::AddKey(primary)]).await.unwrap();
    let snapshot = table.snapshot(At::Latest).await.unwrap();
    assert!(!snapshot.schema.field(1).is_nullable());
    let keys = table_notes(&snapshot.schema).keys;
    assert_eq!((keys.len(), keys[0].columns.as_slice()), (1, [2].as_slice()));
    let entry = bucket.get_opt(&format!("tables/{}/log/{version:020}.json", table.id())).await.unwrap().unwrap();
    assert!(String::from_utf8(entry.to_vec()).unwrap().starts_with(r#"{"format":2,"#));
    let other = server(&bucket, CatalogOptions::default()).await;
    assert_eq!(table_notes(&dataset(&other, "t").await.snapshot(At::Latest).await.unwrap().schema).keys, keys);
}

#[tokio::test]
async fn a_renamed_table_keeps_its_rows_and_its_history() {
    let catalog = catalog().await;
    let table = catalog.create_dataset(new_dataset("a"), &ada()).await.unwrap();
    append(&table, written(1, 0)).await.unwrap();
    catalog.create_dataset(new_dataset("taken"), &ada()).await.unwrap();
    let (a, b) = (name("a"), name("b"));
    let taken = catalog.rename(&a, &name("taken"), &ada()).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists, "{taken}");
    assert_eq!(catalog.rename(&b, &a, &ada()).await.unwrap_err().kind(), ErrorKind::NotFound);
    catalog.rename(&a, &b, &ada()).await.unwrap();
    assert!(catalog.resolve_opt(&a).await.unwrap().is_none());
    let Entry::Dataset(renamed) = catalog.resolve(&b).await.unwrap() else { panic!("a dataset") };
    assert_eq!((renamed.id(), renamed.name()), (table.id(), &b));
    append(&renamed, written(1, 0)).await.unwrap();
    assert_eq!(renamed.snapshot(At::Latest).await.unwrap().rows, 20);
    // The old name is free, and dropping what has it now leaves the other alone.
    catalog.create_dataset(new_dataset("a"), &ada()).await.unwrap();
    catalog.drop(&a, None, &ada()).await.unwrap();
    append(&renamed, written(1, 0)).await.unwrap();
    let lost = futures::future::join_all(["c", "d"].map(|to| {
        let (catalog, b) = (catalog.clone(), b.clone());
        async move { catalog.rename(&b, &name(to), &ada()).await }
    }));
    assert_eq!(lost.await.iter().filter(|outcome| outcome.is_ok()).count(), 1);
}

fn rename(from: &str, to: &str) -> Alteration {
    Alteration::RenameColumn { from: from.to_owned(), to: to.to_owned() }
}

fn drop(column: &str) -> Alteration {
    Alteration::DropColumn { name: column.to_owned(), cascade: false }
}

fn replace(files: Vec<DataFile>) -> Change {
    Change { operation: Operation::Replace, ..Change::append(files) }
}

async fn columns(dataset: &Dataset) -> Vec<String> {
    let snapshot = dataset.snapshot(At::Latest).await.unwrap();
    snapshot.arrow_schema().fields().iter().map(|field| field.name().clone()).collect()
}

/// The schemas that the files of a dataset were written with.
async fn written_with(dataset: &Dataset) -> Vec<u32> {
    dataset.snapshot(At::Latest).await.unwrap().files.iter().map(|file| file.schema_id).collect()
}

/// A table with a file, as everybody sees it and as a transaction does.
async fn in_transaction(catalog: &Catalog, table: &str) -> (Dataset, Arc<Transaction>, Dataset) {
    let outside = catalog.create_dataset(new_dataset(table), &ada()).await.unwrap();
    append(&outside, written(1, 0)).await.unwrap();
    let transaction = catalog.begin(&ada());
    let inside = dataset(&transaction.catalog(), table).await;
    (outside, transaction, inside)
}

#[tokio::test]
async fn columns_change_in_a_transaction_together_with_rows() {
    let bucket = Bucket::in_memory("main");
    let catalog = server(&bucket, CatalogOptions::default()).await;
    let (outside, transaction, inside) = in_transaction(&catalog, "t").await;
    alter(&inside, &[add("c", true, Some("7"))]).await.unwrap();
    append(&inside, written(2, 0)).await.unwrap();
    alter(&inside, &[rename("a", "z")]).await.unwrap();
    append(&inside, written(3, 0)).await.unwrap();
    assert_eq!((columns(&inside).await, columns(&outside).await), (names(&["z", "b", "c"]), names(&["a", "b"])));
    // Rows that others add meanwhile join.
    append(&outside, written(1, 0)).await.unwrap();
    transaction.commit().await.unwrap();
    for catalog in [catalog, server(&bucket, CatalogOptions::default()).await] {
        let table = dataset(&catalog, "t").await;
        let snapshot = table.snapshot(At::Latest).await.unwrap();
        assert_eq!((columns(&table).await, written_with(&table).await), (names(&["z", "b", "c"]), vec![1, 1, 2, 3]));
        assert_eq!((snapshot.version, snapshot.schema_id, snapshot.rows), (4, 3, 40), "one version");
        let added = column_notes(snapshot.schema.field(2));
        assert_eq!((snapshot.info.operation, added.added, added.initial), (Operation::Append, 2, Some("7".to_owned())));
    }
    let entry = bucket.get_opt(&format!("tables/{}/log/{:020}.json", outside.id(), 4)).await.unwrap().unwrap();
    assert!(String::from_utf8(entry.to_vec()).unwrap().starts_with(r#"{"format":3,"#), "older servers must refuse it");
    // It goes on from there: with rows of any of these schemas, and with other columns.
    append(&outside, written(2, 0)).await.unwrap();
    alter(&outside, &[drop("c"), add("c", true, None)]).await.unwrap();
    let snapshot = outside.snapshot(At::Latest).await.unwrap();
    assert_eq!((snapshot.schema_id, field_id(snapshot.schema.field(2))), (4, Some(4)), "another column");
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn changes_of_columns_alone_are_one_of_several_tables() {
    let catalog = catalog().await;
    let (a, transaction, inside) = in_transaction(&catalog, "a").await;
    let b = catalog.create_dataset(new_dataset("b"), &ada()).await.unwrap();
    alter(&inside, &[add("c", true, None)]).await.unwrap();
    let mark = transaction.savepoint("mark").unwrap();
    alter(&inside, &[drop("c"), not_null("a")]).await.unwrap();
    transaction.rollback_to(mark, true).unwrap();
    alter(&inside, &[add("d", true, None)]).await.unwrap();
    append(&dataset(&transaction.catalog(), "b").await, written(1, 0)).await.unwrap();
    assert_eq!((columns(&a).await, b.snapshot(At::Latest).await.unwrap().rows), (names(&["a", "b"]), 0));
    transaction.commit().await.unwrap();
    let snapshot = a.snapshot(At::Latest).await.unwrap();
    assert_eq!((columns(&a).await, snapshot.info.operation), (names(&["a", "b", "c", "d"]), Operation::Alter));
    assert_eq!((snapshot.version, b.snapshot(At::Latest).await.unwrap().rows), (3, 10));

    let (a, transaction, inside) = in_transaction(&catalog, "rolled_back").await;
    alter(&inside, &[add("c", true, None)]).await.unwrap();
    append(&inside, written(2, 0)).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!((columns(&a).await, a.snapshot(At::Latest).await.unwrap().version), (names(&["a", "b"]), 2));
}

#[tokio::test]
async fn whoever_changes_columns_in_a_transaction_may_come_second() {
    let catalog = catalog().await;
    let others = || catalog.begin(&ada());
    for (table, step, theirs) in [
        ("columns", add("c", true, None), change(&[add("d", true, None)], 1)),
        ("nulls", not_null("b"), Change::append(vec![written(1, 1)])),
        ("no_value", add("c", false, None), Change::append(vec![written(1, 0)])),
        ("replaced", drop("b"), {
            let schema = assigned(&catalog, &support::columns(&["x"])).await;
            Change { schema: Some(schema), ..replace(Vec::new()) }
        }),
    ] {
        let outside = catalog.create_dataset(new_dataset(table), &ada()).await.unwrap();
        let other = catalog.create_dataset(new_dataset(&format!("{table}_2")), &ada()).await.unwrap();
        let transaction = others();
        let inside = dataset(&transaction.catalog(), table).await;
        alter(&inside, &[step]).await.unwrap();
        append(&dataset(&transaction.catalog(), other.name().table()).await, written(1, 0)).await.unwrap();
        outside.commit(theirs, &ada()).await.unwrap();
        let after = outside.snapshot(At::Latest).await.unwrap();
        let lost = transaction.commit().await.unwrap_err();
        assert_eq!(lost.kind(), ErrorKind::Conflict, "{table}: {lost}");
        // Nothing of it is there, and the next one gets on.
        assert_eq!(other.snapshot(At::Latest).await.unwrap().rows, 0, "{table}");
        alter(&outside, &[add("e", true, None)]).await.unwrap();
        let snapshot = outside.snapshot(At::Latest).await.unwrap();
        assert_eq!((snapshot.rows, snapshot.schema_id), (after.rows, after.schema_id + 1), "{table}");
    }
}

/// What `plan_schema` makes of columns for a table that has those of `new_dataset`.
async fn assigned(catalog: &Catalog, columns: &arrow_schema::SchemaRef) -> arrow_schema::SchemaRef {
    let like = catalog.create_dataset(new_dataset("like"), &ada()).await.unwrap();
    like.plan_schema(columns).await.unwrap()
}

/// Lists have no statistics, for one.
#[tokio::test]
async fn what_was_not_null_before_needs_no_proof_of_it() {
    let catalog = catalog().await;
    let table = catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    alter(&table, &[not_null("a")]).await.unwrap();
    let transaction = catalog.begin(&ada());
    alter(&dataset(&transaction.catalog(), "t").await, &[add("c", false, Some("1"))]).await.unwrap();
    append(&table, DataFile { columns: BTreeMap::new(), ..written(2, 0) }).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!((columns(&table).await, written_with(&table).await), (names(&["a", "b", "c"]), vec![2]));
}

#[tokio::test]
async fn rows_can_be_replaced_before_and_after_columns_change_in_a_transaction() {
    let catalog = catalog().await;
    let (before, transaction, inside) = in_transaction(&catalog, "before").await;
    inside.commit(replace(vec![written(1, 0)]), &ada()).await.unwrap();
    alter(&inside, &[add("c", true, Some("1")), add("d", true, None)]).await.unwrap();
    alter(&inside, &[rename("d", "e")]).await.unwrap();
    append(&inside, written(3, 0)).await.unwrap();
    transaction.commit().await.unwrap();
    let snapshot = before.snapshot(At::Latest).await.unwrap();
    assert_eq!((snapshot.version, snapshot.info.operation, snapshot.rows), (3, Operation::Replace, 20));
    assert_eq!((written_with(&before).await, columns(&before).await), (vec![1, 3], names(&["a", "b", "c", "e"])));
    assert_eq!(column_notes(snapshot.schema.field(2)).added, 2, "the first file does not have it");

    let (after, transaction, inside) = in_transaction(&catalog, "after").await;
    alter(&inside, &[add("c", true, Some("1"))]).await.unwrap();
    let schema = inside.plan_schema(&support::columns(&["c", "n"])).await.unwrap();
    inside.commit(Change { schema: Some(schema), ..replace(vec![written(0, 0)]) }, &ada()).await.unwrap();
    alter(&inside, &[add("m", true, None)]).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!((written_with(&after).await, columns(&after).await), (vec![3], names(&["c", "n", "m"])));
    append(&after, written(4, 0)).await.unwrap();
    assert_eq!(append(&after, written(1, 0)).await.unwrap_err().kind(), ErrorKind::Conflict);
}

#[tokio::test]
async fn tables_change_names_in_a_transaction() {
    let catalog = catalog().await;
    let (a, transaction, _) = in_transaction(&catalog, "a").await;
    let b = catalog.create_dataset(new_dataset("b"), &ada()).await.unwrap();
    let inside = transaction.catalog();
    for (from, to) in [("a", "tmp"), ("b", "a"), ("tmp", "b")] {
        inside.rename(&name(from), &name(to), &ada()).await.unwrap();
    }
    let mark = transaction.savepoint("mark").unwrap();
    inside.rename(&name("b"), &name("c"), &ada()).await.unwrap();
    transaction.rollback_to(mark, true).unwrap();
    append(&dataset(&inside, "a").await, written(1, 0)).await.unwrap();
    assert_eq!(dataset(&catalog, "a").await.id(), a.id());
    transaction.commit().await.unwrap();
    let ids = [dataset(&catalog, "a").await.id(), dataset(&catalog, "b").await.id()];
    assert_eq!(ids, [b.id(), a.id()], "they have changed places");
    assert_eq!(b.snapshot(At::Latest).await.unwrap().rows, 10);
    for gone in ["tmp", "c"] {
        assert!(catalog.resolve_opt(&name(gone)).await.unwrap().is_none());
    }
    append(&a, written(1, 0)).await.unwrap();

    // One that the transaction has made, one in the place of another, and one whose new name somebody else takes.
    let transaction = catalog.begin(&ada());
    let inside = transaction.catalog();
    inside.create_dataset(new_dataset("made"), &ada()).await.unwrap();
    inside.rename(&name("made"), &name("better"), &ada()).await.unwrap();
    inside.drop(&name("b"), None, &ada()).await.unwrap();
    inside.rename(&name("a"), &name("b"), &ada()).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(dataset(&catalog, "better").await.snapshot(At::Latest).await.unwrap().rows, 0);
    assert_eq!(dataset(&catalog, "b").await.id(), b.id());
    assert_eq!(append(&a, written(1, 0)).await.unwrap_err().kind(), ErrorKind::NotFound, "it was dropped");
    let transaction = catalog.begin(&ada());
    transaction.catalog().rename(&name("b"), &name("d"), &ada()).await.unwrap();
    catalog.create_dataset(new_dataset("d"), &ada()).await.unwrap();
    assert_eq!(transaction.commit().await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(dataset(&catalog, "b").await.id(), b.id());
}
