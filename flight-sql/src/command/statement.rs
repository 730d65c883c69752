//! CommandStatementQuery, CommandStatementSubstraitPlan, and the run of any planned statement.

use std::{collections::VecDeque, iter, sync::Arc};

use arrow::array::RecordBatch;
use arrow_flight::{FlightDescriptor, FlightInfo};
use arrow_schema::SchemaRef;
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};
use skein_model::ErrorKind;
use skein_proto::{StatementTicket, TicketKind};
use skein_query::{Part, Pins, Plan, PlanKind, QueryStream, Session, Source};

use super::{parts, update};
use crate::{
    Answer, Call, Error, FlightSql, Result,
    encoding::{Converter, Encoding},
    statement::{Opened, Parameters, Planned, Running, RunningQuery},
    ticket::{inline, pins_from_proto, pins_to_proto, required},
    transactions::id_of,
};

/// A statement about to run: its plan, and the values for its parameters.
#[derive(Debug)]
pub(super) struct Runnable {
    pub plan: Plan,
    pub parameters: Option<Parameters>,
}

impl Runnable {
    /// The engine's schema of the rows: that of the first run, for values can decide types.
    fn engine_schema(&self) -> Result<SchemaRef> {
        match (&self.parameters, self.plan.parameters().is_empty()) {
            (Some(parameters), false) => match parameters.clone().into_rows().next() {
                Some(row) => Ok(self.plan.bind(&row?)?.schema()),
                None => Ok(self.plan.schema()),
            },
            _ => Ok(self.plan.schema()),
        }
    }

    /// The schema of the stream.
    pub(super) fn wire_schema(&self, encoding: Encoding) -> Result<SchemaRef> {
        match self.plan.kind() {
            PlanKind::Query => Ok(encoding.wire_schema(self.engine_schema()?.as_ref())),
            PlanKind::Update => Ok(update::schema()),
        }
    }

    /// What runs, with its values; `None` when that is not exactly one run.
    pub(super) fn only_plan(&self) -> Result<Option<Plan>> {
        match &self.parameters {
            Some(parameters) if !self.plan.parameters().is_empty() => {
                let mut rows = parameters.clone().into_rows();
                match (rows.next(), rows.next()) {
                    (Some(row), None) => Ok(Some(self.plan.bind(&row?)?)),
                    _ => Ok(None),
                }
            }
            _ => Ok(Some(self.plan.clone())),
        }
    }

    fn is_update(&self) -> bool {
        self.plan.kind() == PlanKind::Update
    }

    /// Refuses to run with parameters that have no values.
    pub(super) fn check(&self) -> Result<()> {
        let expected = self.plan.parameters().len();
        match &self.parameters {
            Some(parameters) if expected > 0 => parameters.check(expected),
            None if expected > 0 => Err(Error::invalid(format!(
                "the statement takes {expected} parameters and none are bound; prepare it and bind values first"
            ))),
            _ => Ok(()),
        }
    }
}

impl FlightSql {
    /// Plans text, or a Substrait plan.
    pub(super) async fn plan(&self, session: &Arc<Session>, source: &Source, pins: &Pins) -> Result<Plan> {
        if source.size() > self.facts.max_sql_bytes {
            return Err(Error::invalid(format!(
                "the statement is {} bytes long; the limit is {}. Load large values by bulk ingest or as parameters",
                source.size(),
                self.facts.max_sql_bytes
            )));
        }
        if !pins.is_empty() {
            return Ok(session.plan_source(source, pins).await?);
        }
        if let Some(plan) = self.statements.text(session.scope(), source).await {
            return Ok(plan);
        }
        let plan = session.plan_source(source, pins).await?;
        self.statements.keep_text(session.scope(), &plan).await;
        Ok(plan)
    }

    /// GetFlightInfo of a statement sent as it is.
    pub(crate) async fn source_info(
        &self,
        session: &Call,
        descriptor: &FlightDescriptor,
        source: &Source,
    ) -> Result<FlightInfo> {
        let plan = self.plan(session, source, &Pins::new()).await?;
        self.run_info(session, descriptor, Runnable { plan, parameters: None }, true).await
    }

    /// GetSchema of a statement sent as it is.
    pub(crate) async fn source_schema(&self, session: &Call, source: &Source) -> Result<SchemaRef> {
        let plan = self.plan(session, source, &Pins::new()).await?;
        Runnable { plan, parameters: None }.wire_schema(session.encoding())
    }

