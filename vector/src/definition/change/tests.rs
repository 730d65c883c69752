//! Indexes over buckets that two servers share.

use std::sync::Arc;

use object_store::memory::InMemory;
use skein_catalog::{Catalog, CatalogOptions};
use skein_model::{DatasetId, ErrorKind, Kind, TableName};
use skein_storage::{
    Bucket, Buckets,
    fault::{Fault, FaultStore, Op},
};

use super::{
    super::{ColumnRef, GenerationState, NewIndex, PromotionKind},
    *,
};
use crate::{IndexKind, IndexSpec, Metric};

async fn open(bucket: &Bucket) -> Definitions {
    let buckets = Buckets::new(vec![bucket.clone()]).unwrap();
    Definitions::new(&Catalog::open(buckets, CatalogOptions::default()).await.unwrap())
}

fn new(name: &str) -> NewIndex {
    NewIndex {
        name: TableName::in_default_schema(name).unwrap(),
        dataset: DatasetId::generate(),
        bucket: "main".to_owned(),
        column: ColumnRef { name: "embedding".to_owned(), field_id: 2 },
        spec: IndexSpec::new(IndexKind::Hnsw, Metric::L2),
        model: None,
        text: None,
    }
}

fn ready(dataset_version: u64) -> GenerationEntry {
    let state = GenerationState::Ready;
    GenerationEntry {
        id: GenerationId::generate(),
        dataset_version,
        state,
        created_at: Utc::now(),
        spec: None,
        search: SearchDefaults::default(),
    }
}

fn ada() -> Actor {
    Actor::new("ada")
}

#[tokio::test]
async fn an_index_is_created_built_promoted_rolled_back_and_dropped() {
    let bucket = Bucket::in_memory("main");
    let (one, two) = (open(&bucket).await, open(&bucket).await);
    let index = one.create(new("docs"), &ada()).await.unwrap();
    let [old, newer] = [ready(3), ready(9)];
    for entry in [&old, &newer] {
        two.add_generation(&index, entry.clone()).await.unwrap();
        one.promote(&index, entry.id, &Actor { reason: Some("better".into()), ..ada() }).await.unwrap();
    }
    let back = two.rollback(&index, &Actor::new("grace")).await.unwrap();
    assert_eq!(one.get(&index.name).await.unwrap(), back);
    assert_eq!(back.live, Some(old.id));
    let last = back.promotions.last().unwrap();
    assert_eq!((last.kind, last.by.as_str(), back.promotions.len()), (PromotionKind::Rollback, "grace", 3));
    one.remove_generation(&index, newer.id).await.unwrap();
    let dropped = two.drop(&index, &ada()).await.unwrap();
    let kept: Vec<_> = dropped.generations.iter().map(|entry| entry.id).collect();
    assert_eq!(kept, [old.id]);
    assert_eq!(one.get_opt(&index.name).await.unwrap(), None);
    assert_eq!(one.drop(&index, &ada()).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn one_of_two_creators_gets_the_name() {
    let store = FaultStore::new(Arc::new(InMemory::new()));
    let bucket = Bucket::from_store("main", store);
    let (one, two) = (open(&bucket).await, open(&bucket).await);
    let actor = ada();
    let (a, b) = tokio::join!(one.create(new("docs"), &actor), two.create(new("docs"), &actor));
    let lost = if a.is_ok() { b } else { a }.unwrap_err();
    assert_eq!(lost.kind(), ErrorKind::AlreadyExists, "{lost}");
    assert_eq!(one.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_unknown_name_gets_a_suggestion_and_datasets_know_their_indexes() {
    let indexes = open(&Bucket::in_memory("main")).await;
    let docs = indexes.create(new("documents"), &ada()).await.unwrap();
    indexes.create(new("abc"), &ada()).await.unwrap();
    let unknown = indexes.get(&TableName::in_default_schema("docuemnts").unwrap()).await.unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
    assert!(unknown.to_string().ends_with("does not exist; did you mean 'public.documents'?"), "{unknown}");
    assert_eq!(indexes.list_of(docs.dataset).await.unwrap(), [docs]);
    let names: Vec<_> = indexes.list().await.unwrap().into_iter().map(|index| index.name.table().to_owned()).collect();
    assert_eq!(names, ["abc", "documents"]);
}

#[tokio::test]
async fn a_build_of_a_dropped_index_does_not_end_up_in_its_namesake() {
    let indexes = open(&Bucket::in_memory("main")).await;
    let old = indexes.create(new("docs"), &ada()).await.unwrap();
    indexes.drop(&old, &ada()).await.unwrap();
    let namesake = indexes.create(new("docs"), &ada()).await.unwrap();
    let late = indexes.add_generation(&old, ready(1)).await.unwrap_err();
    assert_eq!(late.kind(), ErrorKind::NotFound);
    assert!(late.to_string().contains("dropped meanwhile"), "{late}");
    assert_eq!(indexes.drop(&old, &ada()).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(indexes.get(&namesake.name).await.unwrap(), namesake);
}

#[tokio::test]
async fn changes_of_many_at_once_all_happen() {
    let store = FaultStore::new(Arc::new(InMemory::new()));
    let bucket = Bucket::from_store("main", store);
    let (one, two) = (open(&bucket).await, open(&bucket).await);
    let index = one.create(new("docs"), &ada()).await.unwrap();
    let adds = (0..8).map(|i| if i % 2 == 0 { &one } else { &two }.add_generation(&index, ready(i)));
    for added in futures::future::join_all(adds).await {
        added.unwrap();
    }
    assert_eq!(two.get(&index.name).await.unwrap().generations.len(), 8);
}

#[tokio::test]
async fn a_lost_answer_is_not_a_lost_change() {
    let store = FaultStore::new(Arc::new(InMemory::new()));
    let indexes = open(&Bucket::from_store("main", Arc::clone(&store) as _)).await;
    store.schedule(Op::Create, [Some(Fault::LostAnswer)]);
    let index = indexes.create(new("docs"), &ada()).await.unwrap();
    store.schedule(Op::Create, [Some(Fault::WonUnheard)]);
    let entry = ready(1);
    indexes.add_generation(&index, entry.clone()).await.unwrap();
    store.schedule(Op::Create, [Some(Fault::LostAnswer)]);
    let promoted = indexes.promote(&index, entry.id, &ada()).await.unwrap();
    assert_eq!((promoted.promotions.len(), promoted.generations.len()), (1, 1));
    store.schedule(Op::Create, [Some(Fault::LostAnswer)]);
    indexes.drop(&index, &ada()).await.unwrap();
    store.always(Op::Create, Fault::Unavailable);
    let down = indexes.create(new("docs"), &ada()).await.unwrap_err();
    assert_eq!(down.kind(), ErrorKind::Unavailable, "{down}");
}
