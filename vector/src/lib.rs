//! Vector indexes: what finds the nearest of many vectors without looking at all of them.
//!
//! A [`VectorIndex`] holds vectors at positions 0, 1, 2, ... and answers which of them are nearest to a query, among all of them or among the positions that
//! a [`Selection`] allows. An [`IndexSpec`] says what to build, [`SearchParams`] how hard to look.

mod check;
pub mod definition;
mod error;
pub mod evaluation;
pub mod faiss;
mod flat;
pub mod generation;
#[cfg(test)]
mod golden;
mod index;
mod kernel;
mod metric;
mod nearest;
mod neighbours;
mod params;
mod pool;
mod selection;
mod spec;
pub mod tuning;

pub use error::{Error, Result};
pub use flat::FlatIndex;
pub use index::VectorIndex;
pub use metric::Metric;
pub use neighbours::Neighbours;
pub use params::{SearchDefaults, SearchParams};
pub use selection::Selection;
pub use spec::{IndexKind, IndexSpec, MAX_DIMENSION};
