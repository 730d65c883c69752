//! From what to build to FAISS's factory string, with defaults that follow from the data.

use super::limits;
use crate::{IndexKind, IndexSpec, Result};

/// Fewer vectors than this are compared faster one by one than a list or a code is looked up.
const FEW: usize = 64;
/// Fewer vectors than this are not product-quantized: the 256 centroids of a code would be a good part of the vectors themselves.
const FEW_FOR_PQ: usize = 1_024;
/// `M` when none is given: FAISS's own default, and what hnswlib and FAISS's guidelines take for embeddings of some hundred numbers.
const DEFAULT_M: u32 = 32;
/// `efConstruction` when none is given: at M 32, 100,000 x 768 have recall 0.997 at ef 64 (docs/decisions/0023-faiss.md); FAISS's own 40 is quicker to build
/// and loses about a hundredth.
const DEFAULT_EF_CONSTRUCTION: u32 = 80;
/// Vectors per list at least: with fewer k-means has nothing to go by (FAISS's `min_points_per_centroid`).
const LEAST_PER_LIST: usize = 39;
/// Lists at most, unless more are asked for: FAISS's guideline for 10 to 100 million vectors.
const MOST_LISTS: usize = 262_144;
/// Vectors per list that k-means is given. FAISS's guidelines say 30 to 256; the time grows with it.
const SAMPLE_PER_LIST: usize = 64;
/// Vectors that codes are trained with: what FAISS itself samples down to for 256 centroids.
const SAMPLE_FOR_CODES: usize = 65_536;
/// Vectors that an index by factory string is trained with.
const SAMPLE_FOR_FACTORY: usize = 262_144;

/// What is built for so many vectors of that length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) factory: String,
    /// 0: FAISS's own.
    pub(super) ef_construction: u32,
    /// Vectors that training wants; 0 where there is nothing to train.
    pub(super) training: usize,
    /// Vectors that training needs at least.
    pub(super) least_training: usize,
}

impl Plan {
    pub(super) fn new(spec: &IndexSpec, dimension: usize, rows: usize) -> Result<Self> {
        limits::validate(spec, dimension)?;
        let lists = lists(spec.nlist, rows);
        let (factory, training) = match spec.kind {
            IndexKind::Factory => (spec.factory.clone().unwrap_or_default(), SAMPLE_FOR_FACTORY),
            IndexKind::Hnsw => (format!("HNSW{},Flat", spec.m.unwrap_or(DEFAULT_M)), 0),
            _ if rows < FEW => ("Flat".to_owned(), 0),
            // The last cannot come: it was refused.
            IndexKind::Flat | IndexKind::Bm25 => ("Flat".to_owned(), 0),
            IndexKind::HnswSq8 => (format!("HNSW{},SQ8", spec.m.unwrap_or(DEFAULT_M)), SAMPLE_FOR_CODES),
            IndexKind::IvfSq8 => (format!("IVF{lists},SQ8"), SAMPLE_FOR_CODES.max(lists * SAMPLE_PER_LIST)),
            IndexKind::IvfPq | IndexKind::IvfPqRefine if rows >= FEW_FOR_PQ => {
                let refined = if spec.kind == IndexKind::IvfPqRefine { ",RFlat" } else { "" };
                let parts = spec.pq_m.map_or_else(|| parts(dimension), |parts| parts as usize);
                // np: no polysemous training, which takes long and serves a way of searching that is not used.
                (format!("IVF{lists},PQ{parts}x8np{refined}"), SAMPLE_FOR_CODES.max(lists * SAMPLE_PER_LIST))
            }
            IndexKind::IvfFlat | IndexKind::IvfPq | IndexKind::IvfPqRefine => {
                (format!("IVF{lists},Flat"), lists * SAMPLE_PER_LIST)
            }
        };
        let graph = factory.starts_with("HNSW");
        let ef_construction = spec.ef_construction.unwrap_or(if graph { DEFAULT_EF_CONSTRUCTION } else { 0 });
        let least_training = match () {
            () if factory.contains("PQ") && spec.kind != IndexKind::Factory => lists.max(256),
            () if factory.starts_with("IVF") && spec.kind != IndexKind::Factory => lists,
            () => 1,
        };
        let training = training.max(if training > 0 { least_training } else { 0 }).min(rows);
        Ok(Self { factory, ef_construction, training, least_training })
    }
}

