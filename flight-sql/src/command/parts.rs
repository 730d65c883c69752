//! Results in several endpoints: who gets them, and their tickets.

use skein_proto::{StatementPart, StatementTicket};
use skein_query::{Divisible, Part, PlanKind};

use super::statement::Runnable;
use crate::{Call, Result};

/// Bytes of data files that are worth an endpoint of their own when nobody has said how many there are to be.
const AUTO_BYTES: u64 = 32 << 20;
/// Most endpoints then.
const AUTO_MOST: u64 = 8;

/// How a statement's rows are divided among endpoints.
#[derive(Debug, Default)]
pub(super) struct Division {
    /// One per endpoint; not divided when there are none.
    parts: Vec<Part>,
    /// How many rows there are altogether, where that is known beforehand.
    pub rows: Option<u64>,
}

/// Divides the rows of a statement as the call asks for.
pub(super) fn divide(call: &Call, run: &Runnable) -> Result<Division> {
    let asked = call.delivery().partitions.is_some_and(|count| count > 1);
    // Values are for filters, and binding them is work that would be done for nothing.
    if run.plan.kind() == PlanKind::Update || (!asked && !run.plan.parameters().is_empty()) {
        return Ok(Division::default());
    }
    let Some(plan) = run.only_plan()? else { return Ok(Division::default()) };
    let Some(divisible) = plan.divisible() else { return Ok(Division::default()) };
    let parts = match endpoints(call, divisible) {
        0 | 1 => Vec::new(),
        count => plan.parts(count),
    };
    // One part is the whole, which reads on all cores.
    let parts = if parts.len() > 1 { parts } else { Vec::new() };
    Ok(Division { parts, rows: divisible.rows.filter(|_| divisible.whole) })
}

/// What is asked for; otherwise several for a large result that is not filtered, to a client that is known to read all of them.
fn endpoints(call: &Call, divisible: Divisible) -> usize {
    match call.delivery().partitions {
        Some(count) => count,
        None if call.may_divide() && divisible.whole => {
            usize::try_from((divisible.bytes / AUTO_BYTES).min(AUTO_MOST)).unwrap_or(1)
        }
        None => 1,
    }
}

impl Division {
    /// The same division again, as a poll was told of it.
    pub(super) fn again(parts: &[StatementPart]) -> Self {
        Self { parts: parts.iter().map(from_proto).collect(), rows: None }
    }

    pub(super) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// How many endpoints there are.
    pub(super) fn endpoints(&self) -> usize {
        self.parts.len().max(1)
    }

    /// The tickets of all endpoints, in order.
    pub(super) fn tickets(&self, ticket: StatementTicket) -> Vec<StatementTicket> {
        if self.parts.is_empty() {
            return vec![ticket];
        }
        self.parts.iter().map(|part| StatementTicket { part: Some(to_proto(part)), ..ticket.clone() }).collect()
    }
}

pub(super) fn to_proto(part: &Part) -> StatementPart {
    StatementPart { from: part.from(), to: part.to() }
}

/// The part that a ticket is for.
pub(super) fn from_proto(part: &StatementPart) -> Part {
    Part::new(part.from, part.to)
}
