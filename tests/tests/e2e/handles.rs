//! Handles of prepared statements, used again and again.

use arrow_flight::{
    FlightDescriptor, PutResult, Ticket,
    sql::{
        ActionCreatePreparedStatementRequest, ActionCreatePreparedStatementResult, Any, CommandPreparedStatementQuery,
        CommandPreparedStatementUpdate, DoPutPreparedStatementResult, DoPutUpdateResult, ProstMessageExt,
    },
};
use bytes::Bytes;
use futures::{future::join_all, stream};
use prost::Message as _;

use crate::support::{Client, TestServer, flight_data, numbers, table};

const CONNECTIONS: i64 = 4;
const QUERIES: i64 = 500;
const UPDATES: i64 = 25;

fn descriptor(command: &impl ProstMessageExt) -> FlightDescriptor {
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

fn query(handle: &Bytes) -> CommandPreparedStatementQuery {
    CommandPreparedStatementQuery { prepared_statement_handle: handle.clone() }
}

impl Client {
    async fn prepare_statement(&mut self, sql: &str) -> Bytes {
        let request = ActionCreatePreparedStatementRequest { query: sql.to_owned(), transaction_id: None };
        let results = self.raw_action("CreatePreparedStatement", request.as_any().encode_to_vec()).await.unwrap();
        let result = Any::decode(results[0].clone()).unwrap();
        let result: ActionCreatePreparedStatementResult = result.unpack().unwrap().unwrap();
        result.prepared_statement_handle
    }

    /// Sends the numbers from 0 to `count` as values, one set each.
    async fn put_numbers(&mut self, command: &impl ProstMessageExt, count: i64) -> PutResult {
        let results = self.put(stream::iter(flight_data(descriptor(command), &[numbers(count)]))).await.unwrap();
        results.into_iter().next().unwrap()
    }
}

/// What one connection does with the two handles.
async fn work(mut client: Client, select: Bytes, insert: Bytes) {
    let bound = client.put_numbers(&query(&select), 3).await;
    let bound = DoPutPreparedStatementResult::decode(bound.app_metadata).unwrap().prepared_statement_handle.unwrap();
    let update = CommandPreparedStatementUpdate { prepared_statement_handle: insert };
    for round in 0..QUERIES {
        if round % (QUERIES / UPDATES) == 0 {
            let result = client.put_numbers(&update, 2).await;
            assert_eq!(DoPutUpdateResult::decode(result.app_metadata).unwrap().record_count, 2);
        }
        // With a ticket of its own, and with the command as the ticket.
        let ticket = match round % 2 {
            0 => client.info(descriptor(&query(&bound))).await.unwrap().endpoint[0].ticket.clone().unwrap(),
            _ => Ticket::new(descriptor(&query(&bound)).cmd),
        };
        assert_eq!(table(&client.read(ticket).await.unwrap()), "0|a\n1|b\n2|c");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_handles_serve_thousands_of_executions_on_several_connections() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client
        .update("create table names as select * from (values (0, 'a'), (1, 'b'), (2, 'c')) v(n, name)")
        .await
        .unwrap();
    client.update("create table counted (n bigint)").await.unwrap();
    let select = client.prepare_statement("select n, name from names where n = $1").await;
    let insert = client.prepare_statement("insert into counted values ($1)").await;
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        tasks.push(tokio::spawn(work(server.client().await, select.clone(), insert.clone())));
    }
    for outcome in join_all(tasks).await {
        outcome.unwrap();
    }
    // Nothing that was inserted was lost or came twice, and what changed meanwhile is seen.
    let expected = (CONNECTIONS * UPDATES * 2).to_string();
    assert_eq!(client.rows("select count(*) from counted").await.unwrap(), expected);
    client.update("insert into names values (0, 'a')").await.unwrap();
    let bound = client.put_numbers(&query(&select), 1).await;
    let bound = DoPutPreparedStatementResult::decode(bound.app_metadata).unwrap().prepared_statement_handle.unwrap();
    let ticket = Ticket::new(descriptor(&query(&bound)).cmd);
    assert_eq!(table(&client.read(ticket).await.unwrap()), "0|a\n0|a");
    assert!(server.running.state().engine.queries().iter().all(|query| query.state.as_str() != "running"));
}
