//! Making an index.

use std::{fmt, sync::Arc};

use super::{
    ffi,
    handle::{Handle, StopFlag},
    index::FaissIndex,
    plan::Plan,
};
use crate::{Error, IndexKind, IndexSpec, Metric, Result, SearchParams, Selection, VectorIndex, check};

/// Threads of one build, at most.
const MOST_THREADS: usize = 1_024;
/// Vectors of one index, at most: FAISS numbers them with 32 bits and a sign.
const MOST_ROWS: usize = i32::MAX as usize;

/// An index in the making: train it with a sample, add all vectors in order, finish.
///
/// Graphs are built faster from large pieces (tens of thousands of vectors): each call of [`Builder::add`] sets up locks and marks for all vectors so far.
pub struct Builder {
    spec: IndexSpec,
    dimension: usize,
    plan: Plan,
    handle: Handle,
    threads: i32,
    stop: Arc<StopFlag>,
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("plan", &self.plan)
            .field("rows", &self.handle.shape.rows)
            .finish_non_exhaustive()
    }
}

/// Ends a build from another thread, within about a second.
#[derive(Debug, Clone)]
pub struct Stopper(Arc<StopFlag>);

impl Stopper {
    /// Makes the [`Builder::train`] or [`Builder::add`] that is under way, and all later ones, return [`Error::Stopped`].
    pub fn stop(&self) {
        self.0.stop();
    }
}

impl Builder {
    /// For about `expected_rows` vectors of `dimension` numbers, built by `threads` threads (at least one).
    ///
    /// Parameters that the spec leaves open follow from the two: `docs/search.md` and `plan.rs` say how. Room for the expected rows is taken at once.
    ///
    /// # Errors
    /// `InvalidInput` for parameters that cannot be; `ResourceExhausted` where memory is refused.
    pub fn new(spec: IndexSpec, dimension: usize, expected_rows: usize, threads: usize) -> Result<Self> {
        most_rows(expected_rows)?;
        let plan = Plan::new(&spec, dimension, expected_rows)?;
        let mut handle = Handle::create(&plan.factory, dimension, metric(spec.metric), plan.ef_construction)?;
        handle.reserve(expected_rows)?;
        let threads = i32::try_from(threads.clamp(1, MOST_THREADS)).unwrap_or(1);
        Ok(Self { spec, dimension, plan, handle, threads, stop: Arc::default() })
    }

    /// FAISS's factory string of what is built.
    pub fn factory(&self) -> &str {
        &self.plan.factory
    }

    /// Vectors that have been added.
    pub fn rows(&self) -> usize {
        usize::try_from(self.handle.shape.rows).unwrap_or(usize::MAX)
    }

    /// How many vectors to train with, drawn at random from all; 0 where [`Builder::train`] need not be called.
    pub fn training_rows(&self) -> usize {
        if self.handle.shape.trained != 0 { 0 } else { self.plan.training }
    }

    /// Ends the build when asked to.
    pub fn stopper(&self) -> Stopper {
        Stopper(Arc::clone(&self.stop))
    }

    /// Trains the index with a sample of the vectors. Does nothing where there is nothing to train.
    ///
    /// # Errors
    /// `InvalidInput` for vectors that cannot be used, and for too few of them; [`Error::Stopped`].
    pub fn train(&mut self, sample: &[f32]) -> Result<()> {
        let rows = check::vectors(sample, self.dimension, self.spec.metric, "training vector")?;
        if self.handle.shape.trained != 0 {
            return Ok(());
        }
        if rows < self.plan.least_training {
            return Err(Error::Invalid(format!(
                "an index '{}' is trained with at least {} vectors, and {rows} were given; give it more, or ask for fewer lists",
                self.plan.factory, self.plan.least_training
            )));
        }
        self.not_stopped()?;
        let prepared = self.prepared(sample);
        self.handle.train(prepared.as_deref().unwrap_or(sample), self.threads, &self.stop)
    }

    /// Adds vectors, which lie end to end, at the next positions.
    ///
    /// # Errors
    /// `InvalidInput` for vectors that cannot be used, for more than 2^31 - 1 of them and before [`Builder::train`]; [`Error::Stopped`]. After an error
    /// other than `InvalidInput` the builder is of no use any more.
    pub fn add(&mut self, vectors: &[f32]) -> Result<()> {
        let rows = check::vectors(vectors, self.dimension, self.spec.metric, "vector")?;
        most_rows(self.rows() + rows)?;
        if self.handle.shape.trained == 0 {
            return Err(Error::Invalid(format!(
                "an index '{}' must be trained before vectors are added",
                self.plan.factory
            )));
        }
        self.not_stopped()?;
        let prepared = self.prepared(vectors);
        self.handle.add(prepared.as_deref().unwrap_or(vectors), self.threads, &self.stop)
    }

