//! The crate's front: one method per thing a Flight service asks for.

use std::{fmt, sync::Arc};

use arrow::array::RecordBatch;
use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, PollInfo, Ticket, sql::SubstraitPlan};
use arrow_schema::SchemaRef;
use futures::{
    StreamExt,
    stream::{self, BoxStream},
};
use skein_model::{Clock, QueryId, SessionId};
use skein_proto::{CommandTicket, TicketKey, TicketKind};
use skein_query::{Engine, Session, Source};

use crate::{
    ActionCreatePreparedStatementResult, Call, Error, Ingest, Options, PutOutcome, PutStream, Result, ServerFacts,
    command::{MetadataTables, limited},
    encoding::Encoding,
    request::{self, Metadata, Put, Request},
    statement::{Background, Running, Statements},
    transactions::Transactions,
};

/// Batches of one schema, or the error that ends them.
pub type BatchStream = BoxStream<'static, Result<RecordBatch, Error>>;

/// What a DoGet sends.
pub struct Answer {
    /// The schema of every batch, and of the FlightInfo that led here.
    pub schema: SchemaRef,
    /// The batches. Dropping the stream cancels the work behind it.
    pub stream: BatchStream,
    /// The running query; `None` for metadata and for updates.
    pub query_id: Option<QueryId>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("schema", &self.schema).field("query_id", &self.query_id).finish_non_exhaustive()
    }
}

/// What became of a request to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It was running and has been told to stop.
    Cancelled,
    /// It is not running (any more), or never could be stopped.
    NotCancellable,
}

/// Flight SQL over one engine.
#[derive(Debug)]
pub struct FlightSql {
    pub(crate) engine: Engine,
    pub(crate) key: TicketKey,
    pub(crate) facts: ServerFacts,
    pub(crate) options: Options,
    pub(crate) ingest: Arc<dyn Ingest>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) statements: Arc<Statements>,
    pub(crate) running: Running,
    pub(crate) background: Background,
    pub(crate) metadata: MetadataTables,
    pub(crate) transactions: Transactions,
}

impl FlightSql {
    /// Flight SQL over `engine`.
    ///
    /// # Errors
    /// When the constant metadata tables cannot be built, which is a defect.
    pub fn new(
        engine: Engine,
        key: TicketKey,
        facts: ServerFacts,
        options: Options,
        ingest: Arc<dyn Ingest>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let metadata = MetadataTables::new(&facts, &options)?;
        let statements = Arc::new(Statements::new(&options));
        let (running, background) = Default::default();
        let transactions = Transactions::new(&options);
        Ok(Self { engine, key, facts, options, ingest, clock, statements, running, background, metadata, transactions })
    }

    /// GetFlightInfo: every Flight SQL command, PATH, and commands that are plain text (SQL or a table's name).
    /// Runs nothing: even an update runs in [`FlightSql::open`].
    ///
    /// For a prepared update, FlightInfo's schema is left empty. ADBC's DBAPI runs everything that way and, with a schema, would return before
    /// the statement has run and cancel it; without, it waits for the stream's first message, which comes when the update is done.
    ///
    /// # Errors
    /// Those of planning; `Unimplemented` for commands that Skein does not do.
    pub async fn flight_info(&self, call: impl Into<Call>, descriptor: &FlightDescriptor) -> Result<FlightInfo> {
        let (session, request) = &self.enter(call.into(), Request::of_descriptor(descriptor)?)?;
        match request {
            Request::Statement(source) => self.source_info(session, descriptor, source).await,
            Request::Prepared(handle) => self.prepared_info(session, descriptor, handle).await,
            Request::Table(parts) => self.table_info(session, descriptor, parts).await,
            Request::Metadata(command, bytes) => {
                let schema = self.metadata.schema(command);
                let ticket = TicketKind::Command(CommandTicket { command: bytes.clone() });
                Ok(self.info(session, descriptor, Some(&schema), vec![ticket])?)
            }
            Request::Wrapped(_) | Request::Within(..) => Err(wrapped()),
        }
    }

    /// PollFlightInfo. A query that needs time before its first rows is started; until they are there, the answer has no endpoint and says
    /// how far the scans are. A filtered scan that is divided runs in pieces: an answer has the endpoints of those whose first rows are there,
    /// and of all before them. Everything else is complete at once.
    ///
    /// # Errors
    /// As [`FlightSql::flight_info`]; those of the query when it fails meanwhile.
    pub async fn poll(&self, call: impl Into<Call>, descriptor: &FlightDescriptor) -> Result<PollInfo> {
        self.poll_info(&call.into(), descriptor).await
    }

