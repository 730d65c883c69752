//! What a bucket makes of a store that fails.

use std::sync::Arc;

use bytes::Bytes;
use object_store::{ObjectStoreExt as _, memory::InMemory, path::Path};
use rstest::rstest;
use skein_model::{ErrorKind, Kind};
use skein_storage::{
    Bucket, Error, PutNew,
    fault::{Fault, FaultStore, Op},
};

fn faulty() -> (Bucket, Arc<FaultStore>) {
    let store = FaultStore::new(Arc::new(InMemory::new()));
    (Bucket::from_store("shaky", Arc::clone(&store) as _), store)
}

#[rstest]
#[case::lost_answer(Fault::LostAnswer)]
#[case::unavailable(Fault::Unavailable)]
#[case::s3s_retryable_409(Fault::Conflict)]
#[tokio::test]
async fn a_create_that_meets_one_fault_is_still_ours(#[case] fault: Fault) {
    let (bucket, store) = faulty();
    store.schedule(Op::Create, [Some(fault)]);
    assert_eq!(bucket.put_new("k", "mine".into()).await.unwrap(), PutNew::Created);
    assert_eq!(bucket.get("k").await.unwrap(), "mine");
}

#[rstest]
#[case::lost_answer(Fault::LostAnswer)]
#[case::unavailable(Fault::Unavailable)]
#[case::s3s_retryable_409(Fault::Conflict)]
#[tokio::test]
async fn a_create_that_meets_a_fault_never_overwrites(#[case] fault: Fault) {
    let (bucket, store) = faulty();
    bucket.put_new("k", "theirs".into()).await.unwrap();
    store.schedule(Op::Create, [Some(fault)]);
    assert_eq!(bucket.put_new("k", "mine".into()).await.unwrap(), PutNew::Exists);
    assert_eq!(bucket.get("k").await.unwrap(), "theirs");
}

#[tokio::test]
async fn a_lost_answer_is_recognised_even_when_reading_back_fails_at_first() {
    let (bucket, store) = faulty();
    store.schedule(Op::Create, [Some(Fault::LostAnswer)]);
    store.schedule(Op::Get, [Some(Fault::Unavailable); 10]);
    assert_eq!(bucket.put_new("k", "mine".into()).await.unwrap(), PutNew::Created);
}

