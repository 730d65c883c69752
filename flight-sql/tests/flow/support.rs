//! An engine over a fresh bucket, a session, and the messages that clients send.

use std::sync::{Arc, Mutex};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch, StringArray},
    util::display::{ArrayFormatter, FormatOptions},
};
use arrow_flight::{
    FlightDescriptor, FlightInfo, IpcMessage, Ticket,
    sql::{CommandPreparedStatementQuery, CommandPreparedStatementUpdate, CommandStatementQuery, ProstMessageExt},
};
use arrow_schema::{Schema, SchemaRef};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use skein_catalog::{Catalog, CatalogOptions};
use skein_flight_sql::{
    Answer, BatchStream, Error, FlightSql, Ingest, IngestRequest, Options, PutOutcome, PutStream, Result, ServerFacts,
    Uploaded,
};
use skein_model::{AuthMethod, ManualClock, Principal, SessionId};
use skein_proto::TicketKey;
use skein_query::{Engine, EngineConfig, Session};
use skein_storage::{Bucket, Buckets};

/// Remembers what it was asked, and whether in a transaction.
#[derive(Debug, Default)]
pub(crate) struct Recorder(pub Mutex<Vec<(IngestRequest, SchemaRef, u64, bool)>>);

#[async_trait]
impl Ingest for Recorder {
    async fn ingest(
        &self,
        session: &Arc<Session>,
        request: IngestRequest,
        schema: SchemaRef,
        batches: BatchStream,
    ) -> Result<Uploaded> {
        let rows = batches.try_fold(0, |rows, batch| async move { Ok(rows + batch.num_rows() as u64) }).await?;
        self.0.lock().unwrap().push((request, schema, rows, session.transaction().is_some()));
        Ok(Uploaded { rows })
    }
}

