//! What reads bytes of clients, for the fuzz targets. Not an interface for others.

use arrow_flight::FlightDescriptor;
use bytes::Bytes;
use prost::Message as _;
use skein_proto::{PollTicket, TicketKind, TicketPayload};

use crate::{
    request::{Put, Request},
    ticket::pins_from_proto,
};

/// A descriptor, and the bytes of a command or a ticket that is not one of ours.
pub fn descriptor(bytes: &[u8]) {
    let _read = Request::of_bytes("ticket", &Bytes::copy_from_slice(bytes));
    for descriptor in [FlightDescriptor::decode(bytes).ok(), Some(FlightDescriptor::new_cmd(bytes.to_vec()))] {
        let Some(descriptor) = descriptor else { continue };
        let _read = Request::of_descriptor(&descriptor);
        if Put::is_sql(&descriptor) {
            let _put = Put::of_descriptor(&descriptor);
        }
    }
}

/// A Substrait plan.
pub fn substrait(bytes: &[u8]) {
    skein_query::fuzz::substrait(bytes);
}

/// What a ticket says about the versions to read.
pub fn pins(ticket: &TicketPayload) {
    if let Some(TicketKind::Statement(statement) | TicketKind::Poll(PollTicket { statement: Some(statement), .. })) =
        &ticket.kind
    {
        let _pins = pins_from_proto(&statement.pins);
    }
}
