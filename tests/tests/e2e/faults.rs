//! Storage that fails while a client waits.

use std::sync::Arc;

use skein_storage::{
    Bucket, Buckets,
    fault::{Fault, FaultStore, Op},
};
use tonic::Code;

use crate::support::{TestServer, numbers};

async fn server() -> (TestServer, Arc<FaultStore>) {
    let store = FaultStore::new(Bucket::in_memory("inner").store());
    let bucket = Bucket::from_store("faulty", store.clone());
    (TestServer::over(Buckets::new(vec![bucket]).unwrap()).await, store)
}

#[tokio::test]
async fn a_full_disk_is_named_and_nothing_is_visible() {
    let (server, store) = server().await;
    let mut client = server.client().await;
    client.upload(&["before"], &[numbers(5)]).await.unwrap();
    for op in [Op::Put, Op::Create, Op::Part] {
        store.always(op, Fault::OutOfSpace);
    }
    let status = client.upload(&["t"], &[numbers(100)]).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("space"), "{}", status.message());
    assert_eq!(client.rows("select sum(n) from before").await.unwrap(), "10", "reading goes on");
    assert_eq!(client.rows("select count(*) from t").await.unwrap_err().code(), Code::NotFound);
    store.heal();
    client.upload(&["t"], &[numbers(100)]).await.unwrap();
    assert_eq!(client.rows("select count(*) from t").await.unwrap(), "100");
}

#[tokio::test]
async fn a_bucket_out_of_reach_is_unavailable_and_comes_back() {
    let (server, store) = server().await;
    let mut client = server.client().await;
    client.upload(&["t"], &[numbers(5)]).await.unwrap();
    for op in [Op::Get, Op::Put, Op::Create, Op::Part, Op::Complete, Op::List] {
        store.always(op, Fault::Unavailable);
    }
    let status = client.upload(&["t"], &[numbers(5)]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.message().contains("faulty"), "the bucket is named: {}", status.message());
    let status = client.rows("select sum(n) from t").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    store.heal();
    assert_eq!(client.rows("select sum(n) from t").await.unwrap(), "10");
    client.check_alive().await;
}

#[tokio::test]
async fn a_lost_answer_is_not_a_lost_or_doubled_commit() {
    let (server, store) = server().await;
    let mut client = server.client().await;
    client.upload(&["t"], &[numbers(5)]).await.unwrap();
    store.schedule(Op::Create, [Some(Fault::LostAnswer)]);
    client.upload(&["t"], &[numbers(5)]).await.unwrap();
    assert_eq!(client.rows("select count(*) from t").await.unwrap(), "10");
}
