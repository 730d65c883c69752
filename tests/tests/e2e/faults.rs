//! Storage that fails while a client waits.

use std::sync::Arc;

use skein_storage::{
    Bucket, Buckets,
    fault::{Fault, FaultStore, Op},
};
use tonic::Code;

use crate::{
    crowd::until,
    support::{Client, TestServer, numbers},
};

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

/// Makes a table of many small files, each of which a scan has to fetch.
async fn in_many_files(client: &mut Client, table: &str) {
    client.update(&format!("create table {table} (a bigint)")).await.unwrap();
    for file in 0..MANY {
        let sql = format!("insert into {table} select v from generate_series({file}000, {file}999) as g(v)");
        client.update(&sql).await.unwrap();
    }
}

const MANY: usize = 40;

#[tokio::test]
async fn a_reader_that_leaves_ends_the_reading() {
    let (server, store) = server().await;
    let mut client = server.client().await;
    for table in ["t", "u"] {
        in_many_files(&mut client, table).await;
    }
    let sum = |table: &str| format!("select a % 10 as digit, sum(a) from {table} group by digit");
    let mut tickets = Vec::new();
    for table in ["t", "u"] {
        tickets.push(client.plan(&sum(table)).await.unwrap().endpoint[0].ticket.clone().unwrap());
    }
    let (of_u, of_t) = (tickets.pop().unwrap(), tickets.pop().unwrap());
    store.take_calls();
    store.hold(Some(Op::Get));
    let mut leaving = server.client().await;
    let reading = tokio::spawn(async move { leaving.read(of_t).await });
    store.asked_for(Op::Get).await;
    reading.abort();
    // Its work ends although the bucket has not answered.
    let state = server.running.state();
    until("its work ends", async || state.in_flight.count() == 0 && state.engine.memory_reserved() == 0).await;
    let before = reads(&store);
    assert!((1..MANY / 2).contains(&before.len()), "{before:?}");
    let folder = before[0].split("/data/").next().unwrap().to_owned();
    store.hold(None);
    // By the time that another statement has read as much, it would have gone on.
    assert_eq!(client.read(of_u).await.unwrap().iter().map(|batch| batch.num_rows()).sum::<usize>(), 10);
    let (after_it_left, others): (Vec<_>, Vec<_>) = reads(&store).into_iter().partition(|key| key.starts_with(&folder));
    assert_eq!(after_it_left, Vec::<String>::new());
    assert!(others.len() >= MANY, "{others:?}");
}

/// The data files that were read since this was last asked.
fn reads(store: &FaultStore) -> Vec<String> {
    let calls = store.take_calls().into_iter();
    calls.filter(|call| call.op == Op::Get && call.key.contains("/data/")).map(|call| call.key).collect()
}
