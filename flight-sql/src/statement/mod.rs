//! Statements between Prepare, GetFlightInfo and DoGet: their plans, their parameters, their tickets.

mod background;
mod cache;
mod job;
mod parameters;
mod running;

pub(crate) use background::Background;
pub(crate) use cache::{NoteChange, Planned, Statements};
pub(crate) use job::{ABANDONED, Opened, Told, Work};
pub(crate) use parameters::{Parameters, collect};
pub(crate) use running::{Running, RunningQuery};
