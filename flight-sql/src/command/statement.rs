//! CommandStatementQuery, and the run of any planned statement.

use std::{collections::VecDeque, sync::Arc};

use arrow::array::RecordBatch;
use arrow_flight::{FlightDescriptor, FlightInfo};
use arrow_schema::SchemaRef;
use futures::{StreamExt, TryStreamExt, stream};
use skein_proto::{StatementTicket, TicketKind};
use skein_query::{Pins, Plan, PlanKind, QueryStream, Session};

use super::update;
use crate::{
    Answer, Error, FlightSql, Result,
    encoding::{Converter, Encoding},
    statement::{Parameters, Planned, Running, RunningQuery},
    ticket::{inline_sql, pins_from_proto, pins_to_proto, required_sql},
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
    /// Plans text.
    pub(super) async fn plan(&self, session: &Arc<Session>, sql: &str, pins: &Pins) -> Result<Plan> {
        if sql.len() > self.facts.max_sql_bytes {
            return Err(Error::invalid(format!(
                "the statement is {} bytes long; the limit is {}. Load large values by bulk ingest or as parameters",
                sql.len(),
                self.facts.max_sql_bytes
            )));
        }
        if !pins.is_empty() {
            return Ok(session.plan(sql, pins).await?);
        }
        if let Some(plan) = self.statements.text(session.id(), sql).await {
            return Ok(plan);
        }
        let plan = session.plan(sql, pins).await?;
        self.statements.keep_text(session.id(), &plan).await;
        Ok(plan)
    }

    /// GetFlightInfo of a statement sent as text.
    pub(crate) async fn sql_info(
        &self,
        session: &Arc<Session>,
        descriptor: &FlightDescriptor,
        sql: &str,
    ) -> Result<FlightInfo> {
        let plan = self.plan(session, sql, &Pins::new()).await?;
        self.run_info(session, descriptor, Runnable { plan, parameters: None }, true).await
    }

    /// GetSchema of a statement sent as text.
    pub(crate) async fn sql_schema(&self, session: &Arc<Session>, sql: &str) -> Result<SchemaRef> {
        let plan = self.plan(session, sql, &Pins::new()).await?;
        Runnable { plan, parameters: None }.wire_schema(Encoding::of(session))
    }

    /// DoGet with the text itself as ticket.
    pub(crate) async fn open_sql(&self, session: &Arc<Session>, sql: &str) -> Result<Answer> {
        let plan = self.plan(session, sql, &Pins::new()).await?;
        self.run(Runnable { plan, parameters: None }, Encoding::of(session), &new_id()).await
    }

    /// A FlightInfo that runs a planned statement when its ticket is used. With `tell_update_schema` unset, the FlightInfo of an update has no schema:
    /// see [`FlightSql::flight_info`].
    pub(super) async fn run_info(
        &self,
        session: &Arc<Session>,
        descriptor: &FlightDescriptor,
        run: Runnable,
        tell_update_schema: bool,
    ) -> Result<FlightInfo> {
        run.check()?;
        let encoding = Encoding::of(session);
        let schema = run.wire_schema(encoding)?;
        let schema = (!run.is_update() || tell_update_schema).then_some(schema);
        let ticket = self.keep(session, run).await?;
        self.info(session, descriptor, schema.as_deref(), encoding, TicketKind::Statement(ticket))
    }

    /// Keeps the plan for the ticket, and makes the ticket.
    async fn keep(&self, session: &Session, run: Runnable) -> Result<StatementTicket> {
        let id = new_id();
        let (parameters, parameters_id) = match &run.parameters {
            Some(parameters) if !run.plan.parameters().is_empty() => self.place_parameters(parameters).await?,
            _ => Default::default(),
        };
        let ticket = StatementTicket {
            statement_id: id.clone(),
            sql: inline_sql(run.plan.sql()),
            pins: pins_to_proto(run.plan.pins()),
            parameters,
            parameters_id,
            update: run.is_update(),
            run: if run.is_update() { self.statements.run().to_owned() } else { String::new() },
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
        let plan = match self.statements.planned(&ticket.statement_id).await {
            Some(planned) => planned.plan,
            None => self.plan(session, required_sql(&ticket.sql)?, &pins_from_proto(&ticket.pins)?).await?,
        };
        let parameters = self.placed_parameters(&ticket.parameters, &ticket.parameters_id).await?;
        if ticket.update && !self.statements.spend(ticket.statement_id.clone()).await {
            return Err(Error::AlreadyRun);
        }
        self.run(Runnable { plan, parameters }, encoding, &ticket.statement_id).await
    }

    /// Runs a statement now.
    pub(super) async fn run(&self, run: Runnable, encoding: Encoding, id: &str) -> Result<Answer> {
        run.check()?;
        if run.is_update() {
            let count = self.run_update(run).await?;
            return update::answer(count);
        }
        let converter = Converter::new(run.wire_schema(encoding)?);
        let mut rows = Rows {
            converter,
            plans: bound_plans(run),
            current: None,
            ready: VecDeque::new(),
            running: self.running.clone(),
            statement: id.to_owned(),
        };
        // The first run starts here, so that its errors are the RPC's.
        rows.start_next().await?;
        let query_id = rows.current.as_ref().map(|(rows, _)| rows.query_id());
        let schema = Arc::clone(rows.converter.schema());
        let stream = stream::try_unfold(rows, Rows::next).boxed();
        Ok(Answer { schema, stream, query_id })
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

type BoundPlans = Box<dyn Iterator<Item = Result<Plan>> + Send>;

/// One plan per set of values; just the plan where there are no parameters.
fn bound_plans(run: Runnable) -> BoundPlans {
    let Runnable { plan, parameters } = run;
    match parameters {
        Some(parameters) if !plan.parameters().is_empty() => {
            Box::new(parameters.into_rows().map(move |row| Ok(plan.bind(&row?)?)))
        }
        _ => Box::new(std::iter::once(Ok(plan))),
    }
}

/// The rows of all runs, one after the other, in the types they go out in.
struct Rows {
    converter: Converter,
    plans: BoundPlans,
    current: Option<(QueryStream, RunningQuery)>,
    ready: VecDeque<RecordBatch>,
    running: Running,
    statement: String,
}

impl Rows {
    /// Starts the next run; false when there is none.
    async fn start_next(&mut self) -> Result<bool> {
        let Some(plan) = self.plans.next() else { return Ok(false) };
        let rows = plan?.execute().await?;
        let listed = self.running.add(&self.statement, rows.query_id());
        self.current = Some((rows, listed));
        Ok(true)
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
