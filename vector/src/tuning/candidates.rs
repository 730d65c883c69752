//! What is worth trying, by how many vectors there are and how long they are.

use crate::{IndexKind, IndexSpec, Metric, SearchDefaults, faiss};

/// Up to so many vectors, comparing all is tried, too: they take some milliseconds.
const FEW: usize = 200_000;
/// From so many on lists and codes are worth it.
const MANY: usize = 10_000;
/// From so many numbers on, codes that are an eighth or less of a vector are worth it.
const LONG: usize = 32;
/// From so many numbers on, FAISS's code for each 4 numbers instead of each 8 is tried.
const HALVES: usize = 4;

/// Specs to try, the cheapest promising ones first: an inverted file builds in a fraction of a graph's time, and a graph with the defaults is what most end with.
///
/// Each is valid for `dimension`. There are none of kind `factory`: those are for who knows one.
pub fn candidates(metric: Metric, dimension: usize, rows: usize) -> Vec<IndexSpec> {
    let spec = |kind| IndexSpec::new(kind, metric);
    let graph = |kind, m, ef_construction| IndexSpec {
        m: Some(m),
        ef_construction: Some(ef_construction),
        ..IndexSpec::new(kind, metric)
    };
    let mut all = Vec::new();
    if rows <= FEW {
        all.push(spec(IndexKind::Flat));
    }
    if rows >= MANY {
        all.extend([spec(IndexKind::IvfFlat), spec(IndexKind::IvfSq8)]);
    }
    all.extend([graph(IndexKind::Hnsw, 16, 64), graph(IndexKind::HnswSq8, 16, 64), spec(IndexKind::Hnsw)]);
    if rows >= MANY && dimension >= LONG {
        all.extend([spec(IndexKind::IvfPq), spec(IndexKind::IvfPqRefine)]);
        if dimension.is_multiple_of(HALVES) {
            all.push(IndexSpec { pq_m: u32::try_from(dimension / HALVES).ok(), ..spec(IndexKind::IvfPq) });
        }
    }
    all.extend([graph(IndexKind::Hnsw, 32, 160), graph(IndexKind::HnswSq8, 32, 160)]);
    if rows >= MANY {
        all.push(graph(IndexKind::Hnsw, 48, 256));
    }
    all.retain(|spec| faiss::validate(spec, dimension).is_ok());
    all
}

/// Ways to search an index of a kind for `k` neighbours, the least effort first. Each is measured without building anything anew.
pub fn searches(kind: IndexKind, k: usize) -> Vec<SearchDefaults> {
    let k = u32::try_from(k).unwrap_or(u32::MAX);
    let none = SearchDefaults::default();
    let with_ef = |ef: u32| SearchDefaults { ef: Some(ef), ..none };
    let with_lists = |nprobe| SearchDefaults { nprobe: Some(nprobe), ..none };
    // At least k candidates are kept in any case.
    let efs = || [16, 24, 32, 48, 64, 96, 128, 192, 256, 400].into_iter().filter(move |ef| *ef >= k).map(with_ef);
    let lists = || [1, 2, 4, 8, 16, 32, 64, 128].map(with_lists);
    let refined = |refine| lists().map(|search| SearchDefaults { refine: Some(refine), ..search });
    match kind {
        IndexKind::Flat | IndexKind::Factory | IndexKind::Bm25 => vec![none],
        IndexKind::Hnsw | IndexKind::HnswSq8 => efs().collect(),
        IndexKind::IvfFlat | IndexKind::IvfSq8 => lists().to_vec(),
        IndexKind::IvfPq | IndexKind::IvfPqRefine => [4, 10, 20].into_iter().flat_map(refined).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn few_vectors_are_compared_and_many_are_compressed() {
        let kinds = |dimension, rows| {
            candidates(Metric::L2, dimension, rows).into_iter().map(|spec| spec.kind).collect::<Vec<_>>()
        };
        assert_eq!(kinds(8, 1_000)[0], IndexKind::Flat);
        assert!(!kinds(8, 1_000).contains(&IndexKind::IvfFlat));
        let many = kinds(768, 1_000_000);
        assert_eq!(many[0], IndexKind::IvfFlat);
        assert!(many.contains(&IndexKind::IvfPq) && !many.contains(&IndexKind::Flat));
    }

    #[test]
    fn searches_keep_at_least_k_candidates() {
        assert_eq!(searches(IndexKind::Hnsw, 10).len(), 10);
        assert!(searches(IndexKind::Hnsw, 100).iter().all(|search| search.ef >= Some(100)));
        assert_eq!(searches(IndexKind::Flat, 10), [SearchDefaults::default()]);
    }

    proptest! {
        #[test]
        fn all_can_be_built_and_none_is_there_twice(dimension in 1_usize..2_000, rows in 0_usize..2_000_000) {
            let all = candidates(Metric::Cosine, dimension, rows);
            prop_assert!(!all.is_empty());
            for (at, spec) in all.iter().enumerate() {
                prop_assert!(faiss::validate(spec, dimension).is_ok());
                prop_assert!(!all[..at].contains(spec));
                prop_assert!(!searches(spec.kind, 10).is_empty());
            }
        }
    }
}
