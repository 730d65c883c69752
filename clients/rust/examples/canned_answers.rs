//! A Flight SQL server that answers every query with one row, always the same bytes, and does nothing else: what a client's `select 1` costs
//! when the server is free. `benchmarks/latency.py` measures it beside Skein and roapi.
//!
//! ```text
//! cargo run --release -p skein-client --example canned_answers -- 127.0.0.1:8816
//! ```
use std::error::Error;

use arrow::array::{Int64Array, RecordBatch};
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightEndpoint, FlightInfo, HandshakeRequest,
    HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
    flight_service_server::{FlightService, FlightServiceServer},
    sql::{ActionCreatePreparedStatementResult, Any, ProstMessageExt},
    utils::batches_to_flight_data,
};
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use prost::Message;
use tonic::{Request, Response, Status, Streaming, transport::Server};

struct Canned {
    info: FlightInfo,
    prepared: Bytes,
    rows: Vec<FlightData>,
}

impl Canned {
    fn new() -> Result<Self, Box<dyn Error>> {
        let one = RecordBatch::try_from_iter([("1", std::sync::Arc::new(Int64Array::from(vec![1])) as _)])?;
        let endpoint = FlightEndpoint::new().with_ticket(Ticket::new("rows"));
        let info = FlightInfo::new().try_with_schema(&one.schema())?.with_endpoint(endpoint);
        let result = ActionCreatePreparedStatementResult {
            prepared_statement_handle: "statement".into(),
            dataset_schema: info.schema.clone(),
            ..Default::default()
        };
        let any: Any = result.as_any();
        let rows = batches_to_flight_data(&one.schema(), vec![one])?;
        Ok(Self { info, prepared: any.encode_to_vec().into(), rows })
    }
}

type Answers<T> = BoxStream<'static, Result<T, Status>>;

fn answers<T: Send + 'static>(items: Vec<T>) -> Response<Answers<T>> {
    Response::new(stream::iter(items.into_iter().map(Ok)).boxed())
}

fn no<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("only queries are answered"))
}

#[tonic::async_trait]
impl FlightService for Canned {
    type HandshakeStream = Answers<HandshakeResponse>;
    type ListFlightsStream = Answers<FlightInfo>;
    type DoGetStream = Answers<FlightData>;
    type DoPutStream = Answers<PutResult>;
    type DoExchangeStream = Answers<FlightData>;
    type DoActionStream = Answers<arrow_flight::Result>;
    type ListActionsStream = Answers<ActionType>;

    async fn get_flight_info(&self, request: Request<FlightDescriptor>) -> Result<Response<FlightInfo>, Status> {
        let command =
            Any::decode(request.get_ref().cmd.as_ref()).map_err(|e| Status::invalid_argument(e.to_string()))?;
        if command.type_url.ends_with("CommandGetSqlInfo") {
            return no();
        }
        Ok(Response::new(self.info.clone()))
    }

    async fn do_get(&self, _: Request<Ticket>) -> Result<Response<Self::DoGetStream>, Status> {
        Ok(answers(self.rows.clone()))
    }

    async fn do_action(&self, request: Request<Action>) -> Result<Response<Self::DoActionStream>, Status> {
        match request.get_ref().r#type.as_str() {
            "CreatePreparedStatement" => Ok(answers(vec![arrow_flight::Result { body: self.prepared.clone() }])),
            _ => Ok(answers(Vec::new())),
        }
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        no()
    }

    async fn list_flights(&self, _: Request<Criteria>) -> Result<Response<Self::ListFlightsStream>, Status> {
        no()
    }

    async fn poll_flight_info(&self, _: Request<FlightDescriptor>) -> Result<Response<PollInfo>, Status> {
        no()
    }

    async fn get_schema(&self, _: Request<FlightDescriptor>) -> Result<Response<SchemaResult>, Status> {
        no()
    }

    async fn do_put(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoPutStream>, Status> {
        no()
    }

    async fn do_exchange(&self, _: Request<Streaming<FlightData>>) -> Result<Response<Self::DoExchangeStream>, Status> {
        no()
    }

    async fn list_actions(&self, _: Request<Empty>) -> Result<Response<Self::ListActionsStream>, Status> {
        no()
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("missing argument: the address to listen on")?.parse()?;
    let service = FlightServiceServer::new(Canned::new()?);
    Server::builder().tcp_nodelay(true).add_service(service).serve(address).await?;
    Ok(())
}