    /// The index of what was added.
    ///
    /// # Errors
    /// Where an index by factory string cannot be searched; [`Error::Stopped`].
    pub fn finish(self) -> Result<FaissIndex> {
        self.not_stopped()?;
        let by_factory = self.spec.kind == IndexKind::Factory;
        let index = FaissIndex::new(self.handle, self.spec.kind, self.spec.metric)?;
        if by_factory && !index.is_empty() {
            // Better now than when somebody looks for something.
            let mut query = vec![0.0; index.dimension()];
            query[0] = 1.0;
            index.search(&query, 1, &SearchParams::default(), Selection::All)?;
        }
        Ok(index)
    }

    fn not_stopped(&self) -> Result<()> {
        if self.stop.is_set() { Err(Error::Stopped) } else { Ok(()) }
    }

    /// The vectors as FAISS gets them, where that is not as they are.
    fn prepared(&self, vectors: &[f32]) -> Option<Vec<f32>> {
        (self.spec.metric == Metric::Cosine).then(|| {
            let mut vectors = vectors.to_vec();
            check::normalise(&mut vectors, self.dimension);
            vectors
        })
    }
}

/// FAISS's metric: the cosine is the inner product of vectors that are 1 long.
pub(super) fn metric(metric: Metric) -> i32 {
    match metric {
        Metric::L2 => ffi::L2,
        Metric::Cosine | Metric::InnerProduct => ffi::INNER_PRODUCT,
    }
}

fn most_rows(rows: usize) -> Result<()> {
    if rows <= MOST_ROWS {
        return Ok(());
    }
    Err(Error::Invalid(format!("{rows} vectors are more than the {MOST_ROWS} that an index can hold")))
}

/// Bytes of memory that building takes at its peak, about: the index, and either the training sample with what k-means makes of it or the locks and marks of
/// a graph. A batch that is being added is the caller's.
///
/// # Errors
/// `InvalidInput` for parameters that cannot be.
pub fn estimate(spec: &IndexSpec, dimension: usize, rows: usize) -> Result<u64> {
    most_rows(rows)?;
    let plan = Plan::new(spec, dimension, rows)?;
    let shape = Handle::create(&plan.factory, dimension, metric(spec.metric), plan.ef_construction)?.shape;
    let (rows, dimension) = (rows as u64, dimension as u64);
    let index = shape.fixed_bytes.saturating_add(shape.row_bytes.saturating_mul(rows));
    let training = (plan.training as u64).saturating_mul(dimension).saturating_mul(2 * 4);
    // A lock of 4 bytes and a mark of one byte for a handful of threads.
    let linking = if shape.graph != 0 { rows * 12 } else { 0 };
    Ok(index.saturating_add(training.max(linking)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_estimated_before_it_is_taken() {
        let bytes = |kind, rows| estimate(&IndexSpec::new(kind, Metric::L2), 768, rows).unwrap();
        let full = 1_000_000 * 768 * 4;
        assert!((full..full + full / 100).contains(&bytes(IndexKind::Flat, 1_000_000)));
        assert!((full + full / 20..full + full / 5).contains(&bytes(IndexKind::Hnsw, 1_000_000)));
        assert!(bytes(IndexKind::HnswSq8, 1_000_000) < full / 2);
        assert!(bytes(IndexKind::IvfPq, 1_000_000) < full);
        assert!(estimate(&IndexSpec::new(IndexKind::Flat, Metric::L2), 8, usize::MAX).is_err());
    }

    #[test]
    fn a_build_that_was_stopped_says_so() {
        let mut builder = Builder::new(IndexSpec::new(IndexKind::Hnsw, Metric::L2), 2, 100, 1).unwrap();
        builder.add(&[1.0, 2.0]).unwrap();
        builder.stopper().stop();
        assert!(matches!(builder.add(&[1.0, 2.0]), Err(Error::Stopped)));
        assert!(matches!(builder.finish(), Err(Error::Stopped)));
    }

    #[test]
    fn a_running_build_is_stopped_within_seconds() {
        let rows = 200_000;
        let mut builder = Builder::new(IndexSpec::new(IndexKind::Hnsw, Metric::L2), 16, rows, 2).unwrap();
        let stopper = builder.stopper();
        let mut state = 1_u32;
        let vectors: Vec<f32> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            f32::from(u16::try_from(state >> 16).unwrap())
        })
        .take(rows * 16)
        .collect();
        let asked = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(300));
            stopper.stop();
            std::time::Instant::now()
        });
        let ended = builder.add(&vectors);
        let now = std::time::Instant::now();
        assert!(matches!(ended, Err(Error::Stopped)), "{ended:?}");
        assert!(now.duration_since(asked.join().unwrap()).as_secs() < 3);
    }
}
