//! Selections.

use skein_vector::{IndexKind, IndexSpec, Metric, Selection, VectorIndex};

use crate::support::{DEFAULTS, Random, all, build, check_answer, clustered, recall, reference};

#[test]
fn only_what_is_selected_is_answered_and_all_of_it() {
    let (vectors, queries) = (clustered(1, 2_000, 8, 20), clustered(2, 6, 8, 20));
    let sets = [
        (0..2_000).step_by(2).collect(),
        (0..2_000).step_by(100).collect(),
        [5, 1_999].into_iter().collect(),
        (100..1_900).collect(),
        [7, 5_000_000].into_iter().collect(),
        roaring::RoaringBitmap::new(),
    ];
    for metric in Metric::ALL {
        for (name, index) in all(metric, 8, &vectors) {
            for set in &sets {
                for selection in [Selection::Only(set), Selection::AllBut(set)] {
                    let selected = usize::try_from(selection.count(2_000)).unwrap();
                    for k in [1, 10, 3_000] {
                        let found = index
                            .search(&queries, k, &DEFAULTS, selection)
                            .unwrap_or_else(|error| panic!("{name}: {error}"));
                        check_answer(&name, &found, index.as_ref(), k, selection);
                        assert_eq!(found.positions.len(), 6 * k.min(selected), "{name} {k} of {selected}");
                    }
                    let within = index.search_within(&queries[..8], f32::INFINITY, &DEFAULTS, selection).unwrap();
                    check_answer(&name, &within, index.as_ref(), 2_000, selection);
                    assert_eq!(within.positions.len(), selected, "{name}");
                }
            }
        }
    }
}

#[test]
fn an_empty_index_answers_nothing_under_any_selection() {
    let some = [1, 2, 3].into_iter().collect();
    for (name, index) in all(Metric::L2, 8, &[]) {
        for selection in [Selection::Only(&some), Selection::AllBut(&some)] {
            assert_eq!(index.search(&[0.0; 8], 3, &DEFAULTS, selection).unwrap().of(0).len(), 0, "{name}");
        }
    }
}

/// Issue of the filter that costs neighbours: as many are found under a selection of any size as without one.
#[test]
fn recall_is_kept_under_filters() {
    let (rows, dimension) = (10_000, 16);
    let (vectors, queries) = (clustered(1, rows, dimension, 100), clustered(2, 100, dimension, 100));
    let exact = reference(Metric::L2, dimension, &vectors);
    let mut random = Random(3);
    let mut order: Vec<u32> = (0..u32::try_from(rows).unwrap()).collect();
    for at in (1..rows).rev() {
        order.swap(at, random.below(at + 1));
    }
    for kind in [IndexKind::Hnsw, IndexKind::IvfFlat, IndexKind::IvfPqRefine] {
        let index = build(IndexSpec::new(kind, Metric::L2), dimension, &vectors);
        let measure = |selection: Selection<'_>| {
            let right = exact.search(&queries, 10, &DEFAULTS, selection).unwrap();
            recall(&right, &index.search(&queries, 10, &DEFAULTS, selection).unwrap())
        };
        let unfiltered = measure(Selection::All);
        for selected in [1, 10, 100, 1_000, 3_000, 5_000, 9_000, 9_999] {
            let some = order[..selected].iter().copied().collect();
            let filtered = measure(Selection::Only(&some));
            assert!(filtered >= unfiltered - 0.02, "{kind}: {filtered} of {selected} rows, {unfiltered} of all");
        }
    }
}