    /// GetSchema: the schema that [`FlightSql::open`] would stream for the descriptor.
    ///
    /// # Errors
    /// As [`FlightSql::flight_info`].
    pub async fn schema(&self, call: impl Into<Call>, descriptor: &FlightDescriptor) -> Result<SchemaRef> {
        let (session, request) = &self.enter(call.into(), Request::of_descriptor(descriptor)?)?;
        match request {
            Request::Statement(source) => self.source_schema(session, source).await,
            Request::Prepared(handle) => self.prepared_schema(session, handle).await,
            Request::Table(parts) => self.table_schema(session, parts).await,
            Request::Metadata(command, _) => Ok(self.metadata.schema(command)),
            Request::Wrapped(_) | Request::Within(..) => Err(wrapped()),
        }
    }

    /// DoGet. Takes tickets of [`FlightSql::flight_info`], and whatever a descriptor's command may hold. An update has run to its
    /// end when this returns; the ticket of an update works once.
    ///
    /// # Errors
    /// For tickets that are forged, expired or another principal's; those of planning and of starting the query.
    pub async fn open(&self, call: impl Into<Call>, ticket: &Ticket) -> Result<Answer> {
        let session = &call.into();
        let limit = session.delivery().row_limit;
        if TicketKey::is_ticket(&ticket.ticket) {
            return Ok(limited(self.open_signed(session, &ticket.ticket).await?, limit));
        }
        let (session, request) = self.enter(session.clone(), Request::of_bytes("ticket", &ticket.ticket)?)?;
        let session = &session;
        let answer = match request {
            Request::Statement(source) => self.open_source(session, &source).await,
            Request::Prepared(handle) => self.open_prepared(session, &handle).await,
            Request::Table(parts) => self.open_table(session, &parts).await,
            Request::Metadata(command, _) => self.open_metadata(session, session.encoding(), command).await,
            Request::Wrapped(ticket) => self.open_signed(session, &ticket).await,
            Request::Within(..) => Err(wrapped()),
        };
        Ok(limited(answer?, limit))
    }

    /// A request, and the call in the transaction that it names.
    pub(crate) fn enter(&self, call: Call, request: Request) -> Result<(Call, Request)> {
        match request {
            Request::Within(id, request) => Ok((self.within(call, &id)?, *request)),
            request => Ok((call, request)),
        }
    }

    async fn open_signed(&self, session: &Arc<Session>, ticket: &[u8]) -> Result<Answer> {
        let payload = self.key.verify_ticket(ticket, &session.principal().name, self.now_ms())?;
        let encoding = Encoding::from_proto(payload.encoding);
        match payload.kind {
            Some(TicketKind::Statement(statement)) => self.open_statement(session, statement, encoding).await,
            Some(TicketKind::Command(CommandTicket { command })) => match Request::of_bytes("ticket", &command)? {
                Request::Metadata(command, _) => self.open_metadata(session, encoding, command).await,
                _ => Err(Error::invalid("the ticket holds a command that it cannot hold")),
            },
            Some(TicketKind::Poll(_)) => Err(Error::invalid(
                "this is what the next poll asks with; send it by PollFlightInfo, and by DoGet the tickets that it answers with",
            )),
            None => Err(Error::invalid("the ticket is from a newer server; ask for a new one with GetFlightInfo")),
        }
    }

    async fn open_metadata(&self, session: &Arc<Session>, encoding: Encoding, command: Metadata) -> Result<Answer> {
        let batch = self.metadata.answer(session, encoding, command).await?;
        let schema = batch.schema();
        Ok(Answer { schema, stream: stream::iter([Ok(batch)]).boxed(), query_id: None })
    }

    /// Whether a DoPut with this descriptor is for [`FlightSql::put`].
    pub fn handles_put(descriptor: &FlightDescriptor) -> bool {
        Put::is_sql(descriptor)
    }

    /// DoPut of a Flight SQL command: updates, bound parameters, bulk ingest.
    ///
    /// # Errors
    /// Those of the statement or the ingest; nothing is visible of one that failed.
    pub async fn put(
        &self,
        call: impl Into<Call>,
        descriptor: &FlightDescriptor,
        upload: PutStream,
    ) -> Result<PutOutcome> {
        let call = call.into();
        let (call, put) = match Put::of_descriptor(descriptor)? {
            Put::Within(id, put) => (self.within(call, &id)?, *put),
            put @ Put::Ingest(_) => (self.within_the_only_one(call)?, put),
            put => (call, put),
        };
        let session: &Arc<Session> = &call;
        match put {
            Put::Update(source) => self.put_update(session, &source).await,
            Put::PreparedUpdate(handle) => self.put_prepared_update(session, &handle, upload).await,
            Put::Bind(handle) => self.put_bind(session, &handle, upload).await,
            Put::Ingest(command) => self.put_ingest(session, command, upload).await,
            Put::Within(..) => Err(Error::invalid("a command is in one transaction, not in two")),
        }
    }

