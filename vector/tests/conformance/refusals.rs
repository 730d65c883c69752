//! What cannot be done is refused, with a reason.

use skein_model::{ErrorKind, Kind};
use skein_vector::{IndexKind, IndexSpec, Metric, SearchParams, Selection, VectorIndex, faiss::Builder};

use crate::support::{DEFAULTS, EXACT, all, build, clustered, factory};

#[test]
fn queries_that_cannot_be_answered_are_refused() {
    let vectors = clustered(1, 50, 8, 20);
    for metric in Metric::ALL {
        for (name, index) in all(metric, 8, &vectors) {
            let why = |queries: &[f32], k| {
                let error = index.search(queries, k, &DEFAULTS, Selection::All).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}: {error}");
                error.to_string()
            };
            assert!(why(&[1.0; 8], 0).contains("k is 0"));
            assert!(why(&[1.0; 7], 1).contains("no whole number of vectors"));
            let mut bad = vec![1.0; 16];
            bad[11] = f32::NAN;
            assert!(why(&bad, 1).contains("query 1 has NaN at component 3"));
            bad[11] = f32::NEG_INFINITY;
            assert!(why(&bad, 1).contains("query 1 has -inf"));
            let zeros = index.search(&[0.0; 8], 1, &DEFAULTS, Selection::All);
            match metric {
                Metric::Cosine => assert!(zeros.unwrap_err().to_string().contains("all zeros")),
                Metric::L2 | Metric::InnerProduct => assert_eq!(zeros.unwrap().positions.len(), 1, "{name}"),
            }
            let error = index.search_within(&[1.0; 8], f32::NAN, &DEFAULTS, Selection::All).unwrap_err();
            assert!(error.to_string().contains("radius"), "{name}: {error}");
        }
    }
}

#[test]
fn exact_searches_of_codes_are_refused_with_what_to_do() {
    let vectors = clustered(1, 2_000, 8, 20);
    for kind in IndexKind::ALL.into_iter().filter(|kind| kind.is_of_vectors() && *kind != IndexKind::Factory) {
        let index = build(IndexSpec::new(kind, Metric::L2), 8, &vectors);
        let found = index.search(&[1.0; 8], 3, &EXACT, Selection::All);
        match kind {
            IndexKind::HnswSq8 | IndexKind::IvfSq8 | IndexKind::IvfPq => {
                let error = found.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput);
                assert!(error.to_string().contains("build one of kind flat"), "{error}");
            }
            _ => assert_eq!(found.unwrap().positions.len(), 3, "{kind}"),
        }
    }
}

#[test]
fn parameters_of_a_search_are_checked() {
    let index = build(IndexSpec::new(IndexKind::Hnsw, Metric::L2), 8, &clustered(1, 50, 8, 20));
    for params in [
        SearchParams { ef: Some(0), ..DEFAULTS },
        SearchParams { nprobe: Some(0), ..DEFAULTS },
        SearchParams { refine: Some(f32::NAN), ..DEFAULTS },
        SearchParams { refine: Some(0.5), ..DEFAULTS },
    ] {
        let error = index.search(&[1.0; 8], 3, &params, Selection::All).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    let most = SearchParams { ef: Some(u32::MAX), nprobe: Some(u32::MAX), refine: Some(1_000.0), ..DEFAULTS };
    assert_eq!(index.search(&[1.0; 8], 3, &most, Selection::All).unwrap().positions.len(), 3);
}

#[test]
fn vectors_that_cannot_be_indexed_are_refused() {
    for kind in [IndexKind::Flat, IndexKind::Hnsw] {
        let mut builder = Builder::new(IndexSpec::new(kind, Metric::Cosine), 2, 10, 1).unwrap();
        for bad in [&[1.0, f32::NAN][..], &[1.0], &[0.0, 0.0], &[f32::INFINITY, 0.0]] {
            assert_eq!(builder.add(bad).unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        builder.add(&[1.0, 0.0]).unwrap();
        assert_eq!(builder.finish().unwrap().len(), 1);
    }
}

#[test]
fn training_is_asked_for() {
    let vectors = clustered(1, 2_000, 8, 20);
    let mut builder = Builder::new(IndexSpec::new(IndexKind::IvfPq, Metric::L2), 8, 2_000, 1).unwrap();
    assert!(builder.add(&vectors).unwrap_err().to_string().contains("must be trained"));
    assert!(builder.train(&vectors[..80]).unwrap_err().to_string().contains("at least 256 vectors, and 10 were given"));
    builder.train(&vectors).unwrap();
    builder.add(&vectors).unwrap();
    assert_eq!(builder.finish().unwrap().len(), 2_000);
}

#[test]
fn what_no_factory_makes_is_an_error() {
    for string in ["Nonsense", "IVF,Flat", "PQ3", "HNSW32,PQ3", "(", "IVF8(", "Flat,Flat", "L2norm"] {
        let error = Builder::new(factory(string, Metric::L2), 8, 100, 1).err();
        assert!(error.is_some(), "{string} was made");
    }
}
