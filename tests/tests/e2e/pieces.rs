//! Endpoints of a filtered result that appear one after the other while it is polled, over the wire.

use arrow::{
    array::{AsArray as _, RecordBatch},
    datatypes::Int64Type,
};
use arrow_flight::{FlightEndpoint, PollInfo};
use futures::future::join_all;
use tonic::Code;

use crate::support::{Client, HeldTable, statement};

const EVEN: &str = "select a from t where a % 2 = 0";

async fn client(t: &HeldTable) -> Client {
    t.server.client().await.header("x-skein-partitions", "4")
}

fn endpoints(poll: &PollInfo) -> &[FlightEndpoint] {
    &poll.info.as_ref().unwrap().endpoint
}

/// Endpoints read at the same time; the rows of each, sorted, in the endpoints' order.
async fn read(client: &Client, endpoints: &[FlightEndpoint]) -> Vec<i64> {
    let values = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    let read = endpoints.iter().map(async |endpoint| {
        let batches = client.clone().read(endpoint.ticket.clone().unwrap()).await.unwrap();
        let mut rows: Vec<_> = batches.iter().flat_map(values).collect();
        rows.sort_unstable();
        rows
    });
    join_all(read).await.concat()
}

fn even(rows: i64) -> Vec<i64> {
    (1..=rows).filter(|a| a % 2 == 0).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_appear_as_they_have_rows_and_are_read_while_the_next_is_polled_for() {
    let t = HeldTable::new().await;
    let mut client = client(&t).await;
    t.hold([1, 3]);
    let poll = client.poll(statement(EVEN)).await.unwrap();
    let one = t.until(&mut client, poll, 1).await;
    assert_eq!(endpoints(&one).len(), 1);
    assert!(one.progress.unwrap() < 1.0, "{:?}", one.progress);
    let mut polling = client.clone();
    let next = one.flight_descriptor.clone().unwrap();
    let next = tokio::spawn(async move { polling.poll(next).await.unwrap() });
    assert_eq!(read(&client, endpoints(&one)).await, even(HeldTable::ROWS / 4));
    t.hold([3]);
    let three = t.until(&mut client, next.await.unwrap(), 3).await;
    assert_eq!(endpoints(&three).len(), 3);
    assert!((0.2..1.0).contains(&three.progress.unwrap()), "{:?}", three.progress);
    t.store.hold(None);
    let four = t.until(&mut client, three, 4).await;
    assert!(four.flight_descriptor.is_none() && four.progress == Some(1.0));
    // The first one runs again.
    assert_eq!(read(&client, endpoints(&four)).await, even(HeldTable::ROWS));
}

#[tokio::test(flavor = "multi_thread")]
async fn polling_goes_on_after_a_restart() {
    let t = HeldTable::new().await;
    t.hold([2, 3]);
    let mut before = client(&t).await;
    let poll = before.poll(statement(EVEN)).await.unwrap();
    let two = t.until(&mut before, poll, 2).await;
    let t = t.restart().await;
    t.store.hold(None);
    let mut after = client(&t).await;
    let four = t.until(&mut after, two, 4).await;
    assert!(four.flight_descriptor.is_none());
    assert_eq!(read(&after, endpoints(&four)).await, even(HeldTable::ROWS));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_of_a_piece_ends_the_poll_and_nothing_else() {
    let t = HeldTable::new().await;
    let mut client = client(&t).await;
    t.hold([3]);
    let sql = "select a from t where 1 / (case when a > 180000 then 0 else a end) = 0 and a % 2 = 0";
    let poll = client.poll(statement(sql)).await.unwrap();
    let three = t.until(&mut client, poll, 3).await;
    t.store.hold(None);
    let status = client.poll(three.flight_descriptor.clone().unwrap()).await.unwrap_err();
    assert!(status.code() == Code::InvalidArgument && status.message().contains("zero"), "{status:?}");
    assert_eq!(read(&client, &endpoints(&three)[..1]).await, even(HeldTable::ROWS / 4));
    client.check_alive().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_no_row_passes_ends_with_empty_endpoints() {
    let t = HeldTable::new().await;
    let mut client = client(&t).await;
    let poll = client.poll(statement("select a from t where length(s) = 5")).await.unwrap();
    let four = t.until(&mut client, poll, 4).await;
    assert!(read(&client, endpoints(&four)).await.is_empty());
}
