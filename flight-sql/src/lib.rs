//! Flight SQL: commands, tickets and prepared statements turned into plans, and plans into streams of batches.
//!
//! Knows Flight's messages and nothing of the transport. One file per command family under `command/`; what a client may send in
//! a descriptor or a ticket is decided in `request.rs`; which columns go out and in which types in `encoding/`.
//!
//! The path of a query: [`FlightSql::flight_info`] decodes the descriptor, plans the statement once, keeps the plan in the
//! statement cache and answers with a signed ticket; [`FlightSql::open`] verifies the ticket, finds the plan (or plans again from
//! the ticket's text and pinned versions) and starts it.

mod call;
mod command;
mod encoding;
mod error;
mod facts;
#[doc(hidden)]
pub mod fuzz;
mod ingest;
mod put;
mod request;
mod service;
mod statement;
mod ticket;
mod transactions;
mod wire;

pub use call::{Call, HEADER_PREFIX};
pub use encoding::{Encoding, strip_column_metadata};
pub use error::{Error, Result};
pub use facts::{Options, ServerFacts};
pub use ingest::{Ingest, IngestMode, IngestRequest, Uploaded};
pub use put::{PutOutcome, PutStream};
pub use service::{Answer, BatchStream, CancelOutcome, FlightSql};
pub use wire::ActionCreatePreparedStatementResult;
