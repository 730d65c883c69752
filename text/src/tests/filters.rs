//! What is found among the selected positions.

use proptest::prelude::*;
use roaring::RoaringBitmap;
use skein_model::{ErrorKind, Kind};

use super::*;

/// Texts of "common", every third also "some", and all of different lengths.
fn texts(count: usize) -> Vec<String> {
    (0..count)
        .map(|at| format!("common {} {}", if at % 3 == 0 { "some" } else { "" }, "blah ".repeat(at * 7 % 11)))
        .collect()
}

#[test]
fn as_many_as_were_asked_for_come_whenever_so_many_are_selected() {
    let texts = texts(2_000);
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    let index = index(&TextSpec::default(), &texts);
    let few: RoaringBitmap = [3, 4, 5, 1_000, 1_999, 5_000].into_iter().collect();
    let many: RoaringBitmap = (500..1_500).collect();
    for (selection, selected) in [
        (Selection::All, (0..2_000).collect::<Vec<u32>>()),
        (Selection::Only(&few), vec![3, 4, 5, 1_000, 1_999]),
        (Selection::Only(&many), (500..1_500).collect()),
        (Selection::AllBut(&many), (0..500).chain(1_500..2_000).collect()),
    ] {
        for text in ["common", "common some", "+some common", "blah -some", "comm*", "\"common some\""] {
            let query = query(text, Match::Query);
            let mut expected = index.search(&query, 10_000, Selection::All).unwrap();
            expected.retain(|hit| selected.binary_search(&hit.position).is_ok());
            assert_eq!(index.count(&query, selection).unwrap(), expected.len() as u64, "{text}");
            for k in [1, 3, 40, 10_000] {
                let hits = index.search(&query, k, selection).unwrap();
                assert_eq!(hits.len(), k.min(expected.len()), "{text}");
                for (hit, expected) in hits.iter().zip(&expected) {
                    assert!((hit.score - expected.score).abs() < 1e-5, "{text}: {hit:?}, {expected:?}");
                    assert!(selection.contains(hit.position));
                }
            }
        }
    }
    let none = RoaringBitmap::new();
    assert_eq!(index.search(&query("common", Match::Any), 5, Selection::Only(&none)).unwrap(), []);
}

#[test]
fn equal_scores_come_in_order_of_positions() {
    let index = index(&TextSpec::default(), &["one two"; 1_000]);
    for text in ["one", "one two", "+one two", "\"one two\"", "on*"] {
        let hits = positions(&index.search(&query(text, Match::Query), 300, Selection::All).unwrap());
        assert_eq!(hits, (0..300).collect::<Vec<_>>(), "{text}");
    }
    let odd: RoaringBitmap = (0..1_000).filter(|position| position % 2 == 1).collect();
    let hits = positions(&index.search(&query("one", Match::Any), 3, Selection::Only(&odd)).unwrap());
    assert_eq!(hits, [1, 3, 5]);
}

#[test]
fn how_many_can_be_asked_for() {
    let index = index(&TextSpec::default(), &["one"]);
    for k in [0, 10_001] {
        let error = index.search(&query("one", Match::Any), k, Selection::All).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("1 to 10000"), "{error}");
    }
    assert_eq!(index.search(&query("one", Match::Any), 10_000, Selection::All).unwrap().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// A search among some is a search among all, without the others.
    #[test]
    fn selected_are_those_that_match_and_are_selected(
        words in prop::collection::vec(prop::collection::vec("[a-e]", 0..6), 1..80),
        selected in prop::collection::btree_set(0_u32..80, 0..80),
        asked in "[a-e]( [a-e]){0,2}",
        k in 1_usize..20,
    ) {
        let texts: Vec<String> = words.iter().map(|words| words.join(" ")).collect();
        let index = index(&TextSpec::default(), &texts.iter().map(String::as_str).collect::<Vec<_>>());
        let bitmap: RoaringBitmap = selected.iter().copied().collect();
        for mode in [Match::Any, Match::All, Match::Phrase] {
            let query = query(&asked, mode);
            let all = index.search(&query, 10_000, Selection::All).unwrap();
            for selection in [Selection::Only(&bitmap), Selection::AllBut(&bitmap)] {
                let mut expected = all.clone();
                expected.retain(|hit| selection.contains(hit.position));
                prop_assert_eq!(index.count(&query, selection).unwrap(), expected.len() as u64);
                expected.truncate(k);
                let hits = index.search(&query, k, selection).unwrap();
                prop_assert_eq!(hits.len(), expected.len());
                for (hit, expected) in hits.iter().zip(&expected) {
                    prop_assert!((hit.score - expected.score).abs() < 1e-5);
                }
            }
        }
    }
}
