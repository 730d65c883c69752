//! Which of several ways to build and search an index is the best: decisions about numbers that others have measured. Nothing in here reads or writes.

mod candidates;
mod choice;
mod pareto;
mod percentile;

pub use candidates::{candidates, searches};
pub use choice::{MARGIN, Measured, Verdict, choose, judge};
pub use pareto::front;
pub use percentile::latency;
