//! PollFlightInfo: a query that takes long runs while its client asks how far it is.
//!
//! What streams at once, and what changes something, is complete at the first poll: its tickets run it. Anything else is started. A query that runs
//! as a whole has no endpoint until its first rows are there. One that is divided runs in pieces, and the answer has the endpoints of those whose
//! first rows are there, in order. Until all are, `app_metadata` has the ticket by which the query can be cancelled, and the descriptor to ask with
//! again has all that is needed to start over, so a server that knows nothing of the query does that.

use std::time::Duration;

use arrow_flight::{
    FlightDescriptor, FlightInfo, PollInfo,
    sql::{ProstMessageExt, TicketStatementQuery},
};
use arrow_schema::Schema;
use bytes::Bytes;
use prost::Message as _;
use skein_proto::{PollTicket, StatementTicket, TicketKind, TicketPayload};
use skein_query::{Pins, Plan, PlanKind};

use super::{
    parts::{self, Division},
    statement::Runnable,
};
use crate::{
    Call, Error, FlightSql, Result,
    command::schema_message,
    encoding::Encoding,
    request::Request,
    statement::{ABANDONED, Told, Work},
    ticket::timestamp,
};

/// How long the first poll waits: many queries are there by then.
const FIRST: Duration = Duration::from_millis(50);
/// How long the others wait for something to tell.
const LATER: Duration = Duration::from_secs(2);

/// A query that is polled.
struct Polled {
    statement: StatementTicket,
    division: Division,
    /// How many of its endpoints the client has been told of.
    told: usize,
    /// What its tickets have in common.
    payload: TicketPayload,
}

impl FlightSql {
    /// PollFlightInfo.
    pub(crate) async fn poll_info(&self, call: &Call, descriptor: &FlightDescriptor) -> Result<PollInfo> {
        let (call, request) = &self.enter(call.clone(), Request::of_descriptor(descriptor)?)?;
        let run = match request {
            Request::Wrapped(ticket) => return self.poll_again(call, descriptor, ticket).await,
            Request::Statement(source) => {
                Runnable { plan: self.plan(call, source, &Pins::new()).await?, parameters: None }
            }
            Request::Prepared(handle) => self.prepared_run(call, handle).await?,
            Request::Table(_) | Request::Metadata(..) | Request::Within(..) => {
                return Ok(complete(self.flight_info(call, descriptor).await?));
            }
        };
        run.check()?;
        let Some(plan) = takes_time(&run)? else { return Ok(complete(self.flight_info(call, descriptor).await?)) };
        let schema = run.wire_schema(call.encoding())?;
        let division = parts::divide(call, &run)?;
        let statement = self.keep(call, run).await?;
        let payload = self.payload(call, TicketKind::Statement(statement.clone()));
        let polled = Polled { statement, division, told: 0, payload };
        self.start(&polled, plan);
        let told = self.ask(&polled, polled.division.endpoints(), FIRST).await?;
        self.tell(descriptor, &schema, polled, told.unwrap_or(ALL))
    }

    /// A poll with the descriptor of the poll before.
    async fn poll_again(&self, call: &Call, descriptor: &FlightDescriptor, ticket: &Bytes) -> Result<PollInfo> {
        let polled = self.polled(call, ticket)?;
        self.statements.check_cancelled(&polled.statement.statement_id)?;
        let run = self.ticket_run(call, &polled.statement).await?;
        let schema = run.wire_schema(Encoding::from_proto(polled.payload.encoding))?;
        let wanted = polled.told + 1;
        let told = match self.ask(&polled, wanted, LATER).await? {
            Some(told) => told,
            // Another server has it, or it waited for too long.
            None => match takes_time(&run)? {
                Some(plan) => {
                    self.start(&polled, plan);
                    self.ask(&polled, wanted, LATER).await?.unwrap_or(ALL)
                }
                None => ALL,
            },
        };
        self.tell(descriptor, &schema, polled, told)
    }

    /// What a poll asks again for.
    fn polled(&self, call: &Call, ticket: &Bytes) -> Result<Polled> {
        let wrong = |what| Error::invalid(format!("{what}; ask with the descriptor of the last poll"));
        let payload = self.key.verify_ticket(ticket, &call.principal().name, self.now_ms())?;
        let (statement, division, told) = match &payload.kind {
            Some(TicketKind::Statement(statement)) => (statement.clone(), Division::default(), 0),
            Some(TicketKind::Poll(PollTicket { statement: Some(statement), parts, told })) => {
                (statement.clone(), Division::again(parts), usize::try_from(*told).unwrap_or(usize::MAX))
            }
            _ => return Err(wrong("the ticket is not that of a query")),
        };
        if statement.update {
            return Err(Error::invalid("an update is not polled; its ticket runs it"));
        }
        if statement.part.is_some() {
            return Err(wrong("the ticket is that of one endpoint, which is there already"));
        }
        Ok(Polled { told: told.min(division.endpoints()), statement, division, payload })
    }

    fn start(&self, polled: &Polled, plan: Plan) {
        let work = Work {
            plan,
            parts: polled.division.parts().to_vec(),
            told: polled.told,
            at_once: self.engine.config().target_partitions,
        };
        self.background.start(&polled.statement.statement_id, work, &self.running);
    }

    async fn ask(&self, polled: &Polled, wanted: usize, patience: Duration) -> Result<Option<Told>> {
        self.background.ask(&polled.statement.statement_id, wanted, patience).await.transpose()
    }

    fn tell(&self, descriptor: &FlightDescriptor, schema: &Schema, polled: Polled, told: Told) -> Result<PollInfo> {
        let Polled { statement, division, payload, .. } = polled;
        let of = |kind| TicketPayload { kind: Some(kind), ..payload.clone() };
        let (ready, all) = (told.ready.min(division.endpoints()), division.endpoints());
        let there = division.tickets(statement.clone()).into_iter().take(ready);
        let mut info = FlightInfo::new().with_descriptor(descriptor.clone()).with_ordered(true);
        info.schema = schema_message(schema)?;
        info.endpoint = there.map(|ticket| self.endpoint(&of(TicketKind::Statement(ticket)))).collect();
        if ready == all {
            return Ok(complete(info));
        }
        let whole = self.key.sign_ticket(&of(TicketKind::Statement(statement.clone())));
        let again = match division.parts() {
            [] => whole.clone(),
            parts => self.key.sign_ticket(&of(TicketKind::Poll(PollTicket {
                statement: Some(statement),
                parts: parts.iter().map(parts::to_proto).collect(),
                told: u32::try_from(ready).unwrap_or(u32::MAX),
            }))),
        };
        info.app_metadata = whole;
        let again = TicketStatementQuery { statement_handle: again };
        let abandoned = u64::try_from(ABANDONED.as_millis()).unwrap_or(u64::MAX);
        Ok(PollInfo {
            info: Some(info),
            flight_descriptor: Some(FlightDescriptor::new_cmd(again.as_any().encode_to_vec())),
            progress: told.progress,
            expiration_time: Some(timestamp(self.now_ms().saturating_add(abandoned))),
        })
    }
}

/// All that there is: the tickets run it.
const ALL: Told = Told { ready: usize::MAX, progress: Some(1.0) };

/// The one query of `run`, bound, if its first rows take time.
fn takes_time(run: &Runnable) -> Result<Option<Plan>> {
    Ok(run.only_plan()?.filter(|plan| plan.kind() == PlanKind::Query && !plan.streams_at_once()))
}

fn complete(info: FlightInfo) -> PollInfo {
    PollInfo { info: Some(info), flight_descriptor: None, progress: Some(1.0), expiration_time: None }
}
