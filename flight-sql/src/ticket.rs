//! FlightInfos and the signed tickets in them.

use arrow_flight::{FlightDescriptor, FlightEndpoint, FlightInfo, Ticket};
use arrow_schema::Schema;
use bytes::Bytes;
use prost_types::Timestamp;
use skein_proto::{Pin, StatementTicket, TicketKey, TicketKind, TicketPayload};
use skein_query::{Pins, Session, Source};

use crate::{Call, Error, FlightSql, Result, command::schema_message};

/// Statements up to this length travel in tickets and handles; longer ones stay on the server.
const INLINE_BYTES: usize = 256 << 10;

/// What of a statement to put into a ticket or a handle: its text, or its Substrait plan.
pub(crate) fn inline(source: &Source) -> (String, Bytes) {
    match source {
        long if long.size() > INLINE_BYTES => Default::default(),
        Source::Sql(text) => (text.as_ref().to_owned(), Bytes::new()),
        Source::Substrait(plan) => (String::new(), plan.clone()),
    }
}

/// The statement in a ticket or a handle.
pub(crate) fn required(sql: &str, substrait: &Bytes) -> Result<Source> {
    match (sql.is_empty(), substrait.is_empty()) {
        (true, true) => Err(Error::StatementGone),
        (false, _) => Ok(Source::from(sql)),
        (true, false) => Ok(Source::Substrait(substrait.clone())),
    }
}

pub(crate) fn pins_to_proto(pins: &Pins) -> Vec<Pin> {
    pins.iter().map(|(dataset, version)| Pin { dataset: dataset.to_string(), version: *version }).collect()
}

pub(crate) fn pins_from_proto(pins: &[Pin]) -> Result<Pins> {
    pins.iter()
        .map(|pin| {
            let dataset = pin.dataset.parse().map_err(|_| Error::invalid("the ticket names a dataset wrongly"))?;
            Ok((dataset, pin.version))
        })
        .collect()
}

impl FlightSql {
    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.now().timestamp_millis()).unwrap_or(0)
    }

    fn expiry_ms(&self) -> u64 {
        self.now_ms().saturating_add(u64::try_from(self.options.ticket_ttl.as_millis()).unwrap_or(u64::MAX))
    }

    /// A FlightInfo with an endpoint for each ticket, on this server. Without a schema it leaves it to the stream to tell.
    pub(crate) fn info(
        &self,
        call: &Call,
        descriptor: &FlightDescriptor,
        schema: Option<&Schema>,
        tickets: Vec<TicketKind>,
    ) -> Result<FlightInfo> {
        let mut info = FlightInfo::new().with_descriptor(descriptor.clone()).with_ordered(true);
        info.endpoint = tickets.into_iter().map(|kind| self.endpoint(&self.payload(call, kind))).collect();
        if let Some(schema) = schema {
            info.schema = schema_message(schema)?;
        }
        Ok(info)
    }

    /// What a ticket that is made now holds.
    pub(crate) fn payload(&self, call: &Call, kind: TicketKind) -> TicketPayload {
        TicketPayload {
            expires_unix_ms: self.expiry_ms(),
            principal: call.principal().name.clone(),
            encoding: call.encoding().to_proto(),
            kind: Some(kind),
        }
    }

    pub(crate) fn endpoint(&self, payload: &TicketPayload) -> FlightEndpoint {
        let endpoint = FlightEndpoint::new().with_ticket(Ticket::new(self.key.sign_ticket(payload)));
        match runs_once(payload) {
            true => endpoint,
            // An expiration time says, too, that the ticket may be used again until then.
            false => endpoint.with_expiration_time(timestamp(payload.expires_unix_ms)),
        }
    }

    /// The same endpoint with a ticket that is valid for as long as a new one.
    ///
    /// # Errors
    /// `InvalidInput` without a ticket of ours, for one that has expired, and for that of an update, which works once; `PermissionDenied`
    /// for tickets that are forged or another principal's.
    pub(crate) fn renewed(&self, session: &Session, endpoint: &FlightEndpoint) -> Result<FlightEndpoint> {
        let ticket =
            endpoint.ticket.as_ref().filter(|ticket| TicketKey::is_ticket(&ticket.ticket)).ok_or_else(|| {
                Error::invalid(
                    "the endpoint has no ticket of this server; send one of those that GetFlightInfo answered with",
                )
            })?;
        let payload = self.key.verify_ticket(&ticket.ticket, &session.principal().name, self.now_ms())?;
        if runs_once(&payload) {
            return Err(Error::invalid(
                "the ticket of an update works once and is not renewed; send the statement again to run it later",
            ));
        }
        let renewed = self.endpoint(&TicketPayload { expires_unix_ms: self.expiry_ms(), ..payload });
        Ok(FlightEndpoint { ticket: renewed.ticket, expiration_time: renewed.expiration_time, ..endpoint.clone() })
    }
}

fn runs_once(payload: &TicketPayload) -> bool {
    matches!(&payload.kind, Some(TicketKind::Statement(StatementTicket { update: true, .. })))
}

pub(crate) fn timestamp(unix_ms: u64) -> Timestamp {
    let seconds = i64::try_from(unix_ms / 1000).unwrap_or(i64::MAX);
    let nanos = i32::try_from(unix_ms % 1000).unwrap_or(0) * 1_000_000;
    Timestamp { seconds, nanos }
}

#[cfg(test)]
mod tests {
    use skein_model::DatasetId;

    use super::*;

    #[test]
    fn pins_survive() {
        let pins = Pins::from([(DatasetId::generate(), 3), (DatasetId::generate(), 1)]);
        assert_eq!(pins_from_proto(&pins_to_proto(&pins)).unwrap(), pins);
        assert!(pins_from_proto(&[Pin { dataset: "x".into(), version: 1 }]).is_err());
    }

    #[test]
    fn long_statements_stay_at_home() {
        let travels = |source: &Source| {
            let (sql, substrait) = inline(source);
            required(&sql, &substrait)
        };
        for short in [Source::from("select 1"), Source::Substrait("a plan".into())] {
            assert_eq!(travels(&short).unwrap(), short);
        }
        let long = " ".repeat(INLINE_BYTES + 1);
        for long in [Source::from(long.as_str()), Source::Substrait(long.into())] {
            assert!(matches!(travels(&long), Err(Error::StatementGone)));
        }
    }

    #[test]
    fn times() {
        assert_eq!(timestamp(1_234), Timestamp { seconds: 1, nanos: 234_000_000 });
    }
}
