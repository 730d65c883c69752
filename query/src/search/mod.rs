//! Searching by vectors: which parts of a plan an index can answer.

mod constant;
mod ranking;

pub(crate) use ranking::{Ranking, rankings, with_candidates};
