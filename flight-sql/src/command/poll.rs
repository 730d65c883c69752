//! PollFlightInfo: a query that takes long runs while its client asks how far it is.
//!
//! What streams at once, and what changes something, is complete at the first poll: its ticket runs it. Anything else is started; until its
//! first rows are there, the answer has no endpoint, and in `app_metadata` the ticket by which the query can be cancelled. The descriptor to ask
//! with again holds the same ticket. It has all that is needed to start over, so a server that knows nothing of the query does that.

use std::time::Duration;

use arrow_flight::{
    FlightDescriptor, FlightInfo, PollInfo, Ticket,
    sql::{ProstMessageExt, TicketStatementQuery},
};
use bytes::Bytes;
use prost::Message as _;
use skein_proto::{TicketKind, TicketPayload};
use skein_query::{Pins, PlanKind};

use super::statement::Runnable;
use crate::{
    Call, Error, FlightSql, Result,
    command::schema_message,
    encoding::Encoding,
    request::Request,
    statement::{ABANDONED, Told},
    ticket::timestamp,
};

/// How long the first poll waits: many queries are there by then.
const FIRST: Duration = Duration::from_millis(50);
/// How long the others wait for something to tell.
const LATER: Duration = Duration::from_secs(2);

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
        let alone = run.only_plan()?.filter(|plan| plan.kind() == PlanKind::Query && !plan.streams_at_once());
        let Some(plan) = alone else { return Ok(complete(self.flight_info(call, descriptor).await?)) };
        let schema = run.wire_schema(call.encoding())?;
        let ticket = self.keep(call, run).await?;
        let id = ticket.statement_id.clone();
        let payload = self.payload(call, TicketKind::Statement(ticket));
        self.background.start(&id, plan, &self.running);
        let told = self.background.ask(&id, FIRST).await.unwrap_or(Ok(Told::Ready))?;
        let mut info = FlightInfo::new().with_descriptor(descriptor.clone()).with_ordered(true);
        info.schema = schema_message(&schema)?;
        Ok(self.tell(info, &payload, told))
    }

    /// A poll with the descriptor of the poll before.
    async fn poll_again(&self, call: &Call, descriptor: &FlightDescriptor, ticket: &Bytes) -> Result<PollInfo> {
        let payload = self.key.verify_ticket(ticket, &call.principal().name, self.now_ms())?;
        let Some(TicketKind::Statement(statement)) = &payload.kind else {
            return Err(Error::invalid("the ticket is not that of a query; ask with the descriptor of the last poll"));
        };
        if statement.update {
            return Err(Error::invalid("an update is not polled; its ticket runs it"));
        }
        let id = &statement.statement_id;
        self.statements.check_cancelled(id)?;
        let run = self.ticket_run(call, statement).await?;
        let schema = run.wire_schema(Encoding::from_proto(payload.encoding))?;
        let told = match self.background.ask(id, LATER).await {
            Some(told) => told?,
            // Another server has it, or it waited for too long.
            None => match run.only_plan()? {
                Some(plan) if !plan.streams_at_once() => {
                    self.background.start(id, plan, &self.running);
                    self.background.ask(id, LATER).await.unwrap_or(Ok(Told::Ready))?
                }
                _ => Told::Ready,
            },
        };
        let mut info = FlightInfo::new().with_descriptor(descriptor.clone()).with_ordered(true);
        info.schema = schema_message(&schema)?;
        Ok(self.tell(info, &payload, told))
    }

    fn tell(&self, mut info: FlightInfo, payload: &TicketPayload, told: Told) -> PollInfo {
        let endpoint = self.endpoint(payload);
        match told {
            Told::Ready => {
                info.endpoint = vec![endpoint];
                complete(info)
            }
            Told::Working(progress) => {
                let Ticket { ticket } = endpoint.ticket.unwrap_or_default();
                info.app_metadata = ticket.clone();
                let again = TicketStatementQuery { statement_handle: ticket };
                let abandoned = u64::try_from(ABANDONED.as_millis()).unwrap_or(u64::MAX);
                PollInfo {
                    info: Some(info),
                    flight_descriptor: Some(FlightDescriptor::new_cmd(again.as_any().encode_to_vec())),
                    progress,
                    expiration_time: Some(timestamp(self.now_ms().saturating_add(abandoned))),
                }
            }
        }
    }
}

fn complete(info: FlightInfo) -> PollInfo {
    PollInfo { info: Some(info), flight_descriptor: None, progress: Some(1.0), expiration_time: None }
}
