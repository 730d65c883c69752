//! Statements between Prepare, GetFlightInfo and DoGet: their plans, their parameters, their tickets.

mod background;
mod cache;
mod parameters;
mod running;

pub(crate) use background::{ABANDONED, Background, Opened, Told};
pub(crate) use cache::{NoteChange, Planned, Statements};
pub(crate) use parameters::{Parameters, collect};
pub(crate) use running::{Running, RunningQuery};
