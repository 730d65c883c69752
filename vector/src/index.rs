//! The trait that all indexes have in common.

use std::fmt;

use crate::{Metric, Neighbours, Result, SearchParams, Selection};

/// Vectors at positions 0, 1, 2, ..., and a way to find those that are nearest to a query.
///
/// Searching takes `&self` and any number of threads may do so at a time. It uses the calling thread and may use others; it never waits for anything but
/// the processor, so async code calls it where blocking is allowed.
pub trait VectorIndex: fmt::Debug + Send + Sync {
    /// Numbers per vector.
    fn dimension(&self) -> usize;

    /// Vectors in it.
    fn len(&self) -> u32;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How distances are measured.
    fn metric(&self) -> Metric;

    /// Bytes of memory it takes, about.
    fn memory_bytes(&self) -> u64;

    /// The up to `k` nearest of the selected vectors for each query. `queries` are vectors end to end, each of [`VectorIndex::dimension`] finite numbers.
    ///
    /// Fewer than `k` come back for a query when fewer are selected; an approximate index may also miss some.
    ///
    /// # Errors
    /// `InvalidInput` for `k` of 0, for queries of another length, for components that are not finite, and for a vector of zeros under [`Metric::Cosine`].
    fn search(&self, queries: &[f32], k: usize, params: &SearchParams, selection: Selection<'_>) -> Result<Neighbours>;

    /// All selected vectors within `radius` of each query, nearest first. An approximate index may miss some.
    ///
    /// # Errors
    /// As [`VectorIndex::search`]; `InvalidInput` for a radius that is not a number.
    fn search_within(
        &self,
        queries: &[f32],
        radius: f32,
        params: &SearchParams,
        selection: Selection<'_>,
    ) -> Result<Neighbours>;
}
