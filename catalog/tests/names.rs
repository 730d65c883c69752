//! Names: claiming, resolving, dropping; schemas; views and external tables.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod support;

use std::collections::BTreeMap;

use skein_catalog::{At, Catalog, CatalogOptions, Change, Entry, EntryKind, ExternalSpec, NewDataset, ViewSpec};
use skein_model::{ErrorKind, Kind, TableName};
use skein_storage::{Bucket, Buckets};
use support::{ada, catalog, columns, dataset, faulty, file, name, new_dataset, server};

fn view(sql: &str) -> ViewSpec {
    ViewSpec {
        sql: sql.into(),
        default_schema: "public".into(),
        created_by: "ada".into(),
        created_at: chrono::Utc::now(),
        schema: None,
    }
}

fn external() -> ExternalSpec {
    ExternalSpec {
        location: "file:///data/".into(),
        format: "csv".into(),
        schema: None,
        partition_columns: vec![],
        options: BTreeMap::new(),
        created_by: "ada".into(),
        created_at: chrono::Utc::now(),
    }
}

async fn listed(catalog: &Catalog) -> Vec<(String, EntryKind)> {
    catalog.entries().await.unwrap().into_iter().map(|(n, e)| (n.to_string(), e.kind())).collect()
}

#[tokio::test]
async fn names_stand_for_tables_views_and_external_tables() {
    let catalog = catalog().await;
    catalog.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    catalog.create_view(&name("v"), view("select 1"), false, &ada()).await.unwrap();
    catalog.create_external(&name("e"), external(), &ada()).await.unwrap();
    let expected = [
        ("public.e".to_owned(), EntryKind::External),
        ("public.t".to_owned(), EntryKind::Dataset),
        ("public.v".to_owned(), EntryKind::View),
    ];
    assert_eq!(listed(&catalog).await, expected);
    assert!(matches!(catalog.resolve(&name("v")).await.unwrap(), Entry::View(v) if v.sql == "select 1"));
    assert!(matches!(catalog.resolve(&name("e")).await.unwrap(), Entry::External(e) if e.format == "csv"));
}