    /// DoGet with the statement itself as ticket.
    pub(crate) async fn open_source(&self, session: &Call, source: &Source) -> Result<Answer> {
        let plan = self.plan(session, source, &Pins::new()).await?;
        self.run(Runnable { plan, parameters: None }, session.encoding(), &new_id()).await
    }

    /// A FlightInfo that runs a planned statement when its ticket is used. With `tell_update_schema` unset, the FlightInfo of an update has no schema:
    /// see [`FlightSql::flight_info`].
    pub(super) async fn run_info(
        &self,
        session: &Call,
        descriptor: &FlightDescriptor,
        run: Runnable,
        tell_update_schema: bool,
    ) -> Result<FlightInfo> {
        run.check()?;
        let schema = run.wire_schema(session.encoding())?;
        let schema = (!run.is_update() || tell_update_schema).then_some(schema);
        let division = parts::divide(session, &run)?;
        let ticket = self.keep(session, run).await?;
        let tickets = division.tickets(ticket).into_iter().map(TicketKind::Statement).collect();
        let info = self.info(session, descriptor, schema.as_deref(), tickets)?;
        Ok(match division.rows {
            Some(rows) => info.with_total_records(i64::try_from(rows).unwrap_or(i64::MAX)),
            None => info,
        })
    }

    /// Keeps the plan for the ticket, and makes the ticket.
    pub(super) async fn keep(&self, session: &Session, run: Runnable) -> Result<StatementTicket> {
        let id = new_id();
        let (parameters, parameters_id) = match &run.parameters {
            Some(parameters) if !run.plan.parameters().is_empty() => self.place_parameters(parameters).await?,
            _ => Default::default(),
        };
        let (sql, substrait) = inline(run.plan.source());
        let ticket = StatementTicket {
            statement_id: id.clone(),
            sql,
            substrait,
            pins: pins_to_proto(run.plan.pins()),
            parameters,
            parameters_id,
            update: run.is_update(),
            run: if run.is_update() { self.statements.run().to_owned() } else { String::new() },
            part: None,
            transaction: id_of(run.plan.session()),
        };
        self.statements.keep_planned(id, Planned { plan: run.plan, session: session.id() }).await;
        Ok(ticket)
    }

    /// DoGet of a statement's ticket.
    pub(crate) async fn open_statement(
        &self,
        session: &Arc<Session>,
        ticket: StatementTicket,
        encoding: Encoding,
    ) -> Result<Answer> {
        // Before it is planned: whether it ran is not known here, and running it twice is worse than not running it.
        if ticket.update && ticket.run != self.statements.run() {
            return Err(Error::ElsewhereRun);
        }
        self.statements.check_cancelled(&ticket.statement_id)?;
        let run = self.ticket_run(session, &ticket).await?;
        if ticket.update && !self.statements.spend(ticket.statement_id.clone()).await {
            return Err(Error::AlreadyRun);
        }
        let part = ticket.part.as_ref().map(parts::from_proto);
        if let Some(opened) = self.background.take(&ticket.statement_id, part.as_ref()).await {
            return self.resume(run.wire_schema(encoding)?, opened?, &ticket.statement_id);
        }
        match part {
            Some(part) => self.run_part(run, part, encoding, &ticket.statement_id).await,
            None => self.run(run, encoding, &ticket.statement_id).await,
        }
    }

    /// The statement of a ticket, with its values: planned for it on this server, or planned again.
    pub(super) async fn ticket_run(&self, session: &Arc<Session>, ticket: &StatementTicket) -> Result<Runnable> {
        let plan = match self.statements.planned(&ticket.statement_id).await {
            Some(planned) => {
                self.check_readable(&planned.plan)?;
                planned.plan
            }
            None => {
                let inside = self.within(session, &ticket.transaction)?;
                let source = required(&ticket.sql, &ticket.substrait)?;
                self.plan(&inside, &source, &pins_from_proto(&ticket.pins)?).await?
            }
        };
        let parameters = self.placed_parameters(&ticket.parameters, &ticket.parameters_id).await?;
        Ok(Runnable { plan, parameters })
    }

    /// Refuses what reads a transaction that was rolled back: its files may be gone. What was committed can be read to the end.
    fn check_readable(&self, plan: &Plan) -> Result<()> {
        match plan.session().own_transaction() {
            Some(transaction) if transaction.is_rolled_back() => Err(Error::server(
                ErrorKind::NotFound,
                "the transaction in which this statement was sent was rolled back; send the statement again",
            )),
            _ => Ok(()),
        }
    }

