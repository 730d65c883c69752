//! A small Flight client for tests: every failure is a `tonic::Status`.

use std::time::Duration;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use arrow_flight::{
    Action, FlightData, FlightDescriptor, FlightInfo, HandshakeRequest, PollInfo, PutResult, Ticket,
    decode::FlightRecordBatchStream,
    error::FlightError,
    flight_service_client::FlightServiceClient,
    sql::{CommandStatementQuery, CommandStatementUpdate, DoPutUpdateResult, ProstMessageExt},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use prost::Message as _;
use serde_json::{Value, json};
use skein_proto::PutMetadata;
use tokio::task::JoinHandle;
use tonic::{
    Request, Status,
    transport::{Channel, Endpoint},
};

use super::{
    data::{flight_data, numbers, table},
    server::{TestServer, cable},
};

/// Nothing here may hang: a test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// The value of the authorization header, if any.
#[derive(Debug, Clone, Default)]
pub struct Credentials(pub Option<String>);

/// One connection and the credentials it is used with.
#[derive(Debug, Clone)]
pub struct Client {
    pub channel: Channel,
    pub flight: FlightServiceClient<Channel>,
    pub credentials: Credentials,
    pub headers: Vec<(&'static str, String)>,
}

/// An upload to `half` that stands still after two batches, and the connection it goes through: aborting that cuts it.
pub async fn half_an_upload(server: &TestServer) -> (JoinHandle<Result<Vec<PutResult>, Status>>, JoinHandle<()>) {
    let (address, cable) = cable(server.address()).await;
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
    let mut client = Client::new(channel);
    let messages = flight_data(path_descriptor(&["half"]), &[numbers(10_000), numbers(10_000)]);
    let upload = tokio::spawn(async move { client.put(stream::iter(messages).chain(stream::pending())).await });
    (upload, cable)
}

impl Client {
    pub fn new(channel: Channel) -> Self {
        let flight = FlightServiceClient::new(channel.clone())
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX);
        Self { channel, flight, credentials: Credentials::default(), headers: Vec::new() }
    }

    /// Sends Basic credentials with every request.
    pub fn basic(mut self, name: &str, password: &str) -> Self {
        self.credentials.0 = Some(format!("Basic {}", STANDARD.encode(format!("{name}:{password}"))));
        self
    }

    /// Sends a bearer token with every request.
    pub fn bearer(mut self, token: &str) -> Self {
        self.credentials.0 = Some(format!("Bearer {token}"));
        self
    }

    /// Sends another header with every request.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(PATIENCE);
        if let Some(value) = &self.credentials.0 {
            request.metadata_mut().insert("authorization", value.parse().unwrap());
        }
        for (name, value) in &self.headers {
            request.metadata_mut().insert(*name, value.parse().unwrap());
        }
        request
    }

    /// The token a handshake gives for these credentials.
    pub async fn handshake(&mut self) -> Result<String, Status> {
        let request = self.request(stream::iter([HandshakeRequest::default()]));
        let response = self.flight.handshake(request).await?;
        let header = response.metadata().get("authorization").expect("a bearer token").to_str().unwrap().to_owned();
        let payload = response.into_inner().try_next().await?.expect("a payload").payload;
        let token = header.strip_prefix("Bearer ").unwrap().to_owned();
        assert_eq!(payload, token.as_bytes());
        Ok(token)
    }

    pub async fn info(&mut self, descriptor: FlightDescriptor) -> Result<FlightInfo, Status> {
        let request = self.request(descriptor);
        Ok(self.flight.get_flight_info(request).await?.into_inner())
    }

    /// The last poll's answer for a statement with one endpoint. Until then there is nothing to fetch, and progress never falls.
    pub async fn polled(&mut self, sql: &str) -> PollInfo {
        let mut answer = self.poll(statement(sql)).await.unwrap();
        let mut last = 0.0;
        while let Some(again) = answer.flight_descriptor.take() {
            let progress = answer.progress.expect("scans of datasets are foreseen");
            assert!((last..=1.0).contains(&progress), "{progress} after {last}");
            last = progress;
            assert!(answer.info.unwrap().endpoint.is_empty());
            answer = self.poll(again).await.unwrap();
        }
        answer
    }

    /// PollFlightInfo.
    pub async fn poll(&mut self, descriptor: FlightDescriptor) -> Result<PollInfo, Status> {
        let request = self.request(descriptor);
        Ok(self.flight.poll_flight_info(request).await?.into_inner())
    }

    /// Plans a statement.
    pub async fn plan(&mut self, sql: &str) -> Result<FlightInfo, Status> {
        self.info(statement(sql)).await
    }

    /// Reads one ticket to its end.
    pub async fn read(&mut self, ticket: Ticket) -> Result<Vec<RecordBatch>, Status> {
        self.stream(ticket).await?.try_collect().await.map_err(status)
    }

    /// Starts to read one ticket.
    pub async fn stream(&mut self, ticket: Ticket) -> Result<FlightRecordBatchStream, Status> {
        let request = self.request(ticket);
        let response = self.flight.do_get(request).await?.into_inner();
        let messages = response.map_err(|status| FlightError::Tonic(Box::new(status)));
        Ok(FlightRecordBatchStream::new_from_flight_data(messages))
    }

    /// Runs a query. Checks that what comes has the schema that was announced.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<RecordBatch>, Status> {
        let info = self.plan(sql).await?;
        let announced = schema(&info);
        let mut batches = Vec::new();
        for endpoint in info.endpoint {
            let ticket = endpoint.ticket.unwrap();
            let mut stream = self.stream(ticket).await?;
            while let Some(batch) = stream.next().await {
                batches.push(batch.map_err(status)?);
            }
            if let (Some(announced), Some(sent)) = (&announced, stream.schema()) {
                assert_eq!(sent, announced, "{sql}: FlightInfo and the stream disagree");
            }
        }
        Ok(batches)
    }

    /// Runs a query and shows its rows as text.
    pub async fn rows(&mut self, sql: &str) -> Result<String, Status> {
        Ok(table(&self.query(sql).await?))
    }

    /// Runs an update by DoPut and returns its count.
    pub async fn update(&mut self, sql: &str) -> Result<i64, Status> {
        let command = CommandStatementUpdate { query: sql.to_owned(), transaction_id: None };
        let descriptor = FlightDescriptor::new_cmd(command.as_any().encode_to_vec());
        let message = FlightData { flight_descriptor: Some(descriptor), ..FlightData::default() };
        let results = self.put(stream::iter([message])).await?;
        Ok(DoPutUpdateResult::decode(results[0].app_metadata.clone()).unwrap().record_count)
    }

    /// A DoPut of any messages.
    pub async fn put(
        &mut self,
        messages: impl Stream<Item = FlightData> + Send + 'static,
    ) -> Result<Vec<PutResult>, Status> {
        let request = self.request(messages);
        self.flight.do_put(request).await?.into_inner().try_collect().await
    }

    /// Uploads batches to a path and returns the last PutResult.
    pub async fn upload(&mut self, path: &[&str], batches: &[RecordBatch]) -> Result<PutMetadata, Status> {
        let messages = flight_data(path_descriptor(path), batches);
        let results = self.put(stream::iter(messages)).await?;
        Ok(PutMetadata::from_json(&results.last().expect("a PutResult").app_metadata).unwrap())
    }

    /// Sends a file's bytes, in chunks, and returns the last PutResult.
    pub async fn send_file(&mut self, into: &str, options: Value, bytes: &[u8]) -> Result<PutMetadata, Status> {
        let command = json!({"ingest_file": {"path": [into], "options": options}});
        let results = self.put(stream::iter(file_messages(&command, bytes))).await?;
        Ok(PutMetadata::from_json(&results.last().expect("a PutResult").app_metadata).unwrap())
    }

    /// Runs an action with a JSON body.
    pub async fn action(&mut self, name: &str, body: &Value) -> Result<Value, Status> {
        let results = self.raw_action(name, body.to_string().into_bytes()).await?;
        Ok(serde_json::from_slice(&results[0]).unwrap())
    }

    /// Runs an action.
    pub async fn raw_action(&mut self, name: &str, body: Vec<u8>) -> Result<Vec<bytes::Bytes>, Status> {
        let request = self.request(Action { r#type: name.to_owned(), body: body.into() });
        let results = self.flight.do_action(request).await?.into_inner();
        results.map_ok(|result| result.body).try_collect().await
    }

    /// Whether the connection still works.
    pub async fn check_alive(&mut self) {
        assert_eq!(self.rows("select 1").await.unwrap(), "1");
    }
}

pub fn statement(sql: &str) -> FlightDescriptor {
    let command = CommandStatementQuery { query: sql.to_owned(), transaction_id: None };
    FlightDescriptor::new_cmd(command.as_any().encode_to_vec())
}

pub fn path_descriptor(path: &[&str]) -> FlightDescriptor {
    FlightDescriptor::new_path(path.iter().map(|part| (*part).to_owned()).collect())
}

pub fn file_messages(command: &Value, bytes: &[u8]) -> Vec<FlightData> {
    use std::sync::Arc;

    use arrow::{
        array::BinaryArray,
        datatypes::{DataType, Field, Schema},
    };
    let schema = Arc::new(Schema::new(vec![Field::new("chunk", DataType::Binary, false)]));
    let batches: Vec<_> = bytes
        .chunks(64 << 10)
        .map(|chunk| RecordBatch::try_new(schema.clone(), vec![Arc::new(BinaryArray::from_vec(vec![chunk]))]).unwrap())
        .collect();
    let batches = if batches.is_empty() { vec![RecordBatch::new_empty(schema)] } else { batches };
    flight_data(FlightDescriptor::new_cmd(command.to_string()), &batches)
}

fn schema(info: &FlightInfo) -> Option<SchemaRef> {
    // Empty for updates, which have no result set.
    (!info.schema.is_empty()).then(|| std::sync::Arc::new(info.clone().try_decode_schema().unwrap()))
}

fn status(error: FlightError) -> Status {
    match error {
        FlightError::Tonic(status) => *status,
        other => Status::unknown(format!("the client could not read the answer: {other}")),
    }
}