#[tokio::test]
async fn a_create_that_never_gets_an_answer_says_that_nothing_is_known() {
    let (bucket, store) = faulty();
    store.always(Op::Create, Fault::Unavailable);
    let error = bucket.put_new("k", "mine".into()).await.unwrap_err();
    assert!(matches!(error, Error::Ambiguous { .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_full_disk_is_reported_at_once_and_as_such() {
    let (bucket, store) = faulty();
    store.always(Op::Create, Fault::OutOfSpace);
    let error = bucket.put_new("k", "mine".into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    assert!(matches!(error, Error::Store { .. }), "it is certain that nothing was written: {error}");
    assert_eq!(store.take_calls().iter().filter(|c| c.op == Op::Create).count(), 1);
    let record = &bucket.errors()[0];
    assert_eq!((record.operation.as_str(), record.key.as_str(), record.retried), ("put", "k", false));
}

#[tokio::test]
async fn a_refusal_after_an_attempt_without_answer_is_no_proof_that_nothing_was_written() {
    for refusal in [Fault::OutOfSpace, Fault::Denied] {
        let (bucket, store) = faulty();
        store.schedule(Op::Create, [Fault::Unavailable].into_iter().chain([refusal; 20]).map(Some));
        let error = bucket.put_new("k", "mine".into()).await.unwrap_err();
        assert!(matches!(error, Error::Ambiguous { .. }), "the first may still be on its way: {error}");
    }
}

#[tokio::test]
async fn reads_are_repeated_and_the_failures_remembered() {
    let (bucket, store) = faulty();
    bucket.put_new("k", "value".into()).await.unwrap();
    store.schedule(Op::Get, [Some(Fault::Unavailable), Some(Fault::Unavailable), Some(Fault::ShortRead)]);
    assert_eq!(bucket.get("k").await.unwrap(), "value");
    assert_eq!(bucket.errors().len(), 2);
    assert!(bucket.errors().iter().all(|e| e.retried && e.kind == ErrorKind::Unavailable));
}

#[tokio::test]
async fn a_read_that_stays_short_is_an_error_never_data() {
    let (bucket, store) = faulty();
    bucket.put_new("k", Bytes::from_static(b"0123456789")).await.unwrap();
    store.always(Op::Get, Fault::ShortRead);
    let error = bucket.get("k").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let (store, key) = (bucket.store(), Path::from("k"));
    assert!(store.get_range(&key, 0..10).await.is_err());
    assert!(store.get_ranges(&key, &[0..5, 5..10]).await.is_err());
}

#[tokio::test]
async fn an_unreachable_bucket_is_unavailable() {
    let (bucket, store) = faulty();
    for op in [Op::Get, Op::List, Op::Create, Op::Delete] {
        store.always(op, Fault::Unavailable);
    }
    assert_eq!(bucket.get("k").await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(bucket.list("k").await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(bucket.delete("k").await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(!bucket.probe().await.unwrap().conditional_create);
    let error = bucket.put_new("k", "v".into()).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Unavailable && error.to_string().contains("takes no writes for now"), "{error}");
    assert_eq!(bucket.errors().iter().filter(|e| e.operation == "list").count(), 4, "each attempt is recorded once");
    store.heal();
    assert!(bucket.probe().await.unwrap().conditional_create);
    assert_eq!(bucket.put_new("k", "v".into()).await.unwrap(), PutNew::Created);
}

#[tokio::test]
async fn a_bucket_that_was_out_of_reach_is_opened_when_it_is_back() {
    let (bucket, store) = faulty();
    store.always(Op::Create, Fault::Unavailable);
    bucket.probe().await.unwrap();
    assert!(bucket.writable().is_err());
    store.heal();
    for _ in 0..100 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        if bucket.writable().is_ok() {
            return;
        }
    }
    panic!("it was not probed again");
}

#[tokio::test]
async fn an_answer_to_the_second_attempt_says_nothing_about_the_first() {
    let (bucket, store) = faulty();
    store.schedule(Op::Create, [Some(Fault::Unavailable), Some(Fault::OutOfSpace)]);
    // The first put may be on its way still: that the second one was turned away is no proof that nothing is there.
    assert_eq!(bucket.put_new("k", "mine".into()).await.unwrap(), PutNew::Created);
    store.schedule(Op::Create, [Some(Fault::Unavailable)]);
    store.always(Op::Create, Fault::OutOfSpace);
    let error = bucket.put_new("k2", "mine".into()).await.unwrap_err();
    assert!(matches!(error, Error::Ambiguous { .. }), "{error}");
}

#[tokio::test]
async fn who_uses_the_store_directly_is_told_which_bucket_failed() {
    let (bucket, faults) = faulty();
    faults.always(Op::Get, Fault::Unavailable);
    faults.always(Op::List, Fault::Unavailable);
    faults.always(Op::Put, Fault::OutOfSpace);
    let (store, key) = (bucket.store(), Path::from("k"));
    let listed: Result<Vec<_>, _> = futures::TryStreamExt::try_collect(store.list(None)).await;
    let written = store.put(&key, "v".into()).await.map(drop).unwrap_err();
    assert_eq!(skein_storage::store_error_kind(&written), ErrorKind::ResourceExhausted);
    for error in [store.get(&key).await.map(drop).unwrap_err(), store.head(&key).await.map(drop).unwrap_err(), written]
    {
        assert!(error.to_string().contains("'k' in bucket 'shaky' failed"), "{error}");
    }
    assert!(listed.unwrap_err().to_string().contains("in bucket 'shaky' failed"));
}

#[tokio::test]
async fn below_a_prefix_an_object_is_known_by_the_key_it_was_asked_for() {
    let store = object_store::prefix::PrefixStore::new(InMemory::new(), "some/prefix");
    let bucket = Bucket::from_store("lake", Arc::new(store));
    bucket.put_new("a/b", "x".into()).await.unwrap();
    let key = Path::from("a/b");
    assert_eq!(bucket.store().head(&key).await.unwrap().location, key);
    assert_eq!(bucket.store().get(&key).await.unwrap().meta.location, key);
}

#[tokio::test]
async fn a_bucket_where_every_creator_wins_refuses_writes() {
    let (bucket, store) = faulty();
    store.always(Op::Create, Fault::EveryCreatorWins);
    bucket.probe().await.unwrap();
    let error = bucket.put_new("k", "v".into()).await.unwrap_err();
    assert!(error.to_string().contains("loses acknowledged writes"), "{error}");
}
