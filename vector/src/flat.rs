//! Vectors in a row, compared one by one.

use crate::{
    Error, Metric, Neighbours, Result, SearchParams, Selection, VectorIndex, check,
    kernel::{self, Sum},
    nearest::{Candidate, Nearest},
    pool,
};

/// Bytes of vectors that are compared with all queries of a piece before the next ones are: half of a small second-level cache.
const BLOCK_BYTES: usize = 128 << 10;

/// All vectors, compared one by one: exact. For the rows that an index does not have yet, for few rows, and to measure other indexes by.
#[derive(Debug, Clone)]
pub struct FlatIndex {
    dimension: usize,
    metric: Metric,
    /// End to end; under cosine each is 1 long.
    vectors: Vec<f32>,
}

impl FlatIndex {
    /// An empty one for vectors of `dimension` numbers.
    ///
    /// # Errors
    /// `InvalidInput` for a dimension of 0 or above [`crate::MAX_DIMENSION`].
    pub fn new(dimension: usize, metric: Metric) -> Result<Self> {
        Self::from_vectors(dimension, metric, Vec::new())
    }

    /// One of these vectors, which lie end to end.
    ///
    /// # Errors
    /// As [`FlatIndex::add`].
    pub fn from_vectors(dimension: usize, metric: Metric, mut vectors: Vec<f32>) -> Result<Self> {
        check::dimension(dimension)?;
        let count = check::vectors(&vectors, dimension, metric, "vector")?;
        room_for(count)?;
        if metric == Metric::Cosine {
            check::normalise(&mut vectors, dimension);
        }
        Ok(Self { dimension, metric, vectors })
    }

    /// Adds vectors, which lie end to end, at the next positions.
    ///
    /// # Errors
    /// `InvalidInput` for numbers that are no whole number of vectors or not finite, for a vector of zeros under cosine, and for more than 2^32 - 1
    /// vectors. Nothing is added then.
    pub fn add(&mut self, vectors: &[f32]) -> Result<()> {
        let count = check::vectors(vectors, self.dimension, self.metric, "vector")?;
        room_for(self.vectors.len() / self.dimension + count)?;
        let before = self.vectors.len();
        self.vectors.extend_from_slice(vectors);
        if self.metric == Metric::Cosine {
            check::normalise(&mut self.vectors[before..], self.dimension);
        }
        Ok(())
    }

    /// The queries as they are compared.
    fn prepared(&self, queries: &[f32]) -> Result<Vec<f32>> {
        check::vectors(queries, self.dimension, self.metric, "query")?;
        let mut queries = queries.to_vec();
        if self.metric == Metric::Cosine {
            check::normalise(&mut queries, self.dimension);
        }
        Ok(queries)
    }

    /// Gives each query the selected positions in order, with their distances.
    fn compare(&self, queries: &[f32], selection: Selection<'_>, mut each: impl FnMut(usize, Candidate)) {
        let sum = if self.metric == Metric::L2 { Sum::Squares } else { Sum::Products };
        let block = (BLOCK_BYTES / 4 / self.dimension).max(1);
        let mut sums = vec![0.0; block];
        for range in selection.ranges(self.len()) {
            let last = range.end as usize;
            for first in (range.start as usize..last).step_by(block) {
                let rows = first..last.min(first + block);
                let vectors = &self.vectors[rows.start * self.dimension..rows.end * self.dimension];
                for (query, numbers) in queries.chunks_exact(self.dimension).enumerate() {
                    kernel::sums(sum, numbers, vectors, &mut sums[..rows.len()]);
                    for (position, sum) in
                        (range.start + small(first - range.start as usize)..).zip(&sums[..rows.len()])
                    {
                        each(query, Candidate { distance: self.distance(*sum), position });
                    }
                }
            }
        }
    }

    fn distance(&self, sum: f32) -> f32 {
        match self.metric {
            Metric::L2 => sum.sqrt(),
            // Rounding takes it out of its range otherwise.
            Metric::Cosine => (1.0 - sum).clamp(0.0, 2.0),
            Metric::InnerProduct => 0.0 - sum,
        }
    }
}

fn room_for(count: usize) -> Result<()> {
    if u32::try_from(count).is_ok() {
        return Ok(());
    }
    Err(Error::Invalid(format!("{count} vectors are more than the {} that an index can hold", u32::MAX)))
}

/// Of a number that was an u32.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl VectorIndex for FlatIndex {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn len(&self) -> u32 {
        small(self.vectors.len() / self.dimension)
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn memory_bytes(&self) -> u64 {
        self.vectors.capacity() as u64 * 4
    }

    fn search(&self, queries: &[f32], k: usize, _: &SearchParams, selection: Selection<'_>) -> Result<Neighbours> {
        check::k(k)?;
        let queries = self.prepared(queries)?;
        let selected = usize::try_from(selection.count(self.len())).unwrap_or(usize::MAX);
        pool::answer(&queries, self.dimension, |queries| {
            let mut nearest: Vec<_> =
                (0..queries.len() / self.dimension).map(|_| Nearest::new(k.min(selected.max(1)), selected)).collect();
            self.compare(queries, selection, |query, candidate| nearest[query].offer(candidate));
            let mut found = Neighbours::new();
            for nearest in nearest {
                found.push(nearest.into_sorted().into_iter().map(|found| (found.position, found.distance)));
            }
            Ok(found)
        })
    }

    fn search_within(
        &self,
        queries: &[f32],
        radius: f32,
        _: &SearchParams,
        selection: Selection<'_>,
    ) -> Result<Neighbours> {
        check::radius(radius)?;
        let queries = self.prepared(queries)?;
        pool::answer(&queries, self.dimension, |queries| {
            let mut within = vec![Vec::new(); queries.len() / self.dimension];
            self.compare(queries, selection, |query, candidate| {
                if candidate.distance <= radius {
                    within[query].push(candidate);
                }
            });
            let mut found = Neighbours::new();
            for mut within in within {
                within.sort_unstable();
                found.push(within.into_iter().map(|found| (found.position, found.distance)));
            }
            Ok(found)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_vectors_are_found_at_the_next_positions() {
        let mut index = FlatIndex::new(2, Metric::L2).unwrap();
        index.add(&[0.0, 0.0, 3.0, 4.0]).unwrap();
        index.add(&[1.0, 0.0]).unwrap();
        let found = index.search(&[0.0, 0.0], 2, &SearchParams::default(), Selection::All).unwrap();
        assert_eq!(found.of(0).collect::<Vec<_>>(), [(0, 0.0), (2, 1.0)]);
        let within = index.search_within(&[0.0, 0.0], 5.0, &SearchParams::default(), Selection::All).unwrap();
        assert_eq!(within.positions, [0, 2, 1]);
    }

    #[test]
    fn a_refused_batch_adds_nothing() {
        let mut index = FlatIndex::new(2, Metric::Cosine).unwrap();
        assert!(index.add(&[1.0, 0.0, 0.0, 0.0]).is_err());
        assert_eq!(index.len(), 0);
        assert!(FlatIndex::new(0, Metric::L2).is_err());
    }
}