    /// The action CreatePreparedStatement. The result goes to the client inside an [`Any`](arrow_flight::sql::Any).
    ///
    /// # Errors
    /// Those of planning.
    pub async fn create_prepared(
        &self,
        call: impl Into<Call>,
        query: &str,
    ) -> Result<ActionCreatePreparedStatementResult> {
        self.prepare(&call.into(), &Source::from(query)).await
    }

    /// The action CreatePreparedSubstraitPlan. Its result is that of CreatePreparedStatement.
    ///
    /// # Errors
    /// Those of planning; `InvalidInput` without a plan.
    pub async fn create_prepared_substrait(
        &self,
        call: impl Into<Call>,
        plan: Option<SubstraitPlan>,
    ) -> Result<ActionCreatePreparedStatementResult> {
        self.prepare(&call.into(), &request::substrait(plan)?).await
    }

    /// The action ClosePreparedStatement. Closing twice is fine.
    ///
    /// # Errors
    /// For a handle that is forged or another principal's.
    pub async fn close_prepared(&self, session: &Arc<Session>, handle: &[u8]) -> Result<()> {
        self.forget(session, handle).await
    }

    /// ListFlights: datasets, views, external and temporary tables as PATH descriptors. `criteria`: empty for all, or a LIKE pattern
    /// for the table's name or `schema.table`.
    ///
    /// # Errors
    /// `InvalidInput` for criteria that are not UTF-8; those of the catalog.
    pub async fn flights(&self, call: impl Into<Call>, criteria: &[u8]) -> Result<Vec<FlightInfo>> {
        self.list(&call.into(), criteria).await
    }

    /// The actions CancelFlightInfo and CancelQuery: stops what runs on this server for the tickets in `info`, from any session of their
    /// principal. What runs for them on another server goes on: each server knows its own queries only.
    ///
    /// # Errors
    /// `InvalidInput` when there is no ticket of this server in it; for tickets that are forged or another principal's.
    pub async fn cancel(&self, session: &Session, info: &FlightInfo) -> Result<CancelOutcome> {
        let tickets = info.endpoint.iter().filter_map(|endpoint| endpoint.ticket.as_ref()).map(|ticket| &ticket.ticket);
        // A poll that is not complete has one there, which stands for all of the statement.
        let unfinished = TicketKey::is_ticket(&info.app_metadata).then_some(&info.app_metadata);
        let tickets: Vec<_> = tickets.chain(unfinished).collect();
        if tickets.is_empty() {
            return Err(Error::invalid("the FlightInfo has no ticket; send the one that GetFlightInfo answered with"));
        }
        let mut outcome = CancelOutcome::NotCancellable;
        for ticket in tickets {
            // What an expired ticket started can still be stopped.
            let payload = self.key.verify_ticket(ticket, &session.principal().name, 0)?;
            let Some(TicketKind::Statement(statement)) = payload.kind else { continue };
            let id = statement.statement_id;
            let mut cancelled = self.background.cancel(&id);
            for query in self.running.of(&id) {
                cancelled |= self.engine.cancel(query);
            }
            if cancelled {
                // The endpoints that nobody has come for yet.
                self.statements.note_cancelled(id).await;
                outcome = CancelOutcome::Cancelled;
            }
        }
        Ok(outcome)
    }

    /// The action RenewFlightEndpoint: the endpoint with a new ticket that is valid for longer.
    ///
    /// # Errors
    /// For an endpoint without a ticket of this server; for tickets that are expired, forged, another principal's, or an update's.
    pub fn renew(&self, session: &Session, endpoint: &FlightEndpoint) -> Result<FlightEndpoint> {
        self.renewed(session, endpoint)
    }

    /// Says that something changed that did not go through here (an upload to a PATH, a file, an action), so that prepared statements
    /// planned before it are planned again.
    pub fn note_change(&self) {
        self.statements.note_change();
    }

    /// Forgets the plans of a session that has ended, and with them its temporary tables. Its transactions are rolled back.
    pub fn close_session(&self, session: SessionId) {
        self.end_transactions_of(session);
        self.statements.close_session(session);
    }
}

fn wrapped() -> Error {
    Error::invalid("TicketStatementQuery is a ticket; send it by DoGet")
}
