//! Texts that came since.

use roaring::RoaringBitmap;

use super::*;
use crate::Error;

const OLD: [&str; 6] =
    ["red apple pie", "green apple", "blue sky over the sea", "red sky", "apple juice and apple cake", "nothing else"];
const NEW: [&str; 5] = ["red apple pie", "a red sky at night", "apple", "unheard words", "the sea"];

const QUERIES: [&str; 9] = [
    "apple",
    "red sky",
    "+apple red",
    "\"red sky\"",
    "\"red pie\"~1",
    "app*",
    "appel~1",
    "apple^2 -cake",
    "sea OR (sky AND blue)",
];

#[test]
fn scores_are_those_of_the_large_index() {
    let spec = TextSpec::default();
    let large = index(&spec, &OLD);
    for at_a_time in [1, 2, 5] {
        let tail = tail(&spec, &NEW, at_a_time);
        assert_eq!(tail.len(), 5);
        for text in QUERIES {
            let query = query(text, Match::Query);
            let new = tail.search(&query, 10, Selection::All, &large).unwrap();
            // The same text has the same score in both.
            let old = large.search(&query, 10, Selection::All).unwrap();
            let score = |hits: &[Hit]| hits.iter().find(|hit| hit.position == 0).map(|hit| hit.score);
            match (score(&new), score(&old)) {
                (Some(new), Some(old)) => assert!((new - old).abs() < 1e-6, "{text}: {new}, {old}"),
                (new, old) => assert_eq!(new, old, "{text}"),
            }
        }
    }
}

#[test]
fn a_tail_with_the_same_texts_answers_as_the_large_index() {
    let spec = TextSpec::default();
    let texts: Vec<String> = (0..700).map(|at| format!("{} {}", OLD[at % 6], NEW[at * 7 % 5].repeat(at % 4))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let large = index(&spec, &texts);
    for at_a_time in [97, 700] {
        let tail = tail(&spec, &texts, at_a_time);
        let odd: RoaringBitmap = (0..700).filter(|position| position % 2 == 1).collect();
        for text in QUERIES {
            let query = query(text, Match::Query);
            for selection in [Selection::All, Selection::Only(&odd), Selection::AllBut(&odd)] {
                let one = tail.search(&query, 50, selection, &large).unwrap();
                let other = large.search(&query, 50, selection).unwrap();
                assert_eq!(one.len(), other.len());
                for (one, other) in one.iter().zip(&other) {
                    assert!((one.score - other.score).abs() < 1e-5, "{text}: {one:?}, {other:?}");
                }
                assert_eq!(tail.count(&query, selection).unwrap(), large.count(&query, selection).unwrap(), "{text}");
            }
        }
    }
}

#[test]
fn beside_an_empty_index_its_own_statistics_are_taken() {
    let spec = TextSpec::default();
    let none = index(&spec, &[]);
    let as_large = index(&spec, &NEW);
    for at_a_time in [1, 5] {
        let tail = tail(&spec, &NEW, at_a_time);
        for text in QUERIES {
            let query = query(text, Match::Query);
            let own = tail.search(&query, 10, Selection::All, &none).unwrap();
            let large = as_large.search(&query, 10, Selection::All).unwrap();
            assert_eq!(positions(&own), positions(&large), "{text}");
            for (own, large) in own.iter().zip(&large) {
                assert!((own.score - large.score).abs() < 1e-6, "{text}: {own:?}, {large:?}");
            }
        }
    }
}

#[test]
fn beside_an_index_of_empty_texts_scores_are_numbers() {
    let spec = TextSpec::default();
    let blank = index(&spec, &["", ""]);
    let tail = tail(&spec, &NEW, 5);
    let hits = tail.search(&query("apple sea", Match::Any), 10, Selection::All, &blank).unwrap();
    assert_eq!(hits.len(), 3);
    assert!(hits.iter().all(|hit| hit.score.is_finite() && hit.score > 0.0), "{hits:?}");
}

#[test]
fn what_is_added_is_found_when_it_is_sealed() {
    let spec = TextSpec::default();
    let large = index(&spec, &OLD);
    let mut tail = TailIndex::new(&spec).unwrap();
    let find =
        |tail: &TailIndex| positions(&tail.search(&query("apple", Match::Any), 10, Selection::All, &large).unwrap());
    tail.seal().unwrap();
    assert!(tail.is_empty() && find(&tail).is_empty());
    tail.add("apple");
    assert!(tail.is_empty() && find(&tail).is_empty());
    tail.seal().unwrap();
    let before = tail.clone();
    tail.add("");
    tail.add("apple");
    tail.seal().unwrap();
    assert_eq!((find(&before), find(&tail)), (vec![0], vec![0, 2]));
    assert_eq!((before.len(), tail.len()), (1, 3));
    assert!(tail.memory_bytes() > 0);
}

#[test]
fn other_words_than_those_of_the_index_are_refused() {
    let large = index(&TextSpec::default(), &OLD);
    let tail = tail(&TextSpec { stem: false, ..TextSpec::default() }, &NEW, 5);
    let error = tail.search(&query("apple", Match::Any), 10, Selection::All, &large).unwrap_err();
    assert!(matches!(error, Error::Invalid(_)) && error.to_string().contains("build it anew"), "{error}");
}

#[test]
fn many_small_additions_stay_few_pieces() {
    let spec = TextSpec::default();
    let large = index(&spec, &[]);
    let mut tail = TailIndex::new(&spec).unwrap();
    for number in 0..60 {
        tail.add(&format!("number{number} and others"));
        tail.seal().unwrap();
    }
    assert!(format!("{tail:?}").contains("60"));
    for number in (0..60).step_by(7) {
        let query = query(&format!("number{number}"), Match::Any);
        assert_eq!(positions(&tail.search(&query, 5, Selection::All, &large).unwrap()), [number]);
    }
}
