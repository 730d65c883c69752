//! Substrait plans over the wire. arrow-flight's client has no calls for them, so its messages are sent as they are.

use arrow_flight::{
    FlightData, FlightDescriptor, SchemaAsIpc,
    sql::{
        ActionCreatePreparedStatementResult, ActionCreatePreparedSubstraitPlanRequest, Any,
        CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementSubstraitPlan,
        DoPutUpdateResult, ProstMessageExt, SubstraitPlan,
    },
};
use datafusion_substrait::substrait::proto::Plan;
use futures::stream;
use prost::Message as _;
use tonic::Code;

use crate::support::{Client, TestServer, insert_plan, read_plan, table};

fn statement(plan: &Plan) -> FlightDescriptor {
    let plan = SubstraitPlan { plan: plan.encode_to_vec().into(), version: String::new() };
    descriptor(&CommandStatementSubstraitPlan { plan: Some(plan), transaction_id: None })
}

fn descriptor(command: &impl ProstMessageExt) -> FlightDescriptor {
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

impl Client {
    async fn read_all(&mut self, descriptor: FlightDescriptor) -> String {
        let info = self.info(descriptor).await.unwrap();
        table(&self.read(info.endpoint[0].ticket.clone().unwrap()).await.unwrap())
    }

    async fn put_command(&mut self, descriptor: FlightDescriptor) -> i64 {
        let message = FlightData { flight_descriptor: Some(descriptor), ..FlightData::default() };
        let results = self.put(stream::iter([message])).await.unwrap();
        DoPutUpdateResult::decode(results[0].app_metadata.clone()).unwrap().record_count
    }

    async fn prepare_plan(&mut self, plan: &Plan) -> Result<ActionCreatePreparedStatementResult, tonic::Status> {
        let plan = SubstraitPlan { plan: plan.encode_to_vec().into(), version: "0.63.0".to_owned() };
        let request = ActionCreatePreparedSubstraitPlanRequest { plan: Some(plan), transaction_id: None };
        let results = self.raw_action("CreatePreparedSubstraitPlan", request.as_any().encode_to_vec()).await?;
        let result = Any::decode(results[0].clone()).unwrap();
        Ok(result.unpack::<ActionCreatePreparedStatementResult>().unwrap().unwrap())
    }
}

async fn with_table() -> (TestServer, Client) {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    client.update("create table t as select v as a from generate_series(1, 3) as g(v)").await.unwrap();
    (server, client)
}

#[tokio::test]
async fn a_plan_is_queried_and_run_as_an_update() {
    let (_server, mut client) = with_table().await;
    let descriptor = statement(&read_plan("t", "a"));
    assert_eq!(client.read_all(descriptor.clone()).await, "1\n2\n3");
    let request = client.request(descriptor.clone());
    let schema = client.flight.get_schema(request).await.unwrap().into_inner();
    let info = client.info(descriptor.clone()).await.unwrap();
    let announced = info.try_decode_schema().unwrap();
    let expected: arrow_flight::SchemaResult =
        SchemaAsIpc::new(&announced, &arrow_ipc::writer::IpcWriteOptions::default()).try_into().unwrap();
    assert_eq!(schema.schema, expected.schema);
    let poll = client.poll(descriptor).await.unwrap();
    assert_eq!(poll.progress, Some(1.0));

    assert_eq!(client.put_command(statement(&insert_plan("t", "a"))).await, 3);
    assert_eq!(client.rows("select count(*) from t").await.unwrap(), "6");
    let broken = statement(&Plan::default());
    assert_eq!(client.info(broken).await.unwrap_err().code(), Code::InvalidArgument);
    let missing = client.info(statement(&read_plan("nowhere", "a"))).await.unwrap_err();
    assert!(missing.code() == Code::NotFound && missing.message().contains("nowhere"), "{missing:?}");
    client.check_alive().await;
}

#[tokio::test]
async fn a_prepared_plan_is_answered_and_outlives_the_server() {
    let (server, mut client) = with_table().await;
    let query = client.prepare_plan(&read_plan("t", "a")).await.unwrap();
    assert!(!query.prepared_statement_handle.is_empty() && !query.dataset_schema.is_empty());
    let change = client.prepare_plan(&insert_plan("t", "a")).await.unwrap();
    assert!(change.dataset_schema.is_empty());
    let read = CommandPreparedStatementQuery { prepared_statement_handle: query.prepared_statement_handle };
    let update = CommandPreparedStatementUpdate { prepared_statement_handle: change.prepared_statement_handle };
    assert_eq!(client.read_all(descriptor(&read)).await, "1\n2\n3");

    let server = server.restart().await;
    let mut client = server.client().await;
    assert_eq!(client.put_command(descriptor(&update)).await, 3);
    assert_eq!(client.read_all(descriptor(&read)).await.lines().count(), 6);
    let refused = client.prepare_plan(&Plan::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}
