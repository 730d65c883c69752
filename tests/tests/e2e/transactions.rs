//! Transactions, by the Rust client.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use futures::stream;
use skein_client::{Client, Code, ConnectOptions, IngestMode, IngestTarget, Params};

use crate::support::TestServer;

async fn connect(server: &TestServer) -> Client {
    Client::connect(ConnectOptions::new(format!("grpc://{}", server.address()))).await.unwrap()
}

async fn number(client: &Client, sql: &str) -> i64 {
    let batches = client.query(sql).await.unwrap().collect().await.unwrap();
    let column = batches.iter().find(|batch| batch.num_rows() > 0).unwrap().column(0).clone();
    column.as_any().downcast_ref::<Int64Array>().unwrap().value(0)
}

fn rows(values: &[i64]) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    RecordBatch::try_from_iter_with_nullable([("n", column, true)]).unwrap()
}

const ALL: &str = "select (select count(*) from a) * 100 + (select count(*) from b) as n";

#[tokio::test]
async fn everything_in_it_is_committed_together() {
    let server = TestServer::start().await;
    let (client, other) = (connect(&server).await, connect(&server).await);
    for table in ["a", "b"] {
        client.update(format!("create table {table} (n bigint)")).await.unwrap();
    }
    let transaction = client.begin().await.unwrap();
    assert_eq!(transaction.update("insert into a values (1), (2)").await.unwrap(), 2);
    let insert = transaction.prepare("insert into b values ($1)").await.unwrap();
    assert_eq!(insert.update(Params::row([7_i64])).await.unwrap(), 1);
    let target = IngestTarget::table("made").with_mode(IngestMode::Create);
    let batch = rows(&[1, 2, 3]);
    let source = stream::iter([Ok::<_, std::io::Error>(batch.clone())]);
    assert_eq!(transaction.ingest_batches(&target, batch.schema(), source, |_| ()).await.unwrap(), 3);
    assert_eq!(number(&transaction, ALL).await, 201);
    assert_eq!(number(&transaction, "select count(*) from made").await, 3);
    for outside in [&client, &other] {
        assert_eq!(number(outside, ALL).await, 0);
        let missing = outside.query("select * from made").await.unwrap_err();
        assert_eq!(missing.code(), Some(Code::NotFound));
    }
    transaction.commit().await.unwrap();
    for outside in [&client, &other] {
        assert_eq!(number(outside, ALL).await, 201);
        assert_eq!(number(outside, "select sum(n) from made").await, 6);
    }
}

#[tokio::test]
async fn savepoints_conflicts_and_rollbacks() {
    let server = TestServer::start().await;
    let client = connect(&server).await;
    for table in ["a", "b"] {
        client.update(format!("create table {table} (n bigint)")).await.unwrap();
    }
    let transaction = client.begin().await.unwrap();
    transaction.update("insert into a values (1)").await.unwrap();
    let mark = transaction.savepoint("mark").await.unwrap();
    transaction.update("insert into b values (1)").await.unwrap();
    transaction.rollback_to(mark.clone()).await.unwrap();
    assert_eq!(transaction.release(mark).await.unwrap_err().code(), Some(Code::NotFound));
    let mark = transaction.savepoint("mark").await.unwrap();
    transaction.update("insert overwrite a values (5), (6)").await.unwrap();
    transaction.release(mark).await.unwrap();
    assert_eq!(number(&transaction, ALL).await, 200);

    client.update("insert into a values (1)").await.unwrap();
    let lost = transaction.commit().await.unwrap_err();
    assert_eq!(lost.code(), Some(Code::Aborted), "{lost}");
    assert_eq!(number(&client, ALL).await, 100);

    let transaction = client.begin().await.unwrap();
    transaction.update("insert into a values (1)").await.unwrap();
    transaction.update("drop table b").await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(number(&client, ALL).await, 100);
}

#[tokio::test]
async fn one_that_nobody_ends_leaves_nothing() {
    let server = TestServer::start().await;
    let client = connect(&server).await;
    client.update("create table a (n bigint)").await.unwrap();
    let other = connect(&server).await;
    let transaction = other.begin().await.unwrap();
    transaction.update("insert into a values (1)").await.unwrap();
    drop((transaction, other));
    assert_eq!(number(&client, "select count(*) from a").await, 0);
    client.update("insert overwrite a values (2)").await.unwrap();
    assert_eq!(number(&client, "select count(*) from a").await, 1);
}
