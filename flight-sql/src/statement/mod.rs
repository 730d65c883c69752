//! Statements between Prepare, GetFlightInfo and DoGet: their plans, their parameters, their tickets.

mod cache;
mod parameters;
mod running;

pub(crate) use cache::{NoteChange, Planned, Statements};
pub(crate) use parameters::{Parameters, collect};
pub(crate) use running::{Running, RunningQuery};
