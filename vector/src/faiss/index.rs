//! An index of FAISS that is complete.

use std::{fmt, path::Path};

use super::{builder::metric, file, handle::Handle, search};
use crate::{
    Error, IndexKind, IndexSpec, Metric, Neighbours, Result, SearchParams, Selection, VectorIndex, check, pool,
};

/// An index of FAISS. It does not change any more; any number of threads may search it.
pub struct FaissIndex {
    pub(super) handle: Handle,
    pub(super) kind: IndexKind,
    metric: Metric,
    dimension: usize,
    len: u32,
}

impl fmt::Debug for FaissIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaissIndex")
            .field("kind", &self.kind)
            .field("metric", &self.metric)
            .field("dimension", &self.dimension)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

impl FaissIndex {
    pub(super) fn new(handle: Handle, kind: IndexKind, metric: Metric) -> Result<Self> {
        let dimension = handle.dimension()?;
        let len = u32::try_from(handle.shape.rows)
            .map_err(|_| Error::Internal(format!("an index of {} vectors", handle.shape.rows)))?;
        Ok(Self { handle, kind, metric, dimension, len })
    }

    /// Writes it to a file, which is made anew and synced. The file ends in a checksum.
    ///
    /// # Errors
    /// [`Error::Local`] where it cannot be written, for instance because the disk is full; what was written so far is left there.
    pub fn write(&self, path: &Path) -> Result<()> {
        file::write(&self.handle, path)
    }

    /// Reads what [`FaissIndex::write`] wrote: an index of this spec, of `rows` vectors of `dimension` numbers.
    ///
    /// # Errors
    /// [`Error::Local`] where it cannot be read, [`Error::Damaged`] where it is cut off, changed, or of another dimension, metric or number of vectors.
    pub fn read(path: &Path, spec: &IndexSpec, dimension: usize, rows: u32) -> Result<Self> {
        let damaged = |reason| Error::Damaged { path: path.to_owned(), reason };
        let handle = file::read(path)?;
        let index = Self::new(handle, spec.kind, spec.metric)?;
        if index.dimension != dimension || index.len != rows {
            return Err(damaged(format!(
                "it is of {} vectors of {} numbers, not of {rows} of {dimension}",
                index.len, index.dimension
            )));
        }
        if index.handle.shape.metric != metric(spec.metric) {
            return Err(damaged(format!("it is not of the metric {}", spec.metric)));
        }
        Ok(index)
    }

    /// The vector at a position as the index holds it: approximately where it is compressed, and 1 long under cosine.
    ///
    /// # Errors
    /// `InvalidInput` for a position past the end; where the index cannot give vectors back.
    pub fn vector(&self, position: u32) -> Result<Vec<f32>> {
        self.handle.reconstruct(position)
    }

    /// Whether [`SearchParams::exact`] works: full vectors are held.
    pub fn is_exact(&self) -> bool {
        self.is_empty() || self.handle.shape.exact != 0
    }

    /// The queries as FAISS gets them.
    fn prepared(&self, queries: &[f32]) -> Result<Vec<f32>> {
        check::vectors(queries, self.dimension, self.metric, "query")?;
        let mut queries = queries.to_vec();
        if self.metric == Metric::Cosine {
            check::normalise(&mut queries, self.dimension);
        }
        Ok(queries)
    }
}

impl VectorIndex for FaissIndex {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn len(&self) -> u32 {
        self.len
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn memory_bytes(&self) -> u64 {
        let shape = &self.handle.shape;
        shape.fixed_bytes.saturating_add(shape.row_bytes.saturating_mul(shape.rows))
    }

    fn search(&self, queries: &[f32], k: usize, params: &SearchParams, selection: Selection<'_>) -> Result<Neighbours> {
        check::k(k)?;
        let queries = self.prepared(queries)?;
        let search = search::Search::new(self, params, selection)?;
        pool::answer(&queries, self.dimension, |queries| search.nearest(queries, k))
    }

    fn search_within(
        &self,
        queries: &[f32],
        radius: f32,
        params: &SearchParams,
        selection: Selection<'_>,
    ) -> Result<Neighbours> {
        check::radius(radius)?;
        let queries = self.prepared(queries)?;
        let search = search::Search::new(self, params, selection)?;
        pool::answer(&queries, self.dimension, |queries| search.within(queries, radius))
    }
}