#[tokio::test]
async fn odd_names_work_and_cannot_escape() {
    let catalog = catalog().await;
    for table in ["..", "../../etc/passwd", "a/b", "a\"b'c", "🪿", "T", "t", &"x".repeat(255)] {
        catalog.create_dataset(new_dataset(table), &ada()).await.unwrap();
        assert_eq!(dataset(&catalog, table).await.name().table(), table);
    }
    assert_eq!(catalog.entries().await.unwrap().len(), 8);
    let reserved = NewDataset { name: TableName::new("system", "x").unwrap(), ..new_dataset("x") };
    assert_eq!(catalog.create_dataset(reserved, &ada()).await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let (bucket, _) = faulty();
    let (one, two) =
        (server(&bucket, CatalogOptions::default()).await, server(&bucket, CatalogOptions::default()).await);
    let ada = ada();
    let create = async |catalog: &Catalog| catalog.create_dataset(new_dataset("t"), &ada).await;
    let (a, b) = tokio::join!(create(&one), create(&two));
    let (winner, loser) = if a.is_ok() { (a, b) } else { (b, a) };
    let winner = winner.unwrap();
    let error = loser.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(error.to_string(), "table 'public.t' exists already");
    assert_eq!(dataset(&one, "t").await.id(), winner.id());
    assert_eq!(dataset(&two, "t").await.id(), winner.id());
    assert_eq!(bucket.list("tables").await.unwrap().len(), 1, "the loser's dataset is gone");
    for kind in ["view", "external"] {
        let error = match kind {
            "view" => one.create_view(&name("t"), view("x"), true, &ada).await,
            _ => one.create_external(&name("t"), external(), &ada).await,
        };
        assert_eq!(error.unwrap_err().kind(), ErrorKind::AlreadyExists, "{kind}");
    }
}

#[tokio::test]
async fn a_view_can_be_replaced_by_a_view() {
    let catalog = catalog().await;
    catalog.create_view(&name("v"), view("select 1"), false, &ada()).await.unwrap();
    assert!(catalog.create_view(&name("v"), view("select 2"), false, &ada()).await.is_err());
    catalog.create_view(&name("v"), view("select 2"), true, &ada()).await.unwrap();
    assert!(matches!(catalog.resolve(&name("v")).await.unwrap(), Entry::View(v) if v.sql == "select 2"));
}

#[tokio::test]
async fn what_is_missing_is_met_with_a_suggestion() {
    let catalog = catalog().await;
    catalog.create_dataset(new_dataset("flights"), &ada()).await.unwrap();
    assert!(catalog.resolve_opt(&name("fligths")).await.unwrap().is_none());
    let error = catalog.resolve(&name("fligths")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.to_string(), "table 'public.fligths' does not exist; did you mean 'public.flights'?");
}

#[tokio::test]
async fn a_dropped_table_is_gone_and_its_handles_cannot_write() {
    let (bucket, _) = faulty();
    let (one, two) =
        (server(&bucket, CatalogOptions::default()).await, server(&bucket, CatalogOptions::default()).await);
    let table = one.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    table.commit(Change::append(vec![file(1)]), &ada()).await.unwrap();
    let theirs = dataset(&two, "t").await;
    let pinned = theirs.snapshot(At::Version(2)).await.unwrap();
    one.drop(&name("t"), Some(EntryKind::Dataset), &ada()).await.unwrap();
    assert!(two.resolve_opt(&name("t")).await.unwrap().is_none());
    assert!(listed(&two).await.is_empty());
    let error = theirs.commit(Change::append(vec![file(1)]), &ada()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("dropped by ada"), "{error}");
    assert_eq!(theirs.snapshot(At::Latest).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(pinned.rows, 1, "a running query keeps what it has");
    assert_eq!(one.drop(&name("t"), None, &ada()).await.unwrap_err().kind(), ErrorKind::NotFound);

    let again = two.create_dataset(new_dataset("t"), &ada()).await.unwrap();
    assert_ne!(again.id(), table.id());
    assert_eq!(dataset(&one, "t").await.snapshot(At::Latest).await.unwrap().rows, 0);
}

#[tokio::test]
async fn dropping_the_wrong_kind_says_what_to_use() {
    let catalog = catalog().await;
    catalog.create_view(&name("v"), view("select 1"), false, &ada()).await.unwrap();
    catalog.create_external(&name("e"), external(), &ada()).await.unwrap();
    let error = catalog.drop(&name("v"), Some(EntryKind::Dataset), &ada()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "'public.v' is a view; use DROP VIEW");
    let error = catalog.drop(&name("e"), Some(EntryKind::View), &ada()).await.unwrap_err();
    assert_eq!(error.to_string(), "'public.e' is an external table; use DROP TABLE");
    catalog.drop(&name("e"), Some(EntryKind::Dataset), &ada()).await.unwrap();
    catalog.drop(&name("v"), Some(EntryKind::View), &ada()).await.unwrap();
    assert!(listed(&catalog).await.is_empty());
}

#[tokio::test]
async fn a_staged_dataset_is_seen_when_it_is_published_with_its_rows() {
    let catalog = catalog().await;
    let staged = catalog.stage_dataset(new_dataset("t"), &ada()).await.unwrap();
    staged.commit(Change::append(vec![file(7)]), &ada()).await.unwrap();
    assert!(catalog.resolve_opt(&name("t")).await.unwrap().is_none());
    catalog.publish_dataset(&staged, false, &ada()).await.unwrap();
    assert_eq!(dataset(&catalog, "t").await.snapshot(At::Latest).await.unwrap().rows, 7);
    assert_eq!(catalog.discard_dataset(&staged).await.unwrap_err().kind(), ErrorKind::InvalidInput);

    let second = catalog.stage_dataset(new_dataset("t"), &ada()).await.unwrap();
    let error = catalog.publish_dataset(&second, false, &ada()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    catalog.publish_dataset(&second, true, &ada()).await.unwrap();
    assert_eq!(dataset(&catalog, "t").await.id(), second.id());
    let error = staged.commit(Change::append(vec![file(1)]), &ada()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "the one that was replaced is dropped");
}

#[tokio::test]
async fn a_staged_dataset_can_be_discarded() {
    let (bucket, _) = faulty();
    let catalog = server(&bucket, CatalogOptions::default()).await;
    let staged = catalog.stage_dataset(new_dataset("t"), &ada()).await.unwrap();
    staged.commit(Change::append(vec![file(7)]), &ada()).await.unwrap();
    catalog.discard_dataset(&staged).await.unwrap();
    assert!(bucket.list("tables").await.unwrap().is_empty());
}

#[tokio::test]
async fn schemas_are_created_filled_and_dropped() {
    let catalog = catalog().await;
    let inside = |table| TableName::new("sales", table).unwrap();
    let new = || NewDataset { name: inside("t"), ..new_dataset("t") };
    let error = catalog.create_dataset(new(), &ada()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("schema 'sales' does not exist"), "{error}");
    catalog.create_schema("sales", &ada()).await.unwrap();
    for taken in ["sales", "public"] {
        assert_eq!(catalog.create_schema(taken, &ada()).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    }
    for bad in ["", "system", "a\0b"] {
        assert_eq!(catalog.create_schema(bad, &ada()).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    catalog.create_dataset(new(), &ada()).await.unwrap();
    catalog.create_view(&inside("v"), view("select 1"), false, &ada()).await.unwrap();
    assert_eq!(catalog.schemas().await.unwrap(), ["public", "sales"]);
    let error = catalog.drop_schema("sales", false, &ada()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("sales.t' and 1 more"), "{error}");
    catalog.drop_schema("sales", true, &ada()).await.unwrap();
    assert!(listed(&catalog).await.is_empty());
    assert_eq!(catalog.schemas().await.unwrap(), ["public"]);
    assert_eq!(catalog.drop_schema("sales", true, &ada()).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(catalog.drop_schema("public", true, &ada()).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    catalog.create_schema("sales", &ada()).await.unwrap();
}

#[tokio::test]
async fn columns_that_cannot_be_are_refused_before_anything_is_written() {
    let (bucket, _) = faulty();
    let catalog = server(&bucket, CatalogOptions::default()).await;
    for names in [&[][..], &["a", "a"], &[""]] {
        let new = NewDataset { schema: columns(names), ..new_dataset("t") };
        assert_eq!(catalog.create_dataset(new, &ada()).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    assert!(bucket.list("tables").await.unwrap().is_empty());
    assert!(listed(&catalog).await.is_empty());
}

#[tokio::test]
async fn datasets_can_live_in_another_bucket() {
    let buckets = Buckets::new(vec![Bucket::in_memory("main"), Bucket::in_memory("cold")]).unwrap();
    let catalog = Catalog::open(buckets.clone(), CatalogOptions::default()).await.unwrap();
    let new = NewDataset { bucket: Some("cold".into()), ..new_dataset("t") };
    let table = catalog.create_dataset(new, &ada()).await.unwrap();
    table.commit(Change::append(vec![file(1)]), &ada()).await.unwrap();
    assert_eq!(dataset(&catalog, "t").await.bucket().name(), "cold");
    assert!(buckets.get("main").unwrap().list("tables").await.unwrap().is_empty());
    let unknown = NewDataset { bucket: Some("nowhere".into()), ..new_dataset("u") };
    let error = catalog.create_dataset(unknown, &ada()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("main, cold"), "{error}");
}
