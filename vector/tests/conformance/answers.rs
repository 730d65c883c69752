//! Searches that are answered.

use std::thread;

use skein_vector::{Metric, Selection, VectorIndex};

use crate::support::{DEFAULTS, EXACT, all, check_answer, close, clustered, reference};

#[test]
fn every_size_and_length_is_searched() {
    for metric in Metric::ALL {
        for dimension in [1, 3, 8, 128] {
            for rows in [0, 1, 2, 50, 2_000] {
                if rows == 2_000 && (dimension == 1 || dimension == 3) && metric != Metric::L2 {
                    continue;
                }
                let vectors = clustered(1, rows, dimension, 20);
                let queries = clustered(2, 6, dimension, 20);
                for (name, index) in all(metric, dimension, &vectors) {
                    assert_eq!((index.len() as usize, index.dimension(), index.metric()), (rows, dimension, metric));
                    for k in [1, 10, rows + 7] {
                        let found = index
                            .search(&queries, k, &DEFAULTS, Selection::All)
                            .unwrap_or_else(|error| panic!("{name}: {error}"));
                        assert_eq!(found.queries(), 6, "{name}");
                        check_answer(&name, &found, index.as_ref(), k, Selection::All);
                        assert_eq!(found.positions.len(), 6 * k.min(rows), "{name}: too few of {k}");
                    }
                }
            }
        }
    }
}

#[test]
fn no_queries_have_no_answers() {
    let vectors = clustered(1, 50, 8, 20);
    for (name, index) in all(Metric::L2, 8, &vectors) {
        let found = index.search(&[], 3, &DEFAULTS, Selection::All).unwrap();
        assert_eq!(found.queries(), 0, "{name}");
    }
}

#[test]
fn exact_searches_agree_with_the_flat_index() {
    let (vectors, queries) = (clustered(1, 2_000, 8, 20), clustered(2, 30, 8, 20));
    for metric in Metric::ALL {
        let right = reference(metric, 8, &vectors).search(&queries, 20, &DEFAULTS, Selection::All).unwrap();
        for (name, index) in all(metric, 8, &vectors) {
            let Ok(found) = index.search(&queries, 20, &EXACT, Selection::All) else { continue };
            for query in 0..30 {
                for ((_, distance), (_, expected)) in found.of(query).zip(right.of(query)) {
                    assert!(close(distance, expected), "{name}: {distance} is not {expected}");
                }
            }
        }
    }
}

#[test]
fn distances_are_those_of_the_metric() {
    let (vectors, queries) = (clustered(1, 2_000, 8, 20), clustered(2, 5, 8, 20));
    for metric in Metric::ALL {
        for (name, index) in all(metric, 8, &vectors) {
            // Indexes of codes alone know the vectors only roughly.
            if ["sq8", "ivf_pq ", "PQ", "SQ", "PCA"].iter().any(|lossy| name.contains(lossy)) {
                continue;
            }
            let found = index.search(&queries, 10, &DEFAULTS, Selection::All).unwrap();
            for (query, numbers) in queries.chunks(8).enumerate() {
                for (position, distance) in found.of(query) {
                    let row = position as usize * 8;
                    let expected = metric.distance(numbers, &vectors[row..row + 8]);
                    assert!(close(distance, expected), "{name}: {distance} is not {expected}");
                }
            }
        }
    }
}

#[test]
fn vectors_that_are_there_many_times_are_all_found() {
    let mut vectors = clustered(1, 1, 8, 20).repeat(300);
    vectors.extend(clustered(3, 1_000, 8, 20).iter().map(|value| value + 40.0));
    let query = vectors[..8].to_vec();
    for (name, index) in all(Metric::L2, 8, &vectors) {
        // Of codes alone it cannot be said what is the same.
        if name.contains("factory") {
            continue;
        }
        let found = index.search(&query, 300, &DEFAULTS, Selection::All).unwrap();
        let near = found.of(0).filter(|(position, _)| *position < 300).count();
        assert!(near >= 295, "{name}: {near} of 300");
    }
}

#[test]
fn one_vector_over_and_over_makes_an_index_too() {
    let vectors = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0].repeat(2_000);
    for metric in Metric::ALL {
        for (name, index) in all(metric, 8, &vectors) {
            let found = index.search(&vectors[..8], 5, &DEFAULTS, Selection::All).unwrap();
            assert_eq!(found.positions.len(), 5, "{name}");
        }
    }
}

#[test]
fn a_radius_bounds_the_answers() {
    let (vectors, queries) = (clustered(1, 2_000, 8, 20), clustered(2, 5, 8, 20));
    for metric in Metric::ALL {
        let exact = reference(metric, 8, &vectors);
        let nearest = exact.search(&queries, 100, &DEFAULTS, Selection::All).unwrap();
        let radius = nearest.of(0).last().unwrap().1;
        let right = exact.search_within(&queries, radius, &DEFAULTS, Selection::All).unwrap();
        assert_eq!(right.of(0).len(), 100);
        for (name, index) in all(metric, 8, &vectors) {
            let found = index.search_within(&queries, radius, &DEFAULTS, Selection::All).unwrap();
            check_answer(&name, &found, index.as_ref(), 2_000, Selection::All);
            assert!(found.distances.iter().all(|distance| *distance <= radius), "{name}");
            let least = if name.contains("factory") || name.contains("pq") { 2 } else { 10 };
            assert!(found.positions.len() * 11 / least >= right.positions.len(), "{name}: {}", found.positions.len());
            let all = index.search_within(&queries[..8], f32::INFINITY, &DEFAULTS, Selection::All).unwrap();
            assert_eq!(all.of(0).len(), 2_000, "{name}");
            let none = index.search_within(&queries[..8], f32::NEG_INFINITY, &DEFAULTS, Selection::All).unwrap();
            assert_eq!(none.of(0).len(), 0, "{name}");
        }
    }
}

#[test]
fn a_batch_is_answered_as_its_queries_alone() {
    let (vectors, queries) = (clustered(1, 2_000, 8, 20), clustered(2, 64, 8, 20));
    for metric in Metric::ALL {
        for (name, index) in all(metric, 8, &vectors) {
            let together = index.search(&queries, 5, &DEFAULTS, Selection::All).unwrap();
            for (query, numbers) in queries.chunks(8).enumerate() {
                let alone = index.search(numbers, 5, &DEFAULTS, Selection::All).unwrap();
                for ((_, a), (_, b)) in alone.of(0).zip(together.of(query)) {
                    assert!(close(a, b), "{name}: {a} is not {b}");
                }
            }
        }
    }
}

#[test]
fn eight_threads_search_at_a_time() {
    let (vectors, queries) = (clustered(1, 2_000, 8, 20), clustered(2, 40, 8, 20));
    let some = (0..2_000).step_by(3).collect();
    for (name, index) in all(Metric::L2, 8, &vectors) {
        let right = index.search(&queries, 5, &DEFAULTS, Selection::Only(&some)).unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let found = index.search(&queries, 5, &DEFAULTS, Selection::Only(&some)).unwrap();
                        assert_eq!(found, right, "{name}");
                    }
                });
            }
        });
    }
}