/// How many lists: 4 times the root of the number of vectors (FAISS's guideline has 4 to 16 times), so that finding the lists and looking into them cost
/// about the same. Never more than there are vectors, and by default never so many that k-means has less than it needs.
fn lists(asked: Option<u32>, rows: usize) -> usize {
    let most = rows.max(1);
    match asked {
        Some(asked) => (asked as usize).min(most),
        None => (4 * rows.isqrt()).min(rows / LEAST_PER_LIST).clamp(1, MOST_LISTS),
    }
}

/// How many codes per vector: about one for each 8 numbers, that is 1/32 of its size. It must divide the dimension, so the divisor with the ratio nearest to
/// that is taken, the larger of two.
fn parts(dimension: usize) -> usize {
    // Whichever of the two is larger, by how much.
    let off = |parts: usize| {
        let wanted = dimension;
        let has = parts * 8;
        (wanted.max(has) * 1_000) / wanted.min(has)
    };
    let divisors = (1..=dimension).rev().filter(|parts| dimension.is_multiple_of(*parts));
    divisors.min_by_key(|parts| off(*parts)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metric;

    fn plan(kind: IndexKind, dimension: usize, rows: usize) -> Plan {
        Plan::new(&IndexSpec::new(kind, Metric::L2), dimension, rows).unwrap()
    }

    #[test]
    fn defaults_follow_from_the_data() {
        let hnsw = plan(IndexKind::Hnsw, 768, 1_000_000);
        assert_eq!((hnsw.factory.as_str(), hnsw.ef_construction, hnsw.training), ("HNSW32,Flat", 80, 0));
        let ivf = plan(IndexKind::IvfFlat, 128, 1_000_000);
        assert_eq!((ivf.factory.as_str(), ivf.training, ivf.least_training), ("IVF4000,Flat", 256_000, 4_000));
        assert_eq!(plan(IndexKind::IvfPq, 768, 1_000_000).factory, "IVF4000,PQ96x8np");
        assert_eq!(plan(IndexKind::IvfPqRefine, 100, 10_000).factory, "IVF256,PQ10x8np,RFlat");
        assert_eq!(plan(IndexKind::HnswSq8, 768, 1_000).training, 1_000);
    }

    #[test]
    fn few_vectors_get_what_suits_them() {
        for kind in IndexKind::ALL
            .into_iter()
            .filter(|kind| !matches!(kind, IndexKind::Factory | IndexKind::Hnsw | IndexKind::Bm25))
        {
            for rows in [0, 1, 2, 63] {
                assert_eq!(plan(kind, 8, rows).factory, "Flat", "{kind} of {rows}");
            }
        }
        assert_eq!(plan(IndexKind::IvfPq, 8, 1_000).factory, "IVF25,Flat");
        assert_eq!(plan(IndexKind::IvfPq, 8, 1_024).least_training, 256);
    }

    #[test]
    fn there_are_never_more_lists_than_vectors() {
        let mut spec = IndexSpec::new(IndexKind::IvfFlat, Metric::L2);
        spec.nlist = Some(1_000);
        assert_eq!(Plan::new(&spec, 8, 100).unwrap().factory, "IVF100,Flat");
        assert_eq!(Plan::new(&spec, 8, 2_000).unwrap().training, 2_000);
    }

    #[test]
    fn codes_divide_the_dimension() {
        let chosen: Vec<_> = [1, 3, 8, 127, 128, 384, 768, 1_536].map(parts).into();
        assert_eq!(chosen, [1, 1, 1, 127, 16, 48, 96, 192]);
    }
}
