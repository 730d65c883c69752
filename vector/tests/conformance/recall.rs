//! Approximate searches against exact ones.

use skein_vector::{IndexKind, IndexSpec, Metric, SearchParams, Selection, VectorIndex};

use crate::support::{DEFAULTS, build, clustered, recall, reference};

#[test]
fn the_defaults_find_nearly_all() {
    let (vectors, queries) = (clustered(1, 5_000, 32, 50), clustered(2, 100, 32, 50));
    for metric in Metric::ALL {
        let right = reference(metric, 32, &vectors).search(&queries, 10, &DEFAULTS, Selection::All).unwrap();
        for (kind, floor) in [
            (IndexKind::Flat, 0.999),
            (IndexKind::Hnsw, 0.97),
            (IndexKind::HnswSq8, 0.9),
            (IndexKind::IvfFlat, 0.9),
            (IndexKind::IvfSq8, 0.85),
            (IndexKind::IvfPqRefine, 0.85),
            (IndexKind::IvfPq, 0.2),
        ] {
            let index = build(IndexSpec::new(kind, metric), 32, &vectors);
            let found = index.search(&queries, 10, &DEFAULTS, Selection::All).unwrap();
            let recall = recall(&right, &found);
            assert!(recall >= floor, "{kind} {metric}: {recall}");
        }
    }
}

#[test]
fn looking_harder_finds_more() {
    let (vectors, queries) = (clustered(1, 5_000, 32, 50), clustered(2, 100, 32, 50));
    let right = reference(Metric::L2, 32, &vectors).search(&queries, 10, &DEFAULTS, Selection::All).unwrap();
    for (kind, low, high) in [
        (IndexKind::Hnsw, SearchParams { ef: Some(10), ..DEFAULTS }, SearchParams { ef: Some(150), ..DEFAULTS }),
        (
            IndexKind::IvfFlat,
            SearchParams { nprobe: Some(1), ..DEFAULTS },
            SearchParams { nprobe: Some(100), ..DEFAULTS },
        ),
        (
            IndexKind::IvfPqRefine,
            SearchParams { refine: Some(1.0), ..DEFAULTS },
            SearchParams { refine: Some(50.0), ..DEFAULTS },
        ),
    ] {
        let index = build(IndexSpec::new(kind, Metric::L2), 32, &vectors);
        let measure = |params| recall(&right, &index.search(&queries, 10, params, Selection::All).unwrap());
        let (low, high) = (measure(&low), measure(&high));
        assert!(high > low && high > 0.95, "{kind}: {low}, {high}");
    }
}