    /// Goes on with a query that was polled, or with a part of one.
    fn resume(&self, schema: SchemaRef, opened: Opened, id: &str) -> Result<Answer> {
        let Opened { first, rest, listed } = opened;
        let mut rows = self.rows(schema, Box::new(iter::empty()), id);
        if let Some(batch) = first {
            rows.ready.extend(rows.converter.convert(batch)?);
        }
        rows.current = Some((rest, listed));
        Ok(rows.answer())
    }

    /// Runs a statement now.
    pub(super) async fn run(&self, run: Runnable, encoding: Encoding, id: &str) -> Result<Answer> {
        run.check()?;
        if run.is_update() {
            let count = self.run_update(run).await?;
            return update::answer(count);
        }
        let schema = run.wire_schema(encoding)?;
        self.stream(schema, bound_runs(run), id).await
    }

    /// Runs one part of a statement's rows.
    async fn run_part(&self, run: Runnable, part: Part, encoding: Encoding, id: &str) -> Result<Answer> {
        run.check()?;
        let schema = run.wire_schema(encoding)?;
        let plan = run.only_plan()?.ok_or_else(|| Error::invalid("the ticket is for a part of what has no parts"))?;
        let group = id.to_owned();
        let start = async move { Ok(plan.execute_part(&part, &group).await?) };
        self.stream(schema, Box::new(iter::once(start.boxed())), id).await
    }

    async fn stream(&self, schema: SchemaRef, runs: Runs, id: &str) -> Result<Answer> {
        let mut rows = self.rows(schema, runs, id);
        // The first run starts here, so that its errors are the RPC's.
        rows.start_next().await?;
        Ok(rows.answer())
    }

    fn rows(&self, schema: SchemaRef, runs: Runs, id: &str) -> Rows {
        Rows {
            converter: Converter::new(schema),
            runs,
            current: None,
            ready: VecDeque::new(),
            running: self.running.clone(),
            statement: id.to_owned(),
        }
    }

    /// Runs a query and throws its rows away.
    pub(super) async fn drain(&self, run: Runnable) -> Result<()> {
        let answer = self.run(run, Encoding::Fast, &new_id()).await?;
        answer.stream.try_for_each(|_| async { Ok(()) }).await
    }
}

/// A new statement id.
pub(super) fn new_id() -> String {
    skein_model::QueryId::generate().to_string()
}

/// The runs of a statement, one after the other, each to be started.
type Runs = Box<dyn Iterator<Item = BoxFuture<'static, Result<QueryStream>>> + Send>;

/// One run per set of values; just one where there are no parameters.
fn bound_runs(run: Runnable) -> Runs {
    let Runnable { plan, parameters } = run;
    match parameters {
        Some(parameters) if !plan.parameters().is_empty() => Box::new(parameters.into_rows().map(move |row| {
            let bound = row.and_then(|row| Ok(plan.bind(&row)?));
            async move { Ok(bound?.execute().await?) }.boxed()
        })),
        _ => Box::new(iter::once(async move { Ok(plan.execute().await?) }.boxed())),
    }
}

/// The rows of all runs, one after the other, in the types they go out in.
struct Rows {
    converter: Converter,
    runs: Runs,
    current: Option<(QueryStream, RunningQuery)>,
    ready: VecDeque<RecordBatch>,
    running: Running,
    statement: String,
}

impl Rows {
    /// Starts the next run; false when there is none.
    async fn start_next(&mut self) -> Result<bool> {
        let Some(run) = self.runs.next() else { return Ok(false) };
        let rows = run.await?;
        let listed = self.running.add(&self.statement, rows.query_id());
        self.current = Some((rows, listed));
        Ok(true)
    }

    fn answer(self) -> Answer {
        let query_id = self.current.as_ref().map(|(rows, _)| rows.query_id());
        let schema = Arc::clone(self.converter.schema());
        Answer { schema, stream: stream::try_unfold(self, Rows::next).boxed(), query_id }
    }

    async fn next(mut self) -> Result<Option<(RecordBatch, Self)>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some((batch, self)));
            }
            let Some((rows, _)) = &mut self.current else {
                match self.start_next().await? {
                    true => continue,
                    false => return Ok(None),
                }
            };
            match rows.next().await {
                Some(batch) => self.ready.extend(self.converter.convert(batch?)?),
                None => self.current = None,
            }
        }
    }
}