pub(crate) struct Fixture {
    pub engine: Engine,
    pub sql: FlightSql,
    pub session: Arc<Session>,
    pub clock: ManualClock,
    pub ingest: Arc<Recorder>,
    options: Options,
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        Self::with_engine(options, EngineConfig { target_partitions: 2, ..EngineConfig::default() }).await
    }

    pub(crate) async fn with_engine(options: Options, config: EngineConfig) -> Self {
        Self::over(Bucket::in_memory("main"), options, config).await
    }

    pub(crate) async fn over(bucket: Bucket, options: Options, config: EngineConfig) -> Self {
        let buckets = Buckets::new(vec![bucket]).unwrap();
        let catalog = Catalog::open(buckets, CatalogOptions::default()).await.unwrap();
        let engine = Engine::new(catalog, config).unwrap();
        let clock = ManualClock::new(chrono::Utc::now());
        let ingest = Arc::new(Recorder::default());
        let sql = service(&engine, b"key", &options, &ingest, &clock);
        let session = engine.session(SessionId::generate(), Principal::anonymous());
        Self { engine, sql, session, clock, ingest, options }
    }

    /// Another server over the same bucket, with the same key or another one.
    pub(crate) fn another_server(&self, key: &[u8]) -> FlightSql {
        service(&self.engine, key, &self.options, &self.ingest, &self.clock)
    }

    pub(crate) fn session_of(&self, name: &str) -> Arc<Session> {
        let principal = Principal { name: name.into(), method: AuthMethod::Password };
        self.engine.session(SessionId::generate(), principal)
    }

    pub(crate) async fn info(&self, descriptor: &FlightDescriptor) -> Result<FlightInfo> {
        self.sql.flight_info(&self.session, descriptor).await
    }

    /// GetFlightInfo and DoGet; checks that both promise the same schema.
    pub(crate) async fn read(&self, descriptor: &FlightDescriptor) -> Result<Vec<String>> {
        let info = self.info(descriptor).await?;
        let answer = self.open(&info).await?;
        if !info.schema.is_empty() {
            assert_eq!(schema_of(&info.schema), *answer.schema);
            assert_eq!(*self.sql.schema(&self.session, descriptor).await?, *answer.schema);
        }
        rows(answer).await
    }

    pub(crate) async fn open(&self, info: &FlightInfo) -> Result<Answer> {
        self.sql.open(&self.session, &ticket(info)).await
    }

    /// Runs a statement as text.
    pub(crate) async fn query(&self, sql: &str) -> Vec<String> {
        self.read(&query(sql)).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    pub(crate) async fn put(&self, message: &impl ProstMessageExt, upload: PutStream) -> Result<PutOutcome> {
        let descriptor = command(message);
        assert!(FlightSql::handles_put(&descriptor));
        self.sql.put(&self.session, &descriptor, upload).await
    }

    pub(crate) async fn prepare(&self, sql: &str) -> Bytes {
        self.sql.create_prepared(&self.session, sql).await.unwrap().prepared_statement_handle
    }

    /// Binds and returns the new handle.
    pub(crate) async fn bind(&self, handle: &Bytes, batch: RecordBatch) -> Result<Bytes> {
        let bind = CommandPreparedStatementQuery { prepared_statement_handle: handle.clone() };
        match self.put(&bind, upload(vec![batch])).await? {
            PutOutcome::Bound(result) => Ok(result.prepared_statement_handle.unwrap()),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn update_prepared(&self, handle: &Bytes, upload: PutStream) -> Result<i64> {
        let update = CommandPreparedStatementUpdate { prepared_statement_handle: handle.clone() };
        self.put(&update, upload).await.map(count)
    }
}

fn service(engine: &Engine, key: &[u8], options: &Options, ingest: &Arc<Recorder>, clock: &ManualClock) -> FlightSql {
    let facts = ServerFacts::default();
    let (ingest, clock) = (Arc::clone(ingest) as Arc<dyn Ingest>, Arc::new(clock.clone()));
    FlightSql::new(engine.clone(), TicketKey::from_secret(key), facts, options.clone(), ingest, clock).unwrap()
}

pub(crate) fn command(message: &impl ProstMessageExt) -> FlightDescriptor {
    FlightDescriptor::new_cmd(message.as_any().encode_to_vec())
}

pub(crate) fn query(sql: &str) -> FlightDescriptor {
    command(&CommandStatementQuery { query: sql.into(), transaction_id: None })
}

pub(crate) fn prepared(handle: &Bytes) -> FlightDescriptor {
    command(&CommandPreparedStatementQuery { prepared_statement_handle: handle.clone() })
}

pub(crate) fn ticket(info: &FlightInfo) -> Ticket {
    assert_eq!(info.endpoint.len(), 1);
    info.endpoint[0].ticket.clone().unwrap()
}

pub(crate) fn count(outcome: PutOutcome) -> i64 {
    match outcome {
        PutOutcome::Updated(result) => result.record_count,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn schema_of(message: &Bytes) -> Schema {
    Schema::try_from(IpcMessage(message.clone())).unwrap()
}

pub(crate) fn upload(batches: Vec<RecordBatch>) -> PutStream {
    let schema = batches.first().map(RecordBatch::schema);
    PutStream { schema, batches: stream::iter(batches.into_iter().map(Ok)).boxed() }
}

pub(crate) fn nothing() -> PutStream {
    PutStream { schema: None, batches: stream::empty().boxed() }
}

pub(crate) fn ints(values: &[i64]) -> RecordBatch {
    batch(vec![Arc::new(Int64Array::from(values.to_vec()))])
}

pub(crate) fn pairs(values: &[(i64, &str)]) -> RecordBatch {
    let (numbers, texts): (Vec<i64>, Vec<&str>) = values.iter().copied().unzip();
    batch(vec![Arc::new(Int64Array::from(numbers)), Arc::new(StringArray::from(texts))])
}

fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
    let names = ["0", "1"].into_iter().zip(columns).map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(names).unwrap()
}

/// All rows as text, columns joined by `|`; checks that every batch has the promised schema.
pub(crate) async fn rows(answer: Answer) -> Result<Vec<String>> {
    let schema = answer.schema;
    let batches: Vec<RecordBatch> = answer.stream.try_collect().await?;
    let options = FormatOptions::default().with_null("NULL");
    let mut rows = Vec::new();
    for batch in batches {
        assert_eq!(batch.schema(), schema);
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let values: Vec<_> = columns.iter().map(|column| column.value(row).to_string()).collect();
            rows.push(values.join("|"));
        }
    }
    Ok(rows)
}

/// The error of something that must fail.
pub(crate) fn failed<T>(result: Result<T>) -> Error {
    match result {
        Ok(_) => panic!("it worked"),
        Err(error) => error,
    }
}
